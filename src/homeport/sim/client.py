"""A client of the public API: sends calls over the simulated network, again until answered."""

from collections.abc import Callable
from typing import Any

import msgspec

from homeport.api import ecs
from homeport.api.shapes import Shape
from homeport.sim.clock import Life, Timeline
from homeport.sim.network import Network, Reply
from homeport.sim.trace import Trace

CLIENT = "client"
RETRY_MS = 500
HTTP_OK = 200
HTTP_SERVER_ERROR = 500

Then = Callable[[Any], None]


def _no_more(_reply: Any) -> None:
    """Nothing follows from the answer."""


class Client:
    """One patient client; a refusal is an answer, too."""

    def __init__(self, timeline: Timeline, network: Network, trace: Trace) -> None:
        self.refusals: dict[str, int] = {}
        self.answers = 0
        self._timeline = timeline
        self._network = network
        self._trace = trace
        self._life = Life()
        self._open = 0
        self._last_token = 0

    @property
    def is_idle(self) -> bool:
        """Whether every call was answered."""
        return self._open == 0

    def next_token(self) -> str:
        """Return a fresh idempotency token."""
        self._last_token += 1
        return f"token-{self._last_token}"

    def call(
        self, operation: str, request: Shape, then: Then = _no_more, refused: Then = _no_more
    ) -> None:
        """Send a call until it is answered; `then` gets the reply, `refused` the error's bytes."""
        self._open += 1
        body = msgspec.json.encode(request)
        self._trace.note("client", operation, body.decode())

        def answered(reply: Reply | None) -> None:
            if reply is None or reply.status >= HTTP_SERVER_ERROR:
                self._timeline.after(RETRY_MS, send, self._life)
                return
            self._open -= 1
            self.answers += 1
            if reply.status == HTTP_OK:
                then(msgspec.json.decode(reply.body, type=ecs.OPERATIONS[operation].output_type))
            else:
                text = reply.body.decode()
                self.refusals[text] = self.refusals.get(text, 0) + 1
                refused(text)

        def send() -> None:
            self._network.call(CLIENT, operation, body, on_reply=answered, owner=self._life)

        send()
