"""ACS sessions for tests, over a store of the test's own: no sockets, no clock."""

from collections.abc import Iterator
from itertools import count
from typing import Any

from builders import NOW_MS, hex_id
from homeport.gateway.admission import AgentIdentity
from homeport.gateway.limits import GatewayLimits
from homeport.gateway.outputs import CloseConnection, Outputs, SendFrame
from homeport.gateway.payloads import PayloadTasks
from homeport.gateway.session import AcsSession, SequenceNumbers
from homeport.model.container_instance import ContainerInstance
from homeport.state.store import Store
from homeport.state.view import View
from homeport.wire.agent_messages import acs


def draw_ids() -> Iterator[str]:
    """Make ids that are the same in every run."""
    return (hex_id(number) for number in count())


def make_identity(instance: ContainerInstance, **members: Any) -> AgentIdentity:
    """Make the identity of an agent that acknowledges heartbeats."""
    return AgentIdentity(
        container_instance_arn=instance.arn,
        cluster_arn=instance.cluster_arn,
        **{"answers_heartbeats": True, **members},
    )


def make_session(
    store: Store,
    instance: ContainerInstance,
    *,
    limits: GatewayLimits | None = None,
    sequence: SequenceNumbers | None = None,
    now_ms: int = NOW_MS,
    **members: Any,
) -> AcsSession:
    """Make a session of a container instance's agent."""
    view = View(store)
    return AcsSession(
        identity=make_identity(instance, **members),
        view=view,
        payload_tasks=PayloadTasks(view),
        sequence=sequence or SequenceNumbers(),
        ids=draw_ids(),
        limits=limits or GatewayLimits(),
        now_ms=now_ms,
    )


def sent(outputs: Outputs, kind: type[Any]) -> list[Any]:
    """Return the messages of one kind that shall be sent."""
    messages = [output.message for output in outputs if isinstance(output, SendFrame)]
    return [message for message in messages if isinstance(message, kind)]


def payload_arns(outputs: Outputs) -> list[list[str]]:
    """Return the task ARNs of each payload that shall be sent."""
    return [[task.arn for task in p.tasks] for p in sent(outputs, acs.PayloadMessage)]


def closes(outputs: Outputs) -> bool:
    """Whether the connection shall be closed."""
    return any(isinstance(output, CloseConnection) for output in outputs)
