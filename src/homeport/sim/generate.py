"""Scenarios made up from a seed, so that every seed tries another mixture of things.

The scenario is a plain record before anything runs: it can be looked at, changed and minimised.
"""

from homeport.sim.chance import Stream
from homeport.sim.scenario import (
    Deed,
    Fault,
    Fleet,
    Image,
    Scenario,
    ServiceWish,
    Strategy,
    TaskFamily,
)

MACHINE_FAULTS = ("sockets", "network", "agent", "instance", "docker", "docker_hang", "containers")
OTHER_FAULTS = (
    "control_plane",
    "control_plane_at_commit",
    "disk_full",
    "slow_disk",
    "clock",
    "control_clock",
    "weather",
    "weather",
    "pulls",
)
STRATEGIES = (
    (),
    (),
    (Strategy(type="binpack", field="memory"),),
    (Strategy(type="spread", field="attribute:ecs.availability-zone"),),
    (
        Strategy(type="spread", field="attribute:ecs.availability-zone"),
        Strategy(type="binpack", field="cpu"),
    ),
    (Strategy(type="spread", field="instanceId"),),
    (Strategy(type="random"),),
)
PERCENTS = ((100, 200), (50, 200), (0, 100), (50, 100), (75, 150), (100, 110), (0, 200), (34, 134))


def generate_scenario(seed: int) -> Scenario:
    """Make up a scenario; the same seed gives the same one."""
    chance = Stream(seed, "scenario")
    fleet = _make_fleet(chance)
    images = {"steady": Image(), "fickle": _make_fickle_image(chance), "job": _make_job(chance)}
    tasks = {f"task-{n}": _make_task(chance, n) for n in range(chance.whole((1, 4)))}
    tasks["job"] = TaskFamily(image="job", cpu_units=64, memory_mib=64)
    families = [name for name in tasks if name != "job"]
    services = {
        f"service-{n}": _make_service(chance, families, fleet) for n in range(chance.whole((1, 5)))
    }
    safety_s = chance.whole((60, 240))
    deeds = tuple(
        _make_deed(chance, sorted(services), families, safety_s)
        for _ in range(chance.whole((2, 10)))
    )
    faults = tuple(_make_fault(chance, fleet, safety_s) for _ in range(chance.whole((1, 8))))
    return Scenario(
        title=f"made up from seed {seed}",
        safety_s=safety_s,
        fleet=fleet,
        images=images,
        tasks=tasks,
        services=services,
        deeds=deeds,
        faults=faults,
    )


def _make_fleet(chance: Stream) -> Fleet:
    zones = ("us-east-1a", "us-east-1b", "us-east-1c")[: chance.whole((1, 3))]
    return Fleet(
        instances=chance.whole((1, 8)),
        zones=zones,
        cpu_units=chance.pick((1_024, 2_048, 4_096)),
        memory_mib=chance.pick((1_024, 2_048, 8_192)),
        attributes={"stack": ("blue", "green")},
        starts_s=(0.0, chance.pick((1.0, 30.0))),
    )


def _make_fickle_image(chance: Stream) -> Image:
    return Image(
        pull_s=(0.1, chance.pick((1.0, 20.0))),
        start_s=(0.02, chance.pick((0.3, 5.0))),
        stop_s=(0.01, chance.pick((0.3, 12.0))),
        pull_fails=chance.pick((0.0, 0.1, 0.5)),
        start_fails=chance.pick((0.0, 0.1, 0.5)),
        crashes=chance.pick((0.0, 0.2, 1.0)),
        crash_s=(0.05, chance.pick((1.0, 60.0))),
        unhealthy=chance.pick((0.0, 0.2, 0.8)),
        ignores_stop=chance.pick((0.0, 0.3)),
    )


def _make_job(chance: Stream) -> Image:
    return Image(runs_s=(0.1, chance.pick((5.0, 40.0))))


def _make_task(chance: Stream, number: int) -> TaskFamily:
    has_sidecar = chance.happens(0.3)
    return TaskFamily(
        image=chance.pick(("steady", "steady", "fickle")),
        cpu_units=chance.pick((0, 64, 128, 256)),
        memory_mib=chance.pick((64, 128, 256)),
        host_ports=(8_000 + number,) if chance.happens(0.3) else (),
        has_dynamic_port=chance.happens(0.4),
        has_health_check=chance.happens(0.4),
        sidecar_image=chance.pick(("steady", "fickle")) if has_sidecar else None,
        sidecar_condition=chance.pick(("START", "HEALTHY")),
        stop_timeout_s=chance.pick((None, 2, 10)),
    )


def _make_service(chance: Stream, families: list[str], fleet: Fleet) -> ServiceWish:
    minimum, maximum = chance.pick(PERCENTS)
    return ServiceWish(
        task=chance.pick(families),
        count=chance.whole((0, 2 * fleet.instances)),
        minimum_healthy_percent=minimum,
        maximum_percent=maximum,
        grace_s=chance.pick((0, 0, 20)),
        strategies=chance.pick(STRATEGIES),
        is_distinct=chance.happens(0.2),
        member_of="attribute:stack == blue" if chance.happens(0.2) else None,
    )


def _make_deed(chance: Stream, services: list[str], families: list[str], safety_s: int) -> Deed:
    minimum, maximum = chance.pick(PERCENTS)
    counts = tuple(chance.whole((0, 12)) for _ in range(3))
    what = chance.pick(
        (
            "scale",
            "scale",
            "deploy",
            "deploy",
            "redeploy",
            "run",
            "stop",
            "drain",
            "activate",
            "deregister",
            "delete",
            "create",
            "percents",
        )
    )
    return Deed(
        do=what,  # type: ignore[arg-type]
        at_s=chance.real((1, safety_s)),
        every_s=chance.pick((None, 7.0, 30.0)),
        service=None if what == "stop" else chance.pick(services),
        task="job" if what == "run" else chance.pick((None, *families)),
        count=chance.whole((1, 5)),
        counts=counts if what == "scale" else (),
        percents=(minimum, maximum) if what == "percents" else None,
        instances=chance.whole((1, 3)),
    )


def _make_fault(chance: Stream, fleet: Fleet, safety_s: int) -> Fault:
    kinds = MACHINE_FAULTS if chance.happens(0.6) else OTHER_FAULTS
    return Fault(
        break_=chance.pick(kinds),  # type: ignore[arg-type]
        at_s=chance.real((1, safety_s)),
        for_s=(0.1, chance.pick((2.0, 30.0, 200.0))),
        every_s=chance.pick((None, 5.0, 20.0, 60.0)),
        zone=chance.pick(fleet.zones) if chance.happens(0.15) else None,
        instances=chance.whole((1, 3)),
        probability=chance.pick((0.02, 0.1, 0.3)),
    )
