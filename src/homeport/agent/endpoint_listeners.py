"""Where the task endpoint listens: at 169.254.170.2 if it may, else at the bridge's gateway.

Decided once at the start, before registration, since what is offered is told there. Not here: what
is answered (`task_endpoint`).
"""

from __future__ import annotations

import logging
import secrets
import socket
from typing import TYPE_CHECKING, Final

import msgspec

from homeport.agent import link_local
from homeport.agent.docker import EngineRefusal, EngineUnavailable
from homeport.agent.endpoint_ids import EndpointFacts

if TYPE_CHECKING:
    from homeport.agent.docker import Engine
    from homeport.agent.settings import AgentSettings
    from homeport.agent.state_file import StateFile

LOG: Final = logging.getLogger("homeport.agent")

FIRST_PORT: Final = 51_679
LAST_PORT: Final = FIRST_PORT + 255
"""Amazon's agent has 51679; further agents of one machine take the ports behind it."""

SECRET_FACT: Final = "taskEndpointSecret"
PORT_FACT: Final = "taskEndpointPort"
SECRET_BYTES: Final = 16

ROLE_CAPABILITIES: Final = (
    "com.amazonaws.ecs.capability.task-iam-role",
    "com.amazonaws.ecs.capability.task-iam-role-network-host",
)


class Listeners(msgspec.Struct, frozen=True, kw_only=True):
    """The listening socket, and how containers reach it."""

    own: socket.socket
    facts: EndpointFacts

    @property
    def capabilities(self) -> tuple[str, ...]:
        """What the container instance can do thanks to it."""
        return ROLE_CAPABILITIES if self.facts.has_credentials else ()


async def open_listeners(
    settings: AgentSettings, state_file: StateFile, engine: Engine
) -> Listeners | None:
    """Begin to listen, or say why containers get no task endpoint."""
    if settings.task_endpoint == "off":
        return None
    try:
        gateway = await engine.find_bridge_gateway()
    except (EngineRefusal, EngineUnavailable) as trouble:
        LOG.warning("no task endpoint: %s", trouble)
        return None
    if gateway is None or not _is_here(gateway):
        LOG.info("no task endpoint: the Docker Engine's bridge isn't on this machine's network")
        return None
    address, has_credentials = link_local.ADDRESS, True
    try:
        link_local.add_address(address)
    except OSError as error:
        LOG.info("no address %s (%s): tasks get metadata, but no role", address, error)
        address, has_credentials = gateway, False
    facts = state_file.read_facts()
    known_port = int(facts.get(PORT_FACT, "0"))
    own = _listen_somewhere(address, known_port)
    if own is None:
        LOG.warning("no task endpoint: all ports of %s are taken", address)
        return None
    port = int(own.getsockname()[1])
    if known_port and port != known_port:
        LOG.warning("port %d is taken: running containers lose their metadata", known_port)
    secret = facts.get(SECRET_FACT) or secrets.token_hex(SECRET_BYTES)
    state_file.write_facts({SECRET_FACT: secret, PORT_FACT: str(port)})
    base_url = f"http://{address}" if has_credentials else f"http://{address}:{port}"
    return Listeners(
        own=own,
        facts=EndpointFacts(
            base_url=base_url, port=port, secret=secret, has_credentials=has_credentials
        ),
    )


def _listen_somewhere(address: str, known_port: int) -> socket.socket | None:
    """Listen where this agent listened before, else on the first free port."""
    for port in (*((known_port,) if known_port else ()), *range(FIRST_PORT, LAST_PORT + 1)):
        try:
            return link_local.listen_at(address, port)
        except OSError:
            continue
    return None


def _is_here(address: str) -> bool:
    try:
        link_local.listen_at(address, 0).close()
    except OSError:
        return False
    return True
