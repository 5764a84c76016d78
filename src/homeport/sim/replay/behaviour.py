"""How tasks behave in a replay: as those of the journal did, drawn by what they run.

A task of a service's revision behaves as one that the journal had of it at about the same time, on
the same container instance where there is one; each does so once. When there are more than the
journal had, they are drawn from what it had. How long an image takes to pull depends on whether the
container instance has it already, in both worlds.
"""

from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Iterable

import msgspec

from homeport.sim.chance import Stream
from homeport.sim.replay.lives import TaskLife

START_DEFAULT_MS = 1_000
PULL_DEFAULT_MS = 0
STOP_DEFAULT_MS = 1_000
# With another stop code nobody waited for the containers' end.
STOPPED_BY_AGENTS = ("ServiceSchedulerInitiated", "UserInitiated")
SAMPLES_PER_POOL = 10_000  # of pulls, starts and stops an image each


class Behaviour(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One task's: spans in milliseconds, None where the journal doesn't say.

    A task that was stopped from outside might have run for ever, for all that is known.
    """

    source_arn: str | None = None  # of the journal's task
    instance_arn: str | None = None  # where that was
    is_cold: bool = False  # the first of its images on its container instance
    pull_ms: int | None = None
    start_ms: int | None = None  # from its placement until RUNNING, without the pull
    unstarted_ms: int = 0  # for so long it wasn't RUNNING, and then it had to stop
    fails_ms: int | None = None  # from its placement until it is STOPPED, never RUNNING
    runs_ms: int | None = None  # from RUNNING until it ends by itself
    until_ms: int | None = None  # when somebody or the scheduler stopped it, epoch milliseconds
    stop_ms: int | None = None  # from when its agent heard of that until STOPPED
    reason: str = ""
    exits: tuple[tuple[str, int | None, str | None], ...] = ()
    health: tuple[tuple[int, str], ...] = ()  # how long after RUNNING it became what


class Plan(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a simulated task is going to do: a behaviour without gaps."""

    source_arn: str | None
    start_ms: int
    fails_ms: int | None
    runs_ms: int | None
    until_ms: int | None
    stop_ms: int
    reason: str
    exits: tuple[tuple[str, int | None, str | None], ...]
    health: tuple[tuple[int, str], ...]


Kind = tuple[str | None, str]
"""A service's ARN, or None, and a task definition's."""

NEAR_MS = 60_000
"""How far apart in time two tasks may be made, and the one still stand for the other."""

NEIGHBOURS = 4
"""Of how many tasks made about then one is drawn when there are more than the journal had."""


class _Coming:
    """What one kind's further tasks will do, in the order in which the journal's were made."""

    def __init__(self) -> None:
        self._all: list[Behaviour] = []
        self._made_ms: list[int] = []
        self._taken: set[int] = set()
        self._waiting: deque[int] = deque()
        self._on: dict[str | None, deque[int]] = defaultdict(deque)  # by container instance

    def add(self, behaviour: Behaviour, made_ms: int) -> None:
        """Let one more follow."""
        number = len(self._all)
        self._all.append(behaviour)
        self._made_ms.append(made_ms)
        self._waiting.append(number)
        self._on[behaviour.instance_arn].append(number)

    def take(self, instance_arn: str | None, now_ms: int) -> Behaviour | None:
        """Take the next one of a container instance if there is one, or else the next of all.

        What delays a task is where it is, and when: an image that isn't there, an agent that is
        away, a registry that fails for an hour. So only one of about the same time will do.
        """
        for waiting in (self._on.get(instance_arn), self._waiting):
            number = self._nearest(waiting, now_ms) if waiting else None
            if number is not None:
                self._taken.add(number)
                return self._all[number]
        return None

    def _nearest(self, waiting: deque[int], now_ms: int) -> int | None:
        """Take out the one that nobody has yet and that was made nearest to this time, if any."""
        best, best_ms = None, NEAR_MS + 1
        while waiting:
            number = waiting[0]
            if number not in self._taken:
                distance_ms = abs(self._made_ms[number] - now_ms)
                is_later = self._made_ms[number] > now_ms and distance_ms > best_ms
                if is_later or distance_ms == best_ms:
                    break
                if distance_ms < best_ms:
                    best, best_ms = number, distance_ms
            waiting.popleft()  # the best one of all so far, or too old to be of any use
        return best

    def around(self, now_ms: int) -> list[Behaviour]:
        """Return what those did that were made at about this time, taken or not."""
        middle = bisect_left(self._made_ms, now_ms)
        window = range(max(0, middle - NEIGHBOURS), min(len(self._all), middle + NEIGHBOURS))
        nearest = sorted(window, key=lambda number: abs(self._made_ms[number] - now_ms))
        return [self._all[number] for number in nearest[:NEIGHBOURS]]


WAIT_FACTOR = 2  # what waited so long, and never started, is taken to need so many times that


class Behaviours:
    """All that is known of how tasks behave; each `plan` draws one."""

    def __init__(
        self, lives: Iterable[TaskLife], *, begins_ms: int, ends_ms: int, chance: Stream
    ) -> None:
        self._chance = chance
        self._begins_ms = begins_ms
        self._base: dict[Kind, deque[Behaviour]] = defaultdict(deque)
        self._next: dict[Kind, _Coming] = defaultdict(_Coming)
        self._by_arn: dict[str, Behaviour] = {}
        self._of_kind: dict[Kind, list[Behaviour]] = defaultdict(list)
        self._of_definition: dict[str, list[Behaviour]] = defaultdict(list)
        self._of_images: dict[str, list[Behaviour]] = defaultdict(list)
        self._pulls: dict[tuple[str, bool], list[int]] = defaultdict(list)
        self._starts: dict[str, list[int]] = defaultdict(list)
        self._stops: dict[str, list[int]] = defaultdict(list)
        held: set[tuple[str | None, str]] = set()
        for life in sorted(lives, key=lambda each: (each.created_ms, each.call, each.arn)):
            is_cold = (life.instance_arn, life.images) not in held
            held.add((life.instance_arn, life.images))
            if life.created_ms < begins_ms:
                is_going = life.stopping_ms is not None and life.stopping_ms < begins_ms
                known = _behave(life, begins_ms, ends_ms, is_cold=False)
                self._learn_base(life, known, is_going=is_going)
            elif life.placed_ms is not None:
                self._learn(life, _behave(life, life.placed_ms, ends_ms, is_cold=is_cold))

    def plan(
        self,
        kind: Kind,
        *,
        images: str,
        is_cold: bool,
        now_ms: int,
        instance_arn: str | None = None,
        source_arn: str | None = None,
    ) -> Plan:
        """Decide how the next task of this kind behaves; `source_arn` names whose life it has."""
        found = self._by_arn.pop(source_arn, None) if source_arn is not None else None
        if found is None:
            # Tasks of a deployment that is taken up again are among those that were there.
            found = self._take_base(kind)
        if found is None:
            found = self._next[kind].take(instance_arn, now_ms) or self._draw(kind, images, now_ms)
        is_its_own = found.source_arn is not None and found.instance_arn == instance_arn
        return self._complete(found, images, is_cold=found.is_cold if is_its_own else is_cold)

    def plan_base(
        self, kind: Kind, *, images: str, early_ms: int, source_arn: str | None = None
    ) -> Plan:
        """Decide how a task behaves that is made `early_ms` before the journal begins.

        One that ran by then does so at once. All else that it does is so much later for it.
        """
        found = self._by_arn.pop(source_arn, None) if source_arn is not None else None
        if found is None:
            found = self._take_base(kind)
        if found is None:
            plan = self.plan(kind, images=images, is_cold=False, now_ms=self._begins_ms)
        else:
            plan = self._complete(found, images, is_cold=False)
        is_up = found is not None and found.start_ms == 0
        late_ms = early_ms if is_up else 0
        return msgspec.structs.replace(
            plan,
            start_ms=0 if is_up else plan.start_ms + early_ms,
            fails_ms=None if plan.fails_ms is None else plan.fails_ms + early_ms,
            runs_ms=None if plan.runs_ms is None else plan.runs_ms + late_ms,
            health=tuple((after_ms + late_ms, status) for after_ms, status in plan.health),
        )

    def _take_base(self, kind: Kind) -> Behaviour | None:
        """Take the next one that was there and whose life nobody has yet."""
        queue = self._base[kind]
        while queue:
            found = self._by_arn.pop(queue.popleft().source_arn or "", None)
            if found is not None:
                return found
        return None

    def _learn_base(self, life: TaskLife, behaviour: Behaviour, *, is_going: bool) -> None:
        self._by_arn[life.arn] = behaviour
        if life.service_arn is not None and not is_going:
            self._base[life.service_arn, life.definition_arn].append(behaviour)
        _sample(self._stops[life.images], behaviour.stop_ms)

    def _learn(self, life: TaskLife, behaviour: Behaviour) -> None:
        kind = (life.service_arn, life.definition_arn)
        if life.service_arn is None:
            self._by_arn[life.arn] = behaviour
        else:
            self._next[kind].add(behaviour, life.created_ms)
        for pool in (
            self._of_kind[kind],
            self._of_definition[life.definition_arn],
            self._of_images[life.images],
        ):
            if len(pool) < SAMPLES_PER_POOL:
                pool.append(behaviour)
        _sample(self._starts[life.images], behaviour.start_ms)
        _sample(self._stops[life.images], behaviour.stop_ms)
        _sample(self._pulls[life.images, behaviour.is_cold], behaviour.pull_ms)

    def _draw(self, kind: Kind, images: str, now_ms: int) -> Behaviour:
        for pool in (
            self._next[kind].around(now_ms),
            self._of_kind.get(kind),
            self._of_definition.get(kind[1]),
            self._of_images.get(images),
        ):
            if pool:
                drawn = self._chance.pick(pool)
                return msgspec.structs.replace(drawn, source_arn=None, until_ms=None)
        return Behaviour(is_cold=True)

    def _complete(self, behaviour: Behaviour, images: str, *, is_cold: bool) -> Plan:
        pull_ms = behaviour.pull_ms
        if pull_ms is None or behaviour.is_cold != is_cold:
            other = self._pulls.get((images, not is_cold))
            pull_ms = self._sampled(self._pulls.get((images, is_cold)) or other, PULL_DEFAULT_MS)
        start_ms = behaviour.start_ms
        if start_ms is None:
            start_ms = self._sampled(self._starts.get(images), START_DEFAULT_MS)
        stop_ms = behaviour.stop_ms
        if stop_ms is None:
            stop_ms = self._sampled(self._stops.get(images), STOP_DEFAULT_MS)
        if pull_ms + start_ms <= behaviour.unstarted_ms:
            start_ms = behaviour.unstarted_ms * WAIT_FACTOR - pull_ms
        return Plan(
            source_arn=behaviour.source_arn,
            start_ms=pull_ms + start_ms,
            fails_ms=behaviour.fails_ms,
            runs_ms=behaviour.runs_ms,
            until_ms=behaviour.until_ms,
            stop_ms=stop_ms,
            reason=behaviour.reason,
            exits=behaviour.exits,
            health=behaviour.health,
        )

    def _sampled(self, samples: list[int] | None, default: int) -> int:
        return self._chance.pick(samples) if samples else default


def _behave(life: TaskLife, from_ms: int, ends_ms: int, *, is_cold: bool) -> Behaviour:
    """Learn from one life; its start counts from `from_ms`, when it was placed or known first."""
    has_ended_itself = life.stop_code in ("EssentialContainerExited", "TaskFailedToStart")
    is_new = life.created_ms >= from_ms or life.placed_ms == from_ms
    pull_ms = life.pull_ms if is_new else 0
    start_ms = fails_ms = runs_ms = stop_ms = running_ms = None
    unstarted_ms = 0
    if life.started_ms is not None:
        running_ms = max(from_ms, life.started_ms)
        start_ms = max(0, running_ms - from_ms - (pull_ms or 0))
    elif not has_ended_itself:
        unstarted_ms = max(0, _first(life.stopping_ms, life.stopped_ms, ends_ms) - from_ms)
    if life.stopped_ms is not None:
        if has_ended_itself and running_ms is None:
            fails_ms = max(0, life.stopped_ms - from_ms)
        elif has_ended_itself and running_ms is not None:
            runs_ms = max(0, life.stopped_ms - running_ms)
        elif life.stopping_ms is not None and life.stop_code in STOPPED_BY_AGENTS:
            stop_ms = max(0, life.stopped_ms - (life.told_ms or life.stopping_ms))
    health = life.health if running_ms is not None else ()
    return Behaviour(
        source_arn=life.arn,
        instance_arn=life.instance_arn,
        is_cold=is_cold,
        pull_ms=pull_ms,
        start_ms=start_ms,
        unstarted_ms=unstarted_ms,
        fails_ms=fails_ms,
        runs_ms=runs_ms,
        until_ms=None if has_ended_itself else life.stopping_ms,
        stop_ms=stop_ms,
        reason=life.reason,
        exits=life.exits if has_ended_itself else (),
        health=tuple((max(0, at_ms - (running_ms or 0)), status) for at_ms, status in health),
    )


def _first(*moments: int | None) -> int:
    return min(each for each in moments if each is not None)


def _sample(samples: list[int], value: int | None) -> None:
    if value is not None and len(samples) < SAMPLES_PER_POOL:
        samples.append(value)
