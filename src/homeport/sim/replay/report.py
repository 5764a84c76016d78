"""A replay's report: before (the journal) and after (the simulation), side by side.

What is printed of it is the command's business, its picture that of `picture`.
"""

from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import msgspec

from homeport.sim.replay.lives import Chronicle, DeploymentLife
from homeport.sim.replay.player import Player, Replayed
from homeport.sim.replay.series import POINTS_LIMIT, Series, Span, measure
from homeport.sim.replay.what_if import WhatIf, change_workload
from homeport.sim.replay.workload import Workload, WorkloadError, read_workload
from homeport.storage.journal_reader import JournalReader

DEPLOYMENTS_SHOWN = 200
COMPLETED = "SUCCESSFUL"


class DeploymentPair(msgspec.Struct, frozen=True, kw_only=True):
    """The same deployment in both worlds; None where there was none, seconds until its end."""

    service: str
    at_s: float  # since the journal's beginning
    before_status: str | None = None
    before_s: float | None = None
    after_status: str | None = None
    after_s: float | None = None


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """What one world measured. Times are in seconds."""

    series: dict[str, Series]
    unplaced_task_seconds: float
    tasks: int  # that were created in the time
    failures: dict[str, int]
    deployments: int
    deployments_completed: int
    steady_s_mean: float | None  # of completed deployments, from the call to the end
    steady_s_longest: float | None


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """How far running tasks differ where nothing was changed: the check of the model."""

    running_difference_mean: float  # tasks, over all points
    running_difference_percent: float  # of the mean before
    running_difference_at_end: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All of a replay."""

    journal: str
    cluster: str
    seed: int
    begins_ms: int
    ends_ms: int
    first_commit: int
    last_commit: int
    is_unchanged: bool
    before: Side
    after: Side
    agreement: Agreement | None
    deployments: tuple[DeploymentPair, ...]
    simulated_steps: int
    simulated_commits: int
    refused: dict[str, int]  # calls of the replay that were answered with an error
    left_out: dict[str, int]  # commits of the journal whose calls aren't replayed


def replay(
    path: Path,
    *,
    cluster: str | None = None,
    what_if: WhatIf | None = None,
    seed: int = 0,
    points: int = POINTS_LIMIT,
    told: Callable[[str], None] = lambda _line: None,
) -> Report:
    """Replay a journal; raises StorageError, WorkloadError, TooManyTasks and WhatIfError."""
    changes = what_if or WhatIf()
    with JournalReader(path) as journal:
        workload = read_workload(journal, cluster)
    told(f"{len(workload.past.tasks)} tasks in {workload.last_commit} commits are read")
    if workload.ends_ms <= workload.begins_ms:
        raise WorkloadError("the journal is empty: nothing has happened since its first commit")
    changed = change_workload(workload, changes)
    replayed = Player(changed, changes, seed).play()
    told(f"{replayed.commits} commits are simulated")
    span = Span(begins_ms=workload.begins_ms, ends_ms=workload.ends_ms, points=points)
    # Deployments under way are taken up again at the beginning: they are older than the journal.
    since_ms = workload.begins_ms + (workload.first_commit > 1)
    before = _make_side(workload.past, span, [], since_ms)
    after = _make_side(replayed.chronicle, span, replayed.unplaced, since_ms)
    return _make_report(
        str(path), workload, replayed, changes, seed=seed, before=before, after=after
    )


def _make_report(
    path: str,
    workload: Workload,
    replayed: Replayed,
    what_if: WhatIf,
    *,
    seed: int,
    before: Side,
    after: Side,
) -> Report:
    return Report(
        journal=path,
        cluster=workload.cluster.name,
        seed=seed,
        begins_ms=workload.begins_ms,
        ends_ms=workload.ends_ms,
        first_commit=workload.first_commit,
        last_commit=workload.last_commit,
        is_unchanged=what_if.is_nothing,
        before=before,
        after=after,
        agreement=_agree(before, after) if what_if.is_nothing else None,
        deployments=_pair(workload, replayed.chronicle),
        simulated_steps=replayed.steps,
        simulated_commits=replayed.commits,
        refused=replayed.refused,
        left_out=workload.left_out,
    )


def _make_side(
    chronicle: Chronicle, span: Span, unplaced: list[tuple[int, int]], since_ms: int
) -> Side:
    series = measure(chronicle, span, unplaced)
    tasks = [life for life in chronicle.tasks.values() if life.created_ms >= span.begins_ms]
    failures: Counter[str] = Counter()
    for life in chronicle.tasks.values():
        ended_ms = life.stopped_ms
        if ended_ms is not None and ended_ms >= span.begins_ms and life.failure is not None:
            failures[life.failure] += 1
    deployments = _since(chronicle, since_ms)
    lasted = [
        seconds
        for each in deployments
        if each.status == COMPLETED and (seconds := _lasted_s(each)) is not None
    ]
    return Side(
        series=series,
        unplaced_task_seconds=series["unplaced"].mean * span.seconds,
        tasks=len(tasks),
        failures=dict(sorted(failures.items())),
        deployments=len(deployments),
        deployments_completed=len(lasted),
        steady_s_mean=sum(lasted) / len(lasted) if lasted else None,
        steady_s_longest=max(lasted) if lasted else None,
    )


def _agree(before: Side, after: Side) -> Agreement:
    was, became = before.series["running"], after.series["running"]
    pairs = list(zip(was.points, became.points, strict=True))
    difference = sum(abs(x - y) for x, y in pairs) / len(pairs)
    return Agreement(
        running_difference_mean=difference,
        running_difference_percent=100 * difference / was.mean if was.mean else 0.0,
        running_difference_at_end=became.last - was.last,
    )


def _since(chronicle: Chronicle, since_ms: int) -> list[DeploymentLife]:
    found = [each for each in chronicle.deployments.values() if each.created_ms >= since_ms]
    return sorted(found, key=lambda each: (each.created_ms, each.service))


def _lasted_s(life: DeploymentLife) -> float | None:
    return None if life.finished_ms is None else (life.finished_ms - life.created_ms) / 1_000


def _pair(workload: Workload, simulated: Chronicle) -> tuple[DeploymentPair, ...]:
    """Put the n-th deployment of a service beside the n-th one of the other world."""
    begins_ms = workload.begins_ms
    since_ms = begins_ms + (workload.first_commit > 1)
    others: dict[str, list[DeploymentLife]] = defaultdict(list)
    for life in _since(simulated, since_ms):
        others[life.service].append(life)
    pairs: list[tuple[DeploymentLife | None, DeploymentLife | None]] = []
    for life in _since(workload.past, since_ms):
        mates = others[life.service]
        pairs.append((life, mates.pop(0) if mates else None))
    pairs += [(None, life) for _, mates in sorted(others.items()) for life in mates]
    return tuple(_make_pair(*pair, begins_ms) for pair in pairs[:DEPLOYMENTS_SHOWN])


def _make_pair(
    before: DeploymentLife | None, after: DeploymentLife | None, begins_ms: int
) -> DeploymentPair:
    either = before or after
    assert either is not None
    return DeploymentPair(
        service=either.service,
        at_s=(either.created_ms - begins_ms) / 1_000,
        before_status=None if before is None else before.status,
        before_s=None if before is None else _lasted_s(before),
        after_status=None if after is None else after.status,
        after_s=None if after is None else _lasted_s(after),
    )
