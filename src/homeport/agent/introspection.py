"""The introspection API: what an agent is and what it runs, for whoever is on its machine.

docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-agent-introspection.html. On loopback only,
where Amazon's agent listens on all addresses: nothing here asks who wants to know. Not here: what
containers ask about themselves (`task_endpoint`).
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aiohttp import web

from homeport.agent import link_local
from homeport.agent.container_spec import name_container
from homeport.agent.metadata import known_status
from homeport.agent.task_network import PAUSE_NAME

if TYPE_CHECKING:
    from homeport.agent.task_machine import TaskMachine
    from homeport.agent.task_state import ContainerState, TaskState

LOG: Final = logging.getLogger("homeport.agent")

LOOPBACK: Final = "127.0.0.1"
DOCKER_ID_CHARACTERS_MIN: Final = 12


class Introspection:
    """Answers on one local port."""

    def __init__(
        self,
        *,
        machine: TaskMachine,
        cluster: str,
        container_instance_arn: str,
        agent_version: str,
        bind_address: str,
        port: int,
    ) -> None:
        self._machine = machine
        self._metadata = {
            "Cluster": cluster,
            "ContainerInstanceArn": container_instance_arn,
            "Version": f"Homeport Agent - v{agent_version}",
        }
        self._address = bind_address if _is_loopback(bind_address) else LOOPBACK
        self._port = port

    async def run(self) -> None:
        """Serve until cancelled; a port that another agent has is left to it."""
        try:
            listener = link_local.listen_at(self._address, self._port)
        except OSError as error:
            LOG.info("no introspection API at %s:%d: %s", self._address, self._port, error)
            return
        app = web.Application()
        app.router.add_get("/", self._list_commands)
        app.router.add_get("/v1/metadata", self._show_metadata)
        app.router.add_get("/v1/tasks", self._show_tasks)
        runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await runner.setup()
        try:
            await web.SockSite(runner, listener).start()
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()
            listener.close()

    async def _list_commands(self, _request: web.Request) -> web.Response:
        return _answer({"AvailableCommands": ["/v1/metadata", "/v1/tasks"]})

    async def _show_metadata(self, _request: web.Request) -> web.Response:
        return _answer(self._metadata)

    async def _show_tasks(self, request: web.Request) -> web.Response:
        """All tasks, or the one named by `taskarn` or `dockerid`."""
        task_arn, docker_id = request.query.get("taskarn"), request.query.get("dockerid")
        if task_arn is None and docker_id is None:
            return _answer({"Tasks": [render(state) for state in self._machine.tasks.values()]})
        if task_arn is not None and docker_id is not None:
            return _answer("give taskarn or dockerid, not both", http_status=400)
        for state in self._machine.tasks.values():
            if state.arn == task_arn or (docker_id and _has_container(state, docker_id)):
                return _answer(render(state))
        return _answer("no such task", http_status=404)


def render(state: TaskState) -> dict[str, Any]:
    """A task as the introspection API shows it."""
    return {
        "Arn": state.arn,
        "DesiredStatus": state.wanted.value,
        "KnownStatus": known_status(state),
        "Family": state.task.family,
        "Version": state.task.version,
        "Containers": [
            _render_container(state, container)
            for container in state.containers
            if container.name != PAUSE_NAME
        ],
    }


def _render_container(state: TaskState, container: ContainerState) -> dict[str, Any]:
    return {
        "DockerId": container.runtime_id,
        "DockerName": name_container(state.task, container.name),
        "Name": container.name,
        "Ports": [
            {
                "ContainerPort": binding.container_port,
                "Protocol": binding.protocol,
                "HostPort": binding.host_port,
            }
            for binding in container.bindings
        ],
    }


def _has_container(state: TaskState, docker_id: str) -> bool:
    if len(docker_id) < DOCKER_ID_CHARACTERS_MIN:
        return False
    return any(container.runtime_id.startswith(docker_id) for container in state.containers)


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback


def _answer(content: Any, http_status: int = 200) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(content), status=http_status, content_type="application/json"
    )
