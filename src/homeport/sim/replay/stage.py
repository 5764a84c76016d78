"""What every part of a replay plays on: its time, its state, and calls of the API upon it."""

from collections import Counter

import msgspec

from homeport.api.errors import AwsError
from homeport.core.decision import Decision
from homeport.core.effects import SendTasks
from homeport.engine.engine import Engine
from homeport.engine.events import ApiCalled
from homeport.model.arn import scope_of
from homeport.model.task import Task
from homeport.operations.context import CallContext
from homeport.operations.registry import Operation
from homeport.sim.clock import Timeline
from homeport.sim.replay.what_if import WhatIf
from homeport.sim.replay.workload import Workload
from homeport.state.changes import AnyRecord, Change, Put
from homeport.state.view import View

ENDPOINT = "http://replay"
WRITE, PLACE = "Replay.Write", "Replay.Place"


class Stage:
    """One replay's engine, asked as clients and agents ask it; every answer comes at once."""

    def __init__(
        self, workload: Workload, what_if: WhatIf, *, timeline: Timeline, engine: Engine
    ) -> None:
        self.workload = workload
        self.what_if = what_if
        self.timeline = timeline
        self.refused: Counter[str] = Counter()
        self._engine = engine
        self._scope = scope_of(workload.cluster.arn)

    @property
    def view(self) -> View:
        """The state as it is now."""
        return self._engine.view

    def call(self, operation: str, request: object) -> object:
        """Carry out a call; a refusal is counted, and answered with None."""
        event = ApiCalled(
            operation=operation,
            request=request,
            account_id=self._scope.account_id,
            region=self._scope.region,
            endpoint=ENDPOINT,
        )
        replies: list[object] = []
        self._engine.call(event, replies.append)
        reply = replies[0]
        if isinstance(reply, AwsError):
            self.refused[f"{operation}: {reply.message}"] += 1
            return None
        return reply

    def write(self, *records: AnyRecord) -> None:
        """Write records as they stand."""
        self.call(WRITE, tuple(Put(record) for record in records))


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    """What the operation PLACE takes: a task that has its container instance."""

    task: Task


def write_records(
    _view: object, changes: tuple[Change, ...], _context: CallContext
) -> Decision:
    """Write records: an operation that only a replay has."""
    return Decision(changes=changes)


def place_task(_view: object, placed: Placed, _context: CallContext) -> Decision:
    """Write a task and send it to its agent: an operation that only a replay has."""
    task = placed.task
    arn = task.container_instance_arn or ""
    return Decision(changes=(Put(task),), effects=(SendTasks(arn, (task.arn,)),))


OWN_OPERATIONS: dict[str, Operation] = {WRITE: write_records, PLACE: place_task}
