"""What a chronicle measures over time: gauges of a cluster, in buckets, with means and peaks.

A gauge changes at moments and stays between them; means are over time, so a moment counts nothing.
"""

from collections import Counter
from collections.abc import Iterator

import msgspec

from homeport.sim.replay.lives import Chronicle, TaskLife

POINTS_LIMIT = 240
PERCENT = 100.0

GAUGES = (
    "running",
    "unplaced",
    "cpu_percent",
    "memory_percent",
    "zone_imbalance",
    "instances_used",
    "instances",
)


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """One gauge: the mean of each bucket, and over the whole time mean, peak and last value."""

    points: tuple[float, ...]
    mean: float
    peak: float
    last: float


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """The time that is looked at, in epoch milliseconds, and in how many buckets."""

    begins_ms: int
    ends_ms: int
    points: int = POINTS_LIMIT

    @property
    def bucket_ms(self) -> float:
        """How long a bucket is."""
        return (self.ends_ms - self.begins_ms) / self.points

    @property
    def seconds(self) -> float:
        """How long it is in all."""
        return (self.ends_ms - self.begins_ms) / 1_000


# What changes at a moment, and by how much; a name is that of a count below.
_Step = tuple[int, str, str, int]


class _Counts:
    """What the gauges are computed from, at one moment."""

    def __init__(self) -> None:
        self.values: Counter[str] = Counter()
        self.zones: dict[str, int] = {}  # tasks in each zone that has instances
        self.zone_instances: Counter[str] = Counter()
        self.used: Counter[str] = Counter()  # tasks of each container instance
        self.wanted: Counter[str] = Counter()  # of each service
        self.placed: Counter[str] = Counter()
        self.missing = 0  # over all services: wanted, and not placed

    def apply(self, name: str, key: str, by: int) -> None:
        """Carry out one step."""
        if name in ("wanted", "placed"):
            before = max(0, self.wanted[key] - self.placed[key])
            getattr(self, name)[key] += by
            self.missing += max(0, self.wanted[key] - self.placed[key]) - before
        elif name == "zone":
            self.zones[key] = self.zones.get(key, 0) + by
        elif name == "zone_instances":
            self.zone_instances[key] += by
        elif name == "used":
            self.used[key] += by
            if not self.used[key]:
                del self.used[key]
        else:
            self.values[name] += by

    def gauges(self) -> tuple[float, ...]:
        """Compute all gauges, in the order of GAUGES."""
        values = self.values
        there = [self.zones.get(z, 0) for z, count in self.zone_instances.items() if count]
        return (
            values["running"],
            values["waiting"] + self.missing,
            _share(values["cpu"], values["cpu_total"]),
            _share(values["memory"], values["memory_total"]),
            max(there) - min(there) if there else 0,
            len(self.used),
            values["instances"],
        )


def measure(
    chronicle: Chronicle, span: Span, unplaced: list[tuple[int, int]]
) -> dict[str, Series]:
    """Measure all gauges; `unplaced` are further tasks without a place, from when until when."""
    counts = _Counts()
    areas = [[0.0] * span.points for _ in GAUGES]
    peaks = [0.0] * len(GAUGES)
    now_ms = span.begins_ms
    gauges: tuple[float, ...] | None = None  # None: a step has changed them
    for at_ms, name, key, by in sorted(_steps(chronicle, unplaced)):
        if at_ms > now_ms:
            until_ms = min(at_ms, span.ends_ms)
            gauges = counts.gauges() if gauges is None else gauges
            _spread(areas, peaks, gauges, during_ms=(now_ms, until_ms), span=span)
            now_ms = until_ms
        if at_ms > span.ends_ms:
            break
        counts.apply(name, key, by)
        gauges = None
    last = counts.gauges()
    _spread(areas, peaks, last, during_ms=(now_ms, span.ends_ms), span=span)
    return {
        name: Series(
            points=tuple(round(area / span.bucket_ms, 3) for area in areas[number]),
            mean=sum(areas[number]) / (span.ends_ms - span.begins_ms),
            peak=peaks[number],
            last=last[number],
        )
        for number, name in enumerate(GAUGES)
    }


def _spread(
    areas: list[list[float]],
    peaks: list[float],
    gauges: tuple[float, ...],
    *,
    during_ms: tuple[int, int],
    span: Span,
) -> None:
    """Add what the gauges were for a while to the buckets that it touches."""
    begins_ms, ends_ms = during_ms
    if ends_ms <= begins_ms:
        return
    for number, value in enumerate(gauges):
        peaks[number] = max(peaks[number], value)
    bucket_ms = span.bucket_ms
    first = min(span.points - 1, int((begins_ms - span.begins_ms) / bucket_ms))
    last = min(span.points - 1, int((ends_ms - span.begins_ms) / bucket_ms))
    for bucket in range(first, last + 1):
        low = max(begins_ms, span.begins_ms + bucket * bucket_ms)
        high = min(ends_ms, span.begins_ms + (bucket + 1) * bucket_ms)
        for number, value in enumerate(gauges):
            if value:
                areas[number][bucket] += value * max(0.0, high - low)


def _steps(chronicle: Chronicle, unplaced: list[tuple[int, int]]) -> Iterator[_Step]:
    for life in chronicle.tasks.values():
        yield from _task_steps(life)
    for instance in chronicle.instances.values():
        gone_ms = instance.left_ms
        for name, key, amount in (
            ("instances", "", 1),
            ("cpu_total", "", instance.cpu_units),
            ("memory_total", "", instance.memory_mib),
            ("zone_instances", instance.zone, 1),
        ):
            yield instance.joined_ms, name, key, amount
            if gone_ms is not None:
                yield gone_ms, name, key, -amount
    for arn, service in chronicle.services.items():
        before = 0
        for at_ms, wanted in service.wishes:
            yield at_ms, "wanted", arn, wanted - before
            before = wanted
    for begins_ms, ends_ms in unplaced:
        yield begins_ms, "waiting", "", 1
        yield ends_ms, "waiting", "", -1


def _task_steps(life: TaskLife) -> Iterator[_Step]:
    stopped_ms = life.stopped_ms
    stopping_ms = stopped_ms if life.stopping_ms is None else life.stopping_ms
    if life.service_arn is None:
        # A service's tasks that wait for capacity count as missing.
        placed_ms = stopping_ms if life.placed_ms is None else life.placed_ms
        yield life.created_ms, "waiting", "", 1
        if placed_ms is not None:
            yield placed_ms, "waiting", "", -1
    if life.placed_ms is None:
        return
    held = (
        ("cpu", "", life.cpu_units),
        ("memory", "", life.memory_mib),
        ("zone", life.zone, 1),
        ("used", life.instance_arn or "", 1),
    )
    for name, key, amount in held:
        yield life.placed_ms, name, key, amount
        if stopped_ms is not None:
            yield stopped_ms, name, key, -amount
    if life.service_arn is not None:
        yield life.placed_ms, "placed", life.service_arn, 1
        if stopping_ms is not None:
            yield stopping_ms, "placed", life.service_arn, -1
    if life.started_ms is not None and (stopping_ms is None or life.started_ms < stopping_ms):
        yield life.started_ms, "running", "", 1
        if stopping_ms is not None:
            yield stopping_ms, "running", "", -1


def _share(part: float, whole: float) -> float:
    return PERCENT * part / whole if whole else 0.0
