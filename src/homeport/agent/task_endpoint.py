"""The task endpoint: metadata, statistics, role credentials and task protection for containers.

HTTP over aiohttp; paths and answers are those of Amazon's agent. The first agent of a machine holds
port 80 of 169.254.170.2 and passes on what belongs to another one. Not here: what metadata says
(`metadata`), where to listen (`endpoint_listeners`).
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import msgspec
from aiohttp import web

from homeport.agent import endpoint_ids, link_local
from homeport.agent.credentials import render_credentials
from homeport.agent.docker import EngineRefusal, EngineUnavailable
from homeport.agent.link import ControlPlaneRefusal, ControlPlaneUnavailable
from homeport.agent.metadata import InstanceNames, Version, render_container, render_task
from homeport.agent.request_rate import RequestRate
from homeport.agent.task_protection import ProtectionFailure, answer_protection
from homeport.api import ecs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from homeport.agent.credentials import CredentialsStore
    from homeport.agent.docker import Engine
    from homeport.agent.endpoint_ids import EndpointFacts
    from homeport.agent.endpoint_listeners import Listeners
    from homeport.agent.link import Link
    from homeport.agent.task_machine import TaskMachine
    from homeport.agent.task_state import ContainerState, TaskState

LOG: Final = logging.getLogger("homeport.agent")

REQUESTS_PER_SECOND: Final = 40
REQUEST_BURST: Final = 60
"""ECS_TASK_METADATA_RPS_LIMIT's defaults, here for each task (amazon-ecs-agent's README)."""

BODY_LIMIT_BYTES: Final = 16 * 1024
FORWARD_TIMEOUT_S: Final = 10
FORWARD_LIMIT_BYTES: Final = 4 * 1024 * 1024
PORT_RETRY_S: Final = 1.0
SHUTDOWN_S: Final = 1.0

Found = tuple["TaskState", "ContainerState"]


class TaskEndpoint:
    """Answers the containers of one agent."""

    def __init__(
        self,
        *,
        listeners: Listeners,
        machine: TaskMachine,
        engine: Engine,
        credentials: CredentialsStore,
        link: Link,
        names: InstanceNames,
        container_instance_arn: str,
    ) -> None:
        self._listeners = listeners
        self._facts: EndpointFacts = listeners.facts
        self._machine = machine
        self._engine = engine
        self._credentials = credentials
        self._link = link
        self._names = names
        self._arn = container_instance_arn
        self._rate = RequestRate(per_second=REQUESTS_PER_SECOND, burst=REQUEST_BURST)
        self._ids: dict[str, tuple[str, str]] = {}

    async def run(self) -> None:
        """Serve until cancelled."""
        runner = web.AppRunner(
            self._make_app(), access_log=None, shutdown_timeout=SHUTDOWN_S, handle_signals=False
        )
        await runner.setup()
        try:
            await web.SockSite(runner, self._listeners.own).start()
            LOG.info("containers find their metadata at %s", self._facts.base_url)
            if self._facts.has_credentials:
                await self._hold_front_door(runner)
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()

    async def _hold_front_door(self, runner: web.AppRunner) -> None:
        """Take port 80 as soon as no other agent of this machine has it."""
        while True:
            try:
                door = link_local.listen_at(link_local.ADDRESS, 80)
            except OSError:
                await asyncio.sleep(PORT_RETRY_S)
                continue
            await web.SockSite(runner, door).start()
            return

    def _make_app(self) -> web.Application:
        app = web.Application(client_max_size=BODY_LIMIT_BYTES)
        for version in Version:
            base = f"/v{version}/{{id}}"
            serve = self._serve_metadata
            app.router.add_get(base, serve(version, self._container))
            app.router.add_get(f"{base}/task", serve(version, self._task))
            app.router.add_get(f"{base}/taskWithTags", serve(version, self._task_with_tags))
            app.router.add_get(f"{base}/stats", serve(version, self._container_stats))
            app.router.add_get(f"{base}/task/stats", serve(version, self._task_stats))
        app.router.add_get("/v2/credentials/{id}", self._serve_credentials)
        app.router.add_get("/api/{id}/task-protection/v1/state", self._serve_protection)
        app.router.add_put("/api/{id}/task-protection/v1/state", self._serve_protection)
        return app

    # --- who asks -------------------------------------------------------------------------

    def _find(self, endpoint_id: str) -> Found | None:
        """The container behind an id; the table of ids is made anew for tasks it lacks."""
        known = self._ids.get(endpoint_id)
        if known is None:
            self._ids = {
                endpoint_ids.make_container_id(self._facts, state.arn, container.name): (
                    state.arn,
                    container.name,
                )
                for state in self._machine.tasks.values()
                for container in state.containers
            }
            known = self._ids.get(endpoint_id)
        state = None if known is None else self._machine.tasks.get(known[0])
        container = None if state is None or known is None else state.container(known[1])
        return None if state is None or container is None else (state, container)

    async def _forward(self, request: web.Request) -> web.Response | None:
        """Pass a request on to the agent of this machine whose port its id names."""
        port = endpoint_ids.find_port(request.match_info["id"])
        if port is None or port == self._facts.port or not self._facts.has_credentials:
            return None
        url = f"http://{link_local.ADDRESS}:{port}{request.rel_url}"
        body = await request.read()
        try:
            async with self._link.session.request(
                request.method,
                url,
                data=body or None,
                timeout=aiohttp.ClientTimeout(total=FORWARD_TIMEOUT_S),
            ) as answer:
                content = await answer.content.read(FORWARD_LIMIT_BYTES)
                return web.Response(
                    body=content, status=answer.status, content_type=answer.content_type
                )
        except (aiohttp.ClientError, TimeoutError, OSError):
            return _refuse(404, f"the agent of {request.match_info['id']} isn't running")

    def _serve_metadata(
        self, version: Version, render: Callable[[Found, Version], Awaitable[Any]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def serve(request: web.Request) -> web.Response:
            forwarded = await self._forward(request)
            if forwarded is not None:
                return forwarded
            endpoint_id = request.match_info["id"]
            found = self._find(endpoint_id)
            if found is None:
                return _refuse(
                    404,
                    f"V{version} metadata handler: unable to get container ID from request: "
                    f"no container has the endpoint ID {endpoint_id[:64]}",
                )
            if not self._rate.admits(found[0].arn):
                return _refuse(429, "too many requests to the task metadata endpoint")
            try:
                return _answer(await render(found, version))
            except (EngineRefusal, EngineUnavailable) as trouble:
                return _refuse(500, f"V{version} metadata handler: {trouble}")

        return serve

    # --- metadata -------------------------------------------------------------------------

    async def _container(self, found: Found, version: Version) -> dict[str, Any]:
        state, container = found
        return render_container(state, container, await self._show(container), version)

    async def _task(self, found: Found, version: Version) -> dict[str, Any]:
        state, _ = found
        shown = {c.name: await self._show(c) for c in state.containers}
        return render_task(state, shown, self._names, version)

    async def _task_with_tags(self, found: Found, version: Version) -> dict[str, Any]:
        """The task with its own and its container instance's tags, and what went wrong there."""
        task = await self._task(found, version)
        errors = []
        for member, arn in (("TaskTags", found[0].arn), ("ContainerInstanceTags", self._arn)):
            try:
                reply = await self._link.call(
                    "ListTagsForResource",
                    ecs.ListTagsForResourceRequest(resource_arn=arn),
                    ecs.ListTagsForResourceResponse,
                )
            except (ControlPlaneRefusal, ControlPlaneUnavailable) as error:
                code = error.code if isinstance(error, ControlPlaneRefusal) else "Unavailable"
                errors.append(
                    {
                        "ErrorField": member,
                        "ErrorCode": code,
                        "ErrorMessage": str(error),
                        "ResourceARN": arn,
                    }
                )
                continue
            tags = {tag.key or "": tag.value or "" for tag in reply.tags or ()}
            if tags:
                task[member] = tags
        if errors:
            task["Errors"] = errors
        return task

    async def _container_stats(self, found: Found, version: Version) -> Any:
        return await self._engine.read_stats(found[1].runtime_id)

    async def _task_stats(self, found: Found, version: Version) -> dict[str, Any]:
        containers = [c for c in found[0].containers if c.runtime_id]
        read = await asyncio.gather(*(self._engine.read_stats(c.runtime_id) for c in containers))
        return {c.runtime_id: stats for c, stats in zip(containers, read, strict=True)}

    async def _show(self, container: ContainerState) -> dict[str, Any]:
        if not container.runtime_id:
            return {}
        return await self._engine.inspect_container(container.runtime_id) or {}

    # --- credentials and protection ---------------------------------------------------------

    async def _serve_credentials(self, request: web.Request) -> web.Response:
        forwarded = await self._forward(request)
        if forwarded is not None:
            return forwarded
        endpoint_id = request.match_info["id"]
        credentials_id = endpoint_ids.without_port(endpoint_id)
        roles = [s.task.role_credentials for s in self._machine.tasks.values() if not s.has_ended()]
        if not any(role is not None and role.credentials_id == credentials_id for role in roles):
            return _refuse_credentials(
                400, "InvalidIdInRequest", "CredentialsV2Request: ID not found"
            )
        credentials = self._credentials.get(credentials_id)
        if credentials is None:
            return _refuse_credentials(
                503, "CredentialsUninitialized", "CredentialsV2Request: Credentials uninitialized"
            )
        return _answer(render_credentials(credentials))

    async def _serve_protection(self, request: web.Request) -> web.Response:
        forwarded = await self._forward(request)
        if forwarded is not None:
            return forwarded
        found = self._find(request.match_info["id"])
        if found is None:
            return _refuse(404, "no container has this endpoint ID")
        body = await request.read() if request.method == "PUT" else None
        try:
            answer = await answer_protection(self._link, found[0], self._names.cluster, body)
        except ProtectionFailure as failure:
            return web.json_response(failure.content, status=failure.http_status)
        return _answer(answer)


def _answer(content: Any) -> web.Response:
    return web.Response(body=msgspec.json.encode(content), content_type="application/json")


def _refuse(http_status: int, text: str) -> web.Response:
    """Amazon's agent answers errors of the metadata endpoint as one JSON string."""
    return web.Response(
        body=msgspec.json.encode(text), status=http_status, content_type="application/json"
    )


def _refuse_credentials(http_status: int, code: str, message: str) -> web.Response:
    return web.Response(
        body=msgspec.json.encode({"code": code, "message": message, "HTTPErrorCode": http_status}),
        status=http_status,
        content_type="application/json",
    )
