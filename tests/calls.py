"""One call to a pure operation on a store: through the registry, with the request in AWS's JSON."""

from typing import Any

import msgspec

from builders import NOW_MS, SCOPE, apply, at
from homeport.api import ecs
from homeport.core.decision import Decision
from homeport.model.arn import Scope
from homeport.operations.context import CallContext
from homeport.operations.registry import OPERATIONS
from homeport.state.store import Store
from homeport.state.view import View
from homeport.wire.json11 import parse_request, render_reply


def decide(
    store: Store,
    operation: str,
    *,
    now_ms: int = NOW_MS,
    scope: Scope = SCOPE,
    **members: Any,
) -> Decision:
    """Parse a request of these members as the wire does, and decide on it; nothing is applied."""
    request = parse_request(ecs.OPERATIONS[operation], msgspec.json.encode(members))
    context = CallContext(scope=scope, moment=at(now_ms), endpoint="http://127.0.0.1:4566")
    return OPERATIONS[operation](View(store), request, context)


def call(
    store: Store,
    operation: str,
    *,
    now_ms: int = NOW_MS,
    scope: Scope = SCOPE,
    **members: Any,
) -> dict[str, Any]:
    """Decide, apply the changes, and return the reply as a client reads it."""
    decision = apply(store, decide(store, operation, now_ms=now_ms, scope=scope, **members), now_ms)
    reply: dict[str, Any] = msgspec.json.decode(render_reply(decision.reply))
    return reply
