"""What is to be different in a replay: placement strategies, counts, percents, the fleet.

A change holds from the journal's beginning to its end, whatever calls in between say. How options
of the command line are written is decided here; what a service may have, by the API as always.
"""

from collections import Counter
from collections.abc import Callable, Sequence

import msgspec
from msgspec.structs import replace

from homeport.agent.instance_types import find_instance_type, list_instance_types
from homeport.api import ecs
from homeport.model.arn import make_container_instance_arn, scope_of, short_id
from homeport.model.capacity_provider import FARGATE
from homeport.model.container_instance import (
    ATTRIBUTE_AVAILABILITY_ZONE,
    ContainerInstance,
)
from homeport.model.service import Service
from homeport.sim.replay.deeds import (
    AgentCame,
    AgentWent,
    Deed,
    InstanceAltered,
    InstanceJoined,
    InstanceLeft,
    ServiceCreated,
    StatusSet,
    Written,
)
from homeport.sim.replay.workload import Workload

INSTANCES_LIMIT = 10_000
COUNT_LIMIT = 1_000_000
WHOLE_PERCENT = 100
PERCENT_LIMIT = 1_000
ZONES_LIMIT = 26
ATTRIBUTE_INSTANCE_TYPE = "ecs.instance-type"
BREAKER_WORDS = ("on", "off", "rollback")


class WhatIfError(Exception):
    """A change that can't be made; the text is one line that says why."""


class ServiceWish(msgspec.Struct, frozen=True, kw_only=True):
    """What is different of a service; None is as it was."""

    strategy: tuple[ecs.PlacementStrategy, ...] | None = None
    circuit_breaker: str | None = None  # one of BREAKER_WORDS
    desired_count: int | None = None
    minimum_healthy_percent: int | None = None
    maximum_percent: int | None = None

    def over(self, other: "ServiceWish") -> "ServiceWish":
        """Return this wish, with the other's where this one has none."""
        own = msgspec.structs.asdict(self)
        return replace(other, **{name: value for name, value in own.items() if value is not None})


class WhatIf(msgspec.Struct, frozen=True, kw_only=True):
    """All changes: for every service, for some by name, and of the fleet."""

    every_service: ServiceWish = ServiceWish()
    services: dict[str, ServiceWish] = {}
    instances: int | None = None
    instance_type: str | None = None
    zones: tuple[str, ...] = ()
    removed_instances: tuple[str, ...] = ()

    @property
    def is_nothing(self) -> bool:
        """Whether everything is as it was."""
        return self == WhatIf()

    @property
    def reshapes_instances(self) -> bool:
        """Whether an instance of the journal may be another one: what fitted may not fit."""
        return self.instance_type is not None or bool(self.zones)

    def wish_for(self, service: Service) -> ServiceWish:
        """Return what is different of a service; what it can't have is left out."""
        named = self.services.get(service.name)
        every = self.every_service
        if service.scheduling_strategy == "DAEMON" or service.task_launch_type == FARGATE:
            every = replace(every, strategy=None)
        return every if named is None else named.over(every)


# --- options as they are written ---------------------------------------------------------


def parse_strategy(text: str) -> tuple[ecs.PlacementStrategy, ...]:
    """Read `spread:attribute:ecs.availability-zone,binpack:memory`; `none` takes them away."""
    if text == "none":
        return ()
    strategies = []
    for part in text.split(","):
        kind, _, field = part.strip().partition(":")
        if kind not in ("spread", "binpack", "random") or (kind == "random") == bool(field):
            raise WhatIfError(
                f"{part.strip()!r} isn't a placement strategy: write spread:FIELD, binpack:cpu, "
                "binpack:memory or random, several with commas, or none"
            )
        strategies.append(ecs.PlacementStrategy(type=kind, field=field or None))
    return tuple(strategies)


def parse_breaker(text: str) -> str:
    """Read on, off, or rollback: on, and back to the last completed deployment."""
    if text not in BREAKER_WORDS:
        raise WhatIfError(f"{text!r} isn't on, off or rollback")
    return text


def parse_count(text: str) -> int:
    """Read a number of tasks."""
    return _whole(text, COUNT_LIMIT)


def parse_minimum_healthy_percent(text: str) -> int:
    """Read minimumHealthyPercent."""
    return _whole(text, WHOLE_PERCENT)


def parse_maximum_percent(text: str) -> int:
    """Read maximumPercent."""
    return _whole(text, PERCENT_LIMIT, least=WHOLE_PERCENT)


def parse_zones(text: str) -> tuple[str, ...]:
    """Read zones by name, with commas, or how many there are: 3 is zone-a, zone-b, zone-c."""
    if not text.isdigit():
        return tuple(name.strip() for name in text.split(",") if name.strip())
    count = _whole(text, ZONES_LIMIT)
    if not count:
        raise WhatIfError("there must be at least one zone")
    return tuple(f"zone-{chr(ord('a') + number)}" for number in range(count))


def parse_for_services(
    texts: Sequence[str], member: str, parse: Callable[[str], object]
) -> tuple[ServiceWish, dict[str, ServiceWish]]:
    """Read `[SERVICE=]VALUE` options of one member: for every service, and for those named."""
    every, named = ServiceWish(), dict[str, ServiceWish]()
    for text in texts:
        name, equals, value = text.partition("=")
        if equals:
            named[name] = replace(named.get(name, ServiceWish()), **{member: parse(value)})
        else:
            every = replace(every, **{member: parse(name)})
    return every, named


def _whole(text: str, most: int, *, least: int = 0) -> int:
    if not text.isdecimal() or not least <= int(text) <= most:
        raise WhatIfError(f"{text!r} isn't a whole number from {least} to {most}")
    return int(text)


# --- made of a workload --------------------------------------------------------------------


def change_workload(workload: Workload, what_if: WhatIf) -> Workload:
    """Return the workload with the fleet that is asked for; raises WhatIfError.

    Services are changed when their calls are made (`wish_for`); here it is checked that they exist.
    """
    known = {deed.service.name for deed in _created(workload)}
    for name in what_if.services:
        if name not in known:
            there = ", ".join(sorted(known)) or "none"
            raise WhatIfError(f"the journal knows no service {name!r}; there are: {there}")
    return _with_fleet(workload, what_if)


def _created(workload: Workload) -> list[ServiceCreated]:
    deeds = (*workload.base, *workload.deeds)
    return [deed for deed in deeds if isinstance(deed, ServiceCreated)]


def _joined(workload: Workload) -> list[InstanceJoined]:
    deeds = (*workload.base, *workload.deeds)
    return [deed for deed in deeds if isinstance(deed, InstanceJoined)]


def _with_fleet(workload: Workload, what_if: WhatIf) -> Workload:
    gone = {_find_instance(workload, text) for text in what_if.removed_instances}
    added: list[Deed] = []
    if what_if.instances is not None:
        added = _make_fleet(workload, what_if)
        gone |= {each.instance.arn for each in _joined(workload) if not each.instance.is_fargate}
    base = [deed for deed in workload.base if _instance_of(deed) not in gone]
    deeds = [deed for deed in workload.deeds if _instance_of(deed) not in gone]
    order = {deed.instance.arn: n for n, deed in enumerate(_joined(workload))}
    base = [_reshape_deed(deed, order, what_if) for deed in base]
    deeds = [_reshape_deed(deed, order, what_if) for deed in deeds]
    settings = [deed for deed in base if isinstance(deed, Written)]
    others = [deed for deed in base if not isinstance(deed, Written)]
    return replace(workload, base=[*settings, *added, *others], deeds=deeds)


def _find_instance(workload: Workload, text: str) -> str:
    """Return the ARN of the container instance that an id's beginning or an EC2 id names."""
    instances = {deed.instance.arn: deed.instance for deed in _joined(workload)}
    found = [
        arn
        for arn, each in instances.items()
        if text in (arn, each.ec2_instance_id) or short_id(arn).startswith(text)
    ]
    if len(found) != 1:
        there = ", ".join(short_id(arn)[:8] for arn in sorted(instances)) or "none"
        problem = "no container instance" if not found else "several container instances:"
        raise WhatIfError(f"the journal knows {problem} {text!r}; there are: {there}")
    return found[0]


def _instance_of(deed: Deed) -> str | None:
    if isinstance(deed, InstanceJoined):
        return deed.instance.arn
    if isinstance(deed, InstanceAltered | InstanceLeft | StatusSet | AgentCame | AgentWent):
        return deed.arn
    return None


def _make_fleet(workload: Workload, what_if: WhatIf) -> list[Deed]:
    """Make so many equal instances, like the commonest of the journal's, spread over its zones."""
    joined = [deed.instance for deed in _joined(workload)]
    if not joined:
        raise WhatIfError("the journal knows no container instance to take the new ones after")
    plain = [each for each in joined if not each.is_fargate] or joined
    sizes = Counter((each.instance_type, each.resources) for each in plain)
    commonest = sizes.most_common(1)[0][0]
    model = next(each for each in plain if (each.instance_type, each.resources) == commonest)
    zones = what_if.zones or tuple(
        sorted({zone for each in joined if (zone := each.availability_zone)})
    )
    deeds: list[Deed] = []
    scope, at_ms = scope_of(workload.cluster.arn), workload.begins_ms
    for number in range(what_if.instances or 0):
        arn = make_container_instance_arn(scope, workload.cluster.name, f"{number:032x}")
        like = replace(model, arn=arn, ec2_instance_id=None, status="ACTIVE", lost_at_ms=None)
        made = _reshape(like, number, replace(what_if, zones=zones))
        deeds.append(InstanceJoined(at_ms=at_ms, instance=made))
        deeds.append(AgentCame(at_ms=at_ms, arn=arn))
    return deeds


def _reshape_deed(deed: Deed, order: dict[str, int], what_if: WhatIf) -> Deed:
    if not what_if.reshapes_instances:
        return deed
    if isinstance(deed, InstanceJoined):
        number = order[deed.instance.arn]
        return replace(deed, instance=_reshape(deed.instance, number, what_if))
    if isinstance(deed, InstanceAltered):
        like = ContainerInstance(
            arn=deed.arn, cluster_arn="", attributes=deed.attributes, resources=deed.resources
        )
        made = _reshape(like, order[deed.arn], what_if)
        return replace(deed, attributes=made.attributes, resources=made.resources)
    return deed


def _reshape(instance: ContainerInstance, number: int, what_if: WhatIf) -> ContainerInstance:
    """Give an instance the size of a type, and one of the zones in turn."""
    attributes = dict(instance.attributes)
    if what_if.zones:
        attributes[ATTRIBUTE_AVAILABILITY_ZONE] = what_if.zones[number % len(what_if.zones)]
    if what_if.instance_type is None:
        return replace(instance, attributes=attributes)
    kind = find_instance_type(what_if.instance_type)
    if kind is None:
        families = sorted({name.partition(".")[0] for name in list_instance_types()})
        raise WhatIfError(
            f"instance type {what_if.instance_type!r} isn't known; write one like m5.large of "
            + ", ".join(families)
        )
    attributes[ATTRIBUTE_INSTANCE_TYPE] = what_if.instance_type
    resources = replace(
        instance.resources,
        cpu_units=kind.cpu_units,
        memory_mib=kind.memory_mib,
        gpu_ids=tuple(f"GPU-{n}" for n in range(kind.gpu_count)),
    )
    return replace(
        instance,
        instance_type=what_if.instance_type,
        attributes=attributes,
        resources=resources,
    )
