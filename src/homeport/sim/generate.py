"""Scenarios made up from a seed, so that every seed tries another mixture of things.

The scenario is a plain record before anything runs: it can be looked at, changed and minimised.
"""

from msgspec.structs import replace

from homeport.sim.chance import Stream
from homeport.sim.scenario import (
    Breaker,
    Deed,
    Fault,
    Fleet,
    Image,
    Provider,
    Scenario,
    ServiceWish,
    Share,
    Staging,
    Strategy,
    TaskFamily,
)

MACHINE_FAULTS = ("sockets", "network", "agent", "instance", "docker", "docker_hang", "containers")
OTHER_FAULTS = (
    "control_plane",
    "control_plane_at_commit",
    "lease",
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
DAEMON_PERCENTS = ((0, 100), (50, 100))
PROVIDERS = ("east", "west")
ROLLING_PAUSES = ("RECONCILE_SERVICE", "PRE_SCALE_UP", "POST_SCALE_UP")
PAUSES = (*ROLLING_PAUSES, "POST_TEST_TRAFFIC_SHIFT", "PRE_PRODUCTION_TRAFFIC_SHIFT")
STAGINGS = ("BLUE_GREEN", "LINEAR", "CANARY", "ROLLING", "ROLLING")
KINDS = ("plain", "plain", "plain", "breaker", "breaker", "staged", "daemon", "external", "shares")
FLEET_DEEDS = ("run", "stop", "drain", "activate", "deregister", "join")
SERVICE_DEEDS = (
    "scale",
    "scale",
    "deploy",
    "deploy",
    "redeploy",
    "stop_deployment",
    "abort_deployment",
    "move",
    "restage",
    "controller",
    "answer",
    "protect",
    "unprotect",
    "delete",
    "create",
    "percents",
)
STAGED_DEEDS = (
    *("deploy", "deploy", "redeploy", "answer", "answer", "answer", "scale"),
    *("stop_deployment", "abort_deployment", "restage", "move"),
)
TASK_SET_DEEDS = (
    *("task_set", "task_set", "shift", "primary", "delete_task_set", "scale", "protect"),
    *("controller", "redeploy"),
)


def generate_scenario(seed: int) -> Scenario:
    """Make up a scenario; the same seed gives the same one."""
    chance = Stream(seed, "scenario")
    fleet = _make_fleet(chance)
    images = {
        "steady": Image(),
        "fickle": _make_fickle_image(chance),
        "job": _make_job(chance),
        "poisoned": Image(is_poisoned=True),
    }
    tasks = {f"task-{n}": _make_task(chance, n) for n in range(chance.whole((1, 4)))}
    families = list(tasks)
    tasks["job"] = TaskFamily(image="job", cpu_units=64, memory_mib=64)
    tasks["bad"] = TaskFamily(image="poisoned", cpu_units=64, memory_mib=64)
    tasks["pooled"] = TaskFamily(image="steady", is_fargate=True)
    services = {
        f"service-{n}": _make_service(chance, families, fleet) for n in range(chance.whole((1, 5)))
    }
    safety_s = chance.whole((60, 240))
    deeds = tuple(
        _make_deed(chance, services, families, safety_s) for _ in range(chance.whole((2, 10)))
    )
    faults = tuple(_make_fault(chance, fleet, safety_s) for _ in range(chance.whole((1, 8))))
    has_webhook = chance.happens(0.1)
    if has_webhook:
        faults = (*faults, replace(_make_fault(chance, fleet, safety_s), break_="webhooks"))
    return Scenario(
        title=f"made up from seed {seed}",
        safety_s=safety_s,
        fleet=fleet,
        images=images,
        tasks=tasks,
        providers={
            name: Provider(is_scaling_managed=chance.happens(0.5)) for name in PROVIDERS
        },
        services=services,
        webhooks=int(has_webhook),
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
        attributes={"stack": ("blue", "green"), "homeport.capacity-provider": PROVIDERS},
        starts_s=(0.0, chance.pick((1.0, 30.0))),
        pool=chance.pick((0, 0, 1, 2)),
        concurrent_starts=chance.pick((1, 2, 8)),
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
    plain = ServiceWish(
        task=chance.pick(families),
        count=chance.whole((0, 2 * fleet.instances)),
        minimum_healthy_percent=minimum,
        maximum_percent=maximum,
        grace_s=chance.pick((0, 0, 20)),
        strategies=chance.pick(STRATEGIES),
        is_distinct=chance.happens(0.2),
        member_of="attribute:stack == blue" if chance.happens(0.2) else None,
        rebalances_zones=chance.happens(0.8),
        rebalances_instances=chance.happens(0.15),
    )
    match chance.pick(KINDS):
        case "breaker":
            return replace(plain, breaker=_make_breaker(chance))
        case "staged":
            return replace(plain, staging=_make_staging(chance))
        case "external":
            return replace(plain, is_external=True)
        case "shares":
            return _share(chance, plain, fleet)
        case "daemon":
            minimum, maximum = chance.pick(DAEMON_PERCENTS)
            return replace(
                plain,
                is_daemon=True,
                is_distinct=False,
                strategies=(),
                minimum_healthy_percent=minimum,
                maximum_percent=maximum,
                breaker=_make_breaker(chance) if chance.happens(0.3) else None,
            )
    early = chance.pick((100, max(minimum, 50))) if chance.happens(0.15) else None
    return replace(plain, early_percent=early)


def _make_breaker(chance: Stream) -> Breaker:
    return Breaker(
        rolls_back=chance.happens(0.7),
        threshold_type=chance.pick(("BOUNDED_PERCENT", "UNBOUNDED_PERCENT", "COUNT")),
        threshold_value=chance.pick((1, 3, 10, 50)),
        resets_on_healthy=chance.happens(0.7),
    )


def _make_staging(chance: Stream) -> Staging:
    kind = chance.pick(STAGINGS)
    pauses = ROLLING_PAUSES if kind == "ROLLING" else PAUSES
    return Staging(
        kind=kind,  # type: ignore[arg-type]
        bake_min=chance.pick((0, 0, 1)),
        step_percent=chance.pick((20.0, 33.3, 50.0)),
        step_bake_min=chance.pick((0, 1)),
        pauses=tuple(chance.sample(pauses, chance.pick((0, 0, 1, 2)))),
        pause_min=chance.pick((1, 3)),
        pause_action=chance.pick(("ROLLBACK", "CONTINUE")),
    )


def _share(chance: Stream, plain: ServiceWish, fleet: Fleet) -> ServiceWish:
    if fleet.pool and chance.happens(0.5):
        return replace(
            plain,
            task="pooled",
            count=chance.whole((0, 4)),
            strategies=(),
            is_distinct=False,
            member_of=None,
            shares=(
                Share(provider="FARGATE", base=chance.whole((0, 2))),
                Share(provider="FARGATE_SPOT", weight=chance.whole((0, 3))),
            ),
        )
    return replace(plain, shares=_make_shares(chance))


def _make_shares(chance: Stream) -> tuple[Share, ...]:
    shares = (
        Share(provider="east", weight=chance.whole((1, 3)), base=chance.whole((0, 2))),
        Share(provider="west", weight=chance.whole((0, 3))),
    )
    return shares[: chance.whole((1, 2))]


def _make_deed(
    chance: Stream, services: dict[str, ServiceWish], families: list[str], safety_s: int
) -> Deed:
    minimum, maximum = chance.pick(PERCENTS)
    name = chance.pick(sorted(services))
    what = chance.pick(FLEET_DEEDS if chance.happens(0.35) else _deeds_of(services[name]))
    task = _family_of(chance, what, services[name], families)
    shares: tuple[Share, ...] = ()
    if what == "run":
        shares = (Share(provider="east"),) if chance.happens(0.3) else ()
    elif what == "move":
        task, shares = _make_move(chance, families)
    return Deed(
        do=what,  # type: ignore[arg-type]
        at_s=chance.real((1, safety_s)),
        every_s=chance.pick((None, 7.0, 30.0)),
        service=None if what == "stop" else name,
        task=task,
        count=chance.whole((1, 5)),
        counts=tuple(chance.whole((0, 12)) for _ in range(3)) if what == "scale" else (),
        percents=(minimum, maximum) if what == "percents" else None,
        instances=chance.whole((1, 3)),
        shares=shares,
        staging=_make_staging(chance) if what == "restage" and chance.happens(0.7) else None,
        minutes=chance.whole((1, 5)),
        percent=chance.pick((0.0, 10.0, 50.0, 100.0)),
        action=chance.pick(("CONTINUE", "CONTINUE", "ROLLBACK")),
    )


def _make_move(chance: Stream, families: list[str]) -> tuple[str, tuple[Share, ...]]:
    """Choose other capacity, and whose tasks can run there."""
    match chance.pick(("FARGATE", "providers", "providers", "launch type")):
        case "FARGATE":
            return "pooled", (Share(provider="FARGATE"),)
        case "providers":
            return chance.pick(families), _make_shares(chance)
    return chance.pick(families), ()


def _deeds_of(wish: ServiceWish) -> tuple[str, ...]:
    if wish.is_external:
        return TASK_SET_DEEDS
    return STAGED_DEEDS if wish.staging is not None else SERVICE_DEEDS


def _family_of(
    chance: Stream, what: str, wish: ServiceWish, families: list[str]
) -> str | None:
    """Return whose tasks a deed is about; now and then they can't start at all."""
    if what == "run":
        return "job"
    if wish.task == "pooled":
        return "pooled"
    return chance.pick((None, *families, "bad") if chance.happens(0.3) else (None, *families))


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
