"""Scenarios as plain records, read from TOML: a fleet, images, services, what is done, what fails.

Times are seconds of the simulation, probabilities are between 0 and 1, spans are [least, most].
What the words lead to is in `workload`, `faults` and `docker`. The library lies in `scenarios/`.
"""

from importlib.resources import files
from pathlib import Path
from typing import Literal

import msgspec

from homeport.agent.settings import DEFAULT_CONCURRENT_STARTS
from homeport.model.capacity_provider import FARGATE_PROVIDERS
from homeport.sim.chance import Span

SUFFIX = ".toml"
KEPT_SUFFIX = ".json"


class ScenarioError(Exception):
    """A scenario that can't be read; the text is one line that says what is wrong with it."""


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of a scenario: an unknown member is refused rather than ignored."""


class Fleet(Part, frozen=True):
    """The container instances: equal in size, spread evenly over the zones."""

    instances: int = 4
    zones: tuple[str, ...] = ("us-east-1a", "us-east-1b")
    cpu_units: int = 4_096
    memory_mib: int = 8_192
    attributes: dict[str, tuple[str, ...]] = {}  # values go round over the instances
    starts_s: Span = (0.0, 2.0)
    pool: int = 0  # further machines that take Fargate's place
    concurrent_starts: int = DEFAULT_CONCURRENT_STARTS  # of containers on one of them


class Image(Part, frozen=True):
    """How containers of an image behave. Failures of chance end with the safety phase."""

    pull_s: Span = (0.1, 0.8)
    start_s: Span = (0.02, 0.2)
    stop_s: Span = (0.01, 0.3)
    pull_fails: float = 0.0
    start_fails: float = 0.0
    crashes: float = 0.0  # that a container ends by itself with exit code 1 ...
    crash_s: Span = (0.1, 30.0)  # ... after so long
    runs_s: Span | None = None  # how long it works before it exits 0; None: for ever
    ignores_stop: float = 0.0  # that it must be killed
    health_s: Span = (1.0, 5.0)  # until the first health result
    unhealthy: float = 0.0  # that a container turns unhealthy ...
    unhealthy_s: Span = (2.0, 60.0)  # ... after so long
    is_poisoned: bool = False  # it never starts, in the liveness phase neither


class TaskFamily(Part, frozen=True):
    """A task definition of one container, plus an optional sidecar it waits for."""

    image: str
    cpu_units: int = 256
    memory_mib: int = 256
    host_ports: tuple[int, ...] = ()
    has_dynamic_port: bool = False
    has_health_check: bool = False
    sidecar_image: str | None = None
    sidecar_condition: Literal["START", "HEALTHY", "COMPLETE", "SUCCESS"] = "START"
    stop_timeout_s: int | None = None
    is_fargate: bool = False


class Strategy(Part, frozen=True):
    """One placement strategy."""

    type: str
    field: str | None = None


class Breaker(Part, frozen=True):
    """A deployment circuit breaker."""

    rolls_back: bool = True
    threshold_type: Literal["BOUNDED_PERCENT", "UNBOUNDED_PERCENT", "COUNT"] = "BOUNDED_PERCENT"
    threshold_value: int = 50
    resets_on_healthy: bool = True


class Staging(Part, frozen=True):
    """How a service's deployments go stage by stage; pauses are PAUSE hooks in these stages.

    ROLLING ones have stages only for their pauses and their bake time.
    """

    kind: Literal["BLUE_GREEN", "LINEAR", "CANARY", "ROLLING"]
    bake_min: int = 0
    step_percent: float = 25.0
    step_bake_min: int = 1
    pauses: tuple[str, ...] = ()
    pause_min: int = 5
    pause_action: Literal["ROLLBACK", "CONTINUE"] = "CONTINUE"


class Provider(Part, frozen=True):
    """A capacity provider of the cluster; its instances name it in an attribute of the fleet."""

    is_scaling_managed: bool = False  # tasks without room wait in PROVISIONING


class Share(Part, frozen=True):
    """One capacity provider's part in a strategy."""

    provider: str
    weight: int = 1
    base: int = 0


class ServiceWish(Part, frozen=True):
    """A service as it is created at the beginning; without percents it has ECS's."""

    task: str
    count: int = 2
    minimum_healthy_percent: int | None = None
    maximum_percent: int | None = None
    grace_s: int = 0
    strategies: tuple[Strategy, ...] = ()
    is_distinct: bool = False
    member_of: str | None = None
    is_daemon: bool = False
    is_external: bool = False  # of task sets; the first one has all of its tasks
    breaker: Breaker | None = None
    staging: Staging | None = None
    shares: tuple[Share, ...] = ()
    rebalances_zones: bool = True  # as far as the percents let it
    rebalances_instances: bool = False
    early_percent: int | None = None  # healthy percent at which a deployment has succeeded


class Deed(Part, frozen=True):
    """Something that a client does at a time, or again and again."""

    do: Literal[
        "scale",
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
        "protect",  # tasks of services from scale-in, for so many minutes
        "unprotect",
        "join",  # new container instances
        "move",  # the service to other capacity: `shares`, or its launch type when there are none
        "restage",  # its deployments go by `staging` from now on
        "controller",  # to the other deployment controller: ECS or EXTERNAL
        "stop_deployment",
        "abort_deployment",  # left as far as it is
        "answer",  # a PAUSE hook that waits
        "task_set",  # a further one of the service, at so many percent
        "shift",  # one task set of the service to so many percent
        "primary",  # one task set of the service
        "delete_task_set",
    ]
    at_s: float
    every_s: float | None = None
    service: str | None = None
    task: str | None = None
    count: int | None = None
    counts: tuple[int, ...] = ()  # taken in turn, one each time
    percents: tuple[int, int] | None = None
    instances: int = 1  # how many are drained, deregistered or join
    shares: tuple[Share, ...] = ()  # of `run` and `move`
    staging: Staging | None = None  # of `restage`; None: no hooks and no bake time
    minutes: int = 5  # of `protect`
    percent: float = 100.0  # of `task_set` and `shift`
    action: Literal["CONTINUE", "ROLLBACK"] = "CONTINUE"  # of `answer`


class Fault(Part, frozen=True):
    """Something that breaks at a time, for so long; again and again if `every_s` is given."""

    break_: Literal[
        "sockets",
        "network",
        "agent",
        "instance",
        "docker",
        "docker_hang",
        "containers",
        "control_plane",
        "control_plane_at_commit",  # killed between a commit and its answer and effects
        "lease",  # another one takes over, and the old one doesn't know
        "disk_full",
        "slow_disk",
        "clock",
        "control_clock",
        "weather",  # all four of these together, by `probability`
        "lost",  # calls, or their replies
        "late",  # calls and replies, so late that the next try may come before
        "doubled",  # calls: they arrive again, long after the first
        "reordered",  # calls and replies overtake each other, by `latency_s`
        "pulls",
        "webhooks",  # no endpoint takes events
    ] = msgspec.field(name="break")
    at_s: float
    for_s: Span = (1.0, 10.0)
    every_s: float | None = None
    zone: str | None = None
    instances: int = 1
    probability: float = 0.1  # that something happens to a call, or to its reply
    latency_s: Span = (0.0002, 0.2)
    skew_s: Span = (-600.0, 600.0)


class Scenario(Part, frozen=True):
    """A whole run: a safety phase of so many seconds with faults, then it must converge."""

    title: str = ""
    safety_s: float = 120.0
    converge_s: float = 7_200.0
    fleet: Fleet = Fleet()
    images: dict[str, Image] = {}
    tasks: dict[str, TaskFamily] = {}
    providers: dict[str, Provider] = {}
    services: dict[str, ServiceWish] = {}
    webhooks: int = 0  # endpoints that events are delivered to
    deeds: tuple[Deed, ...] = ()
    faults: tuple[Fault, ...] = ()


class KeptRun(Part, frozen=True):
    """A run that failed once, as JSON: its seed, what it found, and the whole scenario."""

    seed: int
    found: str
    scenario: Scenario
    crash_at: int | None = None  # the commit behind which the control plane was killed


def list_scenarios() -> list[str]:
    """Return the names in the library, in order."""
    folder = files("homeport.sim").joinpath("scenarios")
    names = (entry.name for entry in folder.iterdir())
    return sorted(name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX))


def read_scenario(name: str) -> Scenario:
    """Read a scenario of the library, a TOML file or a kept run; raises ScenarioError."""
    if name.endswith(KEPT_SUFFIX):
        return read_kept_run(Path(name)).scenario
    if name.endswith(SUFFIX) or "/" in name:
        try:
            text = Path(name).read_text()
        except OSError as error:
            raise ScenarioError(f"can't read the scenario {name}: {error.strerror}") from error
    else:
        found = files("homeport.sim").joinpath("scenarios", name + SUFFIX)
        if not found.is_file():
            known = ", ".join(list_scenarios())
            raise ScenarioError(f"no scenario is called {name!r}; there are {known}")
        text = found.read_text()
    return parse_scenario(text, name)


def parse_scenario(text: str, name: str) -> Scenario:
    """Read a scenario's TOML and check its references; raises ScenarioError."""
    try:
        scenario = msgspec.toml.decode(text, type=Scenario)
    except ValueError as error:
        raise ScenarioError(f"scenario {name}: {error}") from error
    complaint = next(iter(_dangling(scenario)), None)
    if complaint is not None:
        raise ScenarioError(f"scenario {name}: {complaint}")
    return scenario


def read_kept_run(path: Path) -> KeptRun:
    """Read a run that failed once; raises ScenarioError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=KeptRun)
    except OSError as error:
        raise ScenarioError(f"can't read the kept run {path}: {error.strerror}") from error
    except ValueError as error:
        raise ScenarioError(f"kept run {path}: {error}") from error


def render_kept_run(run: KeptRun) -> str:
    """Write a run as indented JSON, to be kept in a file."""
    return msgspec.json.format(msgspec.json.encode(run), indent=1).decode()


def _dangling(scenario: Scenario) -> list[str]:
    found = []
    for name, task in scenario.tasks.items():
        for image in (task.image, task.sidecar_image):
            if image is not None and image not in scenario.images:
                found.append(f"task {name} names the image {image!r}, which isn't there")
    wanted = [(f"service {name}", wish.task) for name, wish in scenario.services.items()]
    wanted += [(f"deed {deed.do}", deed.task) for deed in scenario.deeds if deed.task is not None]
    for who, task_name in wanted:
        if task_name not in scenario.tasks:
            found.append(f"{who} names the task {task_name!r}, which isn't there")
    for deed in scenario.deeds:
        if deed.service is not None and deed.service not in scenario.services:
            found.append(f"deed {deed.do} names the service {deed.service!r}, which isn't there")
    everybody = [(f"service {name}", wish.shares) for name, wish in scenario.services.items()]
    everybody += [(f"deed {deed.do}", deed.shares) for deed in scenario.deeds]
    for who, shares in everybody:
        for share in shares:
            if share.provider not in (*scenario.providers, *FARGATE_PROVIDERS):
                found.append(f"{who} names the provider {share.provider!r}, which isn't there")
    return found
