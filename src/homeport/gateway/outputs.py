"""What a session wants done: the closed list of its outputs, which the edge carries out in order.

Sessions (`session`, `telemetry_session`) are pure; `connections` owns sockets, engine and log.
"""

import msgspec

from homeport.engine.events import AgentEvent
from homeport.wire.agent_messages import tcs
from homeport.wire.agent_messages.frames import Message

CLOSE_NORMAL = 1000
CLOSE_GOING_AWAY = 1001
CLOSE_POLICY = 1008
CLOSE_TRY_LATER = 1013


class SendFrame(msgspec.Struct, frozen=True, gc=False):
    """Send a message. One that tells of state waits until that state is durable."""

    message: Message
    tells_state: bool = False


class CloseConnection(msgspec.Struct, frozen=True, gc=False):
    """Close the websocket behind the frames already on their way."""

    code: int
    reason: str


class ObserveEvent(msgspec.Struct, frozen=True, gc=False):
    """Hand an event to the engine."""

    event: AgentEvent


class KeepMetrics(msgspec.Struct, frozen=True, gc=False):
    """Hand published metrics to whoever keeps them."""

    container_instance_arn: str
    metrics: tcs.PublishMetricsRequest


class WriteNote(msgspec.Struct, frozen=True, gc=False):
    """Log one line."""

    text: str
    is_warning: bool = False


Output = SendFrame | CloseConnection | ObserveEvent | KeepMetrics | WriteNote
Outputs = list[Output]
