"""One machine's Docker Engine: images, containers and host ports, with times and failures.

It outlives the agent that drives it. What an answer means is the agent's business; how containers
of an image behave is the scenario's.
"""

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from homeport.agent.stimuli import FoundContainer
from homeport.agent.task_state import Binding
from homeport.sim.chance import Stream
from homeport.sim.clock import Life, Timeline
from homeport.sim.scenario import Image
from homeport.wire.agent_messages import payload

DYNAMIC_PORT_FIRST = 49_153
SIGKILL_EXIT_CODE = 137
SIGTERM_EXIT_CODE = 143
CRASH_EXIT_CODE = 1
CREATE_S = (0.005, 0.05)
SURVEY_S = (0.002, 0.02)
RECOVERY_MS = 10_000
LATE_ANSWERS = 0.1
LATE_ANSWER_S = (0.0, 2.0)
"""How many answers come later than what they tell of, behind its events, or never."""

MAIN = "main"


class Refusal(NamedTuple):
    """The Engine said no, in the words of the ECS agent."""

    reason: str


class Unavailable(NamedTuple):
    """The Engine doesn't answer."""


class Created(NamedTuple):
    """A container was created."""

    runtime_id: str


class Started(NamedTuple):
    """A container runs; its ports are bound."""

    bindings: tuple[Binding, ...]


class Done(NamedTuple):
    """It is done."""

    text: str = ""


class Shown(NamedTuple):
    """How a container is, if it exists."""

    is_running: bool = False
    exit_code: int | None = None


Answer = Refusal | Unavailable | Created | Started | Done | Shown
Then = Callable[[Answer], None]


class SimContainer(msgspec.Struct):
    """A container as `docker inspect` would show it."""

    runtime_id: str
    task_arn: str
    name: str
    spec: payload.Container
    status: str = "created"
    exit_code: int | None = None
    health: str = "UNKNOWN"
    bindings: tuple[Binding, ...] = ()
    runs: int = 0
    starts_until_ms: int = 0  # one start at a time: a second one waits for the first


class Listener:
    """Who follows the Engine's events: the agent that is up now, if any."""

    def container_died(self, container: SimContainer, at_ms: int) -> None:
        """Hear that a container has ended."""

    def health_changed(self, container: SimContainer) -> None:
        """Hear that a health check changed its mind."""

    def stream_broke(self) -> None:
        """Hear that the Engine is gone."""


class Luck:
    """Whether failures of chance happen at all: in the safety phase only."""

    def __init__(self) -> None:
        self.is_on = True
        self.pulls_slowed_by = 1.0


class SimDocker:
    """The Engine of one machine."""

    def __init__(
        self, timeline: Timeline, chance: Stream, images: dict[str, Image], luck: Luck
    ) -> None:
        self.containers: dict[str, SimContainer] = {}
        self.listener = Listener()
        self.is_up = True
        self.hangs_until_ms = 0
        self._timeline = timeline
        self._chance = chance
        self._images = images
        self._luck = luck
        self._pulled: dict[str, None] = {}
        self._life = Life()
        self._last_id = 0
        self._next_port = DYNAMIC_PORT_FIRST

    # faults
    def restart(self, down_ms: int, *, with_machine: bool = False) -> None:
        """Stop answering for a while; every container is killed."""
        self._life.end()
        self._life = Life()
        self.is_up = False
        for container in self.containers.values():
            if container.status == "running":
                self._end(container, SIGKILL_EXIT_CODE)
        if not with_machine:
            self.listener.stream_broke()
        self._timeline.after(down_ms, self._come_back)

    def hang(self, for_ms: int) -> None:
        """Answer nothing for a while; containers live on."""
        self.hangs_until_ms = max(self.hangs_until_ms, self._timeline.now_ms + for_ms)

    def kill_container(self, container: SimContainer) -> None:
        """Let a container's process be killed behind everybody's back."""
        self._exit(container, container.runs, SIGKILL_EXIT_CODE)

    def _come_back(self) -> None:
        self.is_up = True

    def send_stop_signal(self, runtime_id: str) -> bool:
        """Signal a container's process past the Engine; answers whether there was one."""
        container = self.containers.get(runtime_id)
        if container is None or container.status != "running":
            return False
        run, stop_ms = container.runs, self._draw_stop(container)
        if stop_ms is not None:
            end = SIGTERM_EXIT_CODE
            self._timeline.after(stop_ms, lambda: self._exit(container, run, end), self._life)
        return True

    # what the agent asks
    def pull(self, image: str, then: Then) -> None:
        """Make an image available, slowly the first time."""
        behaviour = self._image(image)
        seconds = self._luck.pulls_slowed_by
        delay_ms = round(self._chance.milliseconds(behaviour.pull_s) * seconds)
        if image in self._pulled:
            delay_ms = 1
        is_bad = behaviour.is_poisoned or self._fails(behaviour.pull_fails)

        def answer() -> Answer:
            if is_bad:
                return Refusal(f"CannotPullContainerError: pull access denied for {image}")
            self._pulled[image] = None
            return Done(f"sha256:{image}")

        self._answer(delay_ms, answer, then)

    def create(self, task_arn: str, spec: payload.Container, then: Then) -> None:
        """Create a container, or answer with the one that has its name already."""

        def answer() -> Answer:
            known = self.find(task_arn, spec.name)
            if known is not None:
                return Created(known)
            self._last_id += 1
            runtime_id = f"{self._last_id:012x}"
            self.containers[runtime_id] = SimContainer(
                runtime_id=runtime_id, task_arn=task_arn, name=spec.name, spec=spec
            )
            return Created(runtime_id)

        self._answer(self._chance.milliseconds(CREATE_S), answer, then)

    def start(self, runtime_id: str, then: Then) -> None:
        """Start a container: its ports must be free on the machine."""
        container = self.containers.get(runtime_id)
        behaviour = self._image(container.spec.image) if container else Image()
        is_bad = self._fails(behaviour.start_fails)

        def answer() -> Answer:
            if container is None or runtime_id not in self.containers:
                return Refusal(f"CannotStartContainerError: No such container: {runtime_id}")
            if container.status == "running":
                return Started(container.bindings)
            if is_bad:
                return Refusal("CannotStartContainerError: OCI runtime create failed")
            return self._run(container, behaviour)

        delay_ms = self._chance.milliseconds(behaviour.start_s)
        if container is not None:
            under_way_ms = container.starts_until_ms - self._timeline.now_ms
            if under_way_ms > 0:
                delay_ms = under_way_ms + 1
            container.starts_until_ms = self._timeline.now_ms + delay_ms
        self._answer(delay_ms, answer, then)

    def stop(self, runtime_id: str, timeout_s: int, then: Then) -> None:
        """Stop a container; one that ignores it, or takes longer, is killed after the time-out."""
        container = self.containers.get(runtime_id)
        stop_ms, limit_ms = self._draw_stop(container), timeout_s * 1_000
        is_killed = stop_ms is None or stop_ms > limit_ms

        def answer() -> Answer:
            if container is not None:
                code = SIGKILL_EXIT_CODE if is_killed else SIGTERM_EXIT_CODE
                self._exit(container, container.runs, code)
            return Done()

        self._answer(limit_ms if stop_ms is None else min(stop_ms, limit_ms), answer, then)

    def inspect(self, runtime_id: str, then: Then) -> None:
        """Show a container."""

        def answer() -> Answer:
            found = self.containers.get(runtime_id)
            return Shown(found.status == "running", found.exit_code) if found else Shown()

        self._answer(self._chance.milliseconds(SURVEY_S), answer, then)

    def remove(self, runtime_id: str, then: Then) -> None:
        """Remove a container whatever its state; gone is fine."""

        def answer() -> Answer:
            container = self.containers.pop(runtime_id, None)
            if container is not None and container.status == "running":
                self._end(container, SIGKILL_EXIT_CODE)
            return Done()

        self._answer(self._chance.milliseconds(CREATE_S), answer, then)

    def find(self, task_arn: str, name: str) -> str | None:
        """Return the id of the container of this name."""
        for known in self.containers.values():
            if known.task_arn == task_arn and known.name == name:
                return known.runtime_id
        return None

    def survey(self, then: Callable[[tuple[FoundContainer, ...] | None], None]) -> None:
        """Show every container; None when the Engine doesn't answer."""
        delay_ms = self._chance.milliseconds(SURVEY_S)
        if not self._is_answering():
            self._timeline.after(delay_ms, lambda: then(None))
            return
        found = tuple(
            FoundContainer(
                task_arn=c.task_arn,
                container_name=c.name,
                runtime_id=c.runtime_id,
                status=c.status,
                exit_code=c.exit_code,
                health=c.health,
                bindings=c.bindings,
            )
            for c in self.containers.values()
        )
        self._timeline.after(delay_ms, lambda: then(found))

    def running(self) -> list[SimContainer]:
        """Return the containers that run, in the order of their creation."""
        return [c for c in self.containers.values() if c.status == "running"]

    def _is_answering(self) -> bool:
        return self.is_up and self._timeline.now_ms >= self.hangs_until_ms

    def _answer(self, delay_ms: int, answer: Callable[[], Answer], then: Then) -> None:
        """Do something after a while and say so, unless the Engine is gone by then."""
        life = self._life

        def act() -> None:
            if life.is_over or not self.is_up:
                then(Unavailable())
            elif self._timeline.now_ms < self.hangs_until_ms:
                self._timeline.at(self.hangs_until_ms, act)
            elif self._fails(LATE_ANSWERS):
                result = answer()
                late_ms = self._chance.milliseconds(LATE_ANSWER_S)
                self._timeline.after(late_ms, lambda: say(result))
            else:
                then(answer())

        def say(result: Answer) -> None:
            is_lost = life.is_over or not self.is_up
            then(Unavailable() if is_lost else result)

        self._timeline.after(delay_ms, act)

    def _run(self, container: SimContainer, behaviour: Image) -> Answer:
        taken = {(b.protocol, b.host_port) for other in self.running() for b in other.bindings}
        bindings = []
        for mapping in container.spec.port_mappings:
            protocol = mapping.protocol or "tcp"
            port = mapping.host_port or self._free_port(protocol, taken)
            if (protocol, port) in taken:
                return Refusal(f"CannotStartContainerError: port {port} is already allocated")
            taken.add((protocol, port))
            bindings.append(
                Binding(
                    bind_ip="0.0.0.0",
                    protocol=protocol,
                    container_port=mapping.container_port,
                    host_port=port,
                )
            )
        container.status, container.exit_code, container.health = "running", None, "UNKNOWN"
        container.bindings = tuple(bindings)
        container.runs += 1
        self._plan_life(container, behaviour)
        return Started(container.bindings)

    def _free_port(self, protocol: str, taken: set[tuple[str, int | None]]) -> int:
        while (protocol, self._next_port) in taken:
            self._next_port += 1
        self._next_port += 1
        if self._next_port > 65_535:
            self._next_port = DYNAMIC_PORT_FIRST
        return self._next_port - 1

    def _plan_life(self, container: SimContainer, behaviour: Image) -> None:
        run = container.runs

        def crash() -> None:
            if self._luck.is_on:
                self._exit(container, run, CRASH_EXIT_CODE)

        if self._fails(behaviour.crashes):
            delay_ms = self._chance.milliseconds(behaviour.crash_s)
            self._timeline.after(delay_ms, crash, self._life)
        if behaviour.runs_s is not None:
            delay_ms = self._chance.milliseconds(behaviour.runs_s)
            self._timeline.after(delay_ms, lambda: self._exit(container, run, 0), self._life)
        if container.spec.health_check_type.lower() != "docker":
            return
        delay_ms = self._chance.milliseconds(behaviour.health_s)
        self._plan_health(container, delay_ms, "HEALTHY", run)
        if self._fails(behaviour.unhealthy):
            delay_ms += self._chance.milliseconds(behaviour.unhealthy_s)
            self._plan_health(container, delay_ms, "UNHEALTHY", run)

    def _plan_health(
        self, container: SimContainer, delay_ms: int, health: str, run: int
    ) -> None:
        def change() -> None:
            is_luck_over = health == "UNHEALTHY" and not self._luck.is_on
            if container.runs != run or container.status != "running" or is_luck_over:
                return
            container.health = health
            self._tell(lambda: self.listener.health_changed(container))
            if health == "UNHEALTHY" and container.name != MAIN:
                self._timeline.after(RECOVERY_MS, recover, self._life)

        def recover() -> None:
            """A sidecar gets well when failures of chance have ended: nobody would replace it."""
            if self._luck.is_on:
                self._timeline.after(RECOVERY_MS, recover, self._life)
            else:
                self._plan_health(container, 1, "HEALTHY", run)

        self._timeline.after(delay_ms, change, self._life)

    def _exit(self, container: SimContainer, run: int, code: int) -> None:
        if container.runs == run and container.status == "running":
            self._end(container, code)
            at_ms = self._timeline.now_ms
            self._tell(lambda: self.listener.container_died(container, at_ms))

    def _tell(self, event: Callable[[], None]) -> None:
        """Let an event out at once; a hanging Engine holds it back."""
        if self._timeline.now_ms >= self.hangs_until_ms:
            event()
        else:
            self._timeline.at(self.hangs_until_ms, event, self._life)

    def _end(self, container: SimContainer, code: int) -> None:
        container.status, container.exit_code = "exited", code
        container.bindings = ()

    def _draw_stop(self, container: SimContainer | None) -> int | None:
        """Draw how many milliseconds a container takes to stop; None: it ignores the signal."""
        behaviour = self._image(container.spec.image) if container else Image()
        is_deaf = self._fails(behaviour.ignores_stop)
        return None if is_deaf else self._chance.milliseconds(behaviour.stop_s)

    def _image(self, name: str) -> Image:
        # A payload may name an image by the digest that an earlier task of the service ran.
        return self._images.get(name.partition("@")[0], Image())

    def _fails(self, probability: float) -> bool:
        # Drawn in any case, so that the luck of one image doesn't shift another's.
        return self._chance.happens(probability) and self._luck.is_on
