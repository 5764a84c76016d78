"""A desk at which tests call operations: a store, a clock, and answers as clients see them."""

from collections.abc import Callable
from typing import Any

import msgspec

from builders import NOW_MS, SCOPE, apply, at, make_store, put
from homeport.core.decision import Decision
from homeport.operations.context import CallContext
from homeport.state.changes import AnyRecord, Delete
from homeport.state.invariants import find_violations
from homeport.state.view import View
from homeport.wire.json11 import render_reply


class Desk:
    """Calls operations one after the other, each decision applied to the store at once."""

    def __init__(self, *records: AnyRecord) -> None:
        self.store = make_store(*records)
        self.view = View(self.store)
        self.now_ms = NOW_MS
        self._calls = 0

    def context(self) -> CallContext:
        """Make the surroundings of one more call: chance differs from call to call."""
        self._calls += 1
        moment = at(self.now_ms, seed=f"call {self._calls}")
        return CallContext(scope=SCOPE, moment=moment, endpoint="http://127.0.0.1:4566")

    def put(self, *records: AnyRecord) -> None:
        """Commit records as they are."""
        put(self.store, *records, now_ms=self.now_ms)

    def forget(self, table: str, key: str) -> None:
        """Commit the end of one record."""
        apply(self.store, Decision(changes=(Delete(table, key),)), self.now_ms)

    def decide(self, operation: Callable[..., Decision], request: object) -> Decision:
        """Carry out a call and return what was decided; the state must be sound afterwards."""
        decision = apply(self.store, operation(self.view, request, self.context()), self.now_ms)
        assert find_violations(self.store) == []
        return decision

    def ask(self, operation: Callable[..., Decision], request: object) -> dict[str, Any]:
        """Carry out a call and return its answer as a client reads it."""
        answer: dict[str, Any] = msgspec.json.decode(
            render_reply(self.decide(operation, request).reply)  # type: ignore[arg-type]
        )
        return answer
