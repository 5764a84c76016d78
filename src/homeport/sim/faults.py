"""What breaks in a run's safety phase, when, and that it is whole again when the phase ends."""

from homeport.sim.chance import Chance
from homeport.sim.clock import Timeline
from homeport.sim.disk import QUICK_S, SimDisk
from homeport.sim.docker import Luck
from homeport.sim.machine import SimMachine
from homeport.sim.network import Network
from homeport.sim.nodes import Nodes
from homeport.sim.scenario import Fault, Scenario
from homeport.sim.trace import Trace
from homeport.sim.webhooks import SimWebhooks

CONTAINERS_KILLED = 2
WRITES_UNTIL_CRASH = (1, 8)
SLOW_PULLS = 20.0
SLOW_DISK_S = (0.05, 1.5)


class Faults:
    """All faults of one run; none outlasts the safety phase, except a stopped container."""

    def __init__(
        self,
        timeline: Timeline,
        scenario: Scenario,
        *,
        chance: Chance,
        nodes: Nodes,
        disk: SimDisk,
        network: Network,
        machines: list[SimMachine],
        luck: Luck,
        webhooks: SimWebhooks | None,
        trace: Trace,
    ) -> None:
        self._timeline = timeline
        self._scenario = scenario
        self._chance = chance
        self._nodes = nodes
        self._disk = disk
        self._network = network
        self._machines = machines
        self._luck = luck
        self._webhooks = webhooks
        self._trace = trace
        self._end_ms = timeline.start_ms + round(scenario.safety_s * 1_000)
        disk.on_crash = self._crash_control_plane

    def begin(self) -> None:
        """Plan every fault of the scenario."""
        for number, fault in enumerate(self._scenario.faults):
            self._plan(fault, number, 0)

    def heal(self) -> None:
        """End the safety phase: everything works from now on."""
        self._luck.is_on = False
        self._luck.pulls_slowed_by = 1.0
        self._disk.heal()
        self._network.weather.clear()
        self._nodes.clock.offset_ms = 0
        for machine in self._machines:
            machine.facts.clock.offset_ms = 0
            machine.start_agent()
        self._nodes.end_old()
        self._nodes.start()

    def _plan(self, fault: Fault, number: int, round_number: int) -> None:
        at_s = fault.at_s + round_number * (fault.every_s or 0)
        at_ms = self._timeline.start_ms + round(at_s * 1_000)
        if at_ms >= self._end_ms:
            return

        def strike() -> None:
            self._strike(fault, number)
            if fault.every_s is not None:
                self._plan(fault, number, round_number + 1)

        self._timeline.at(at_ms, strike)

    def _strike(self, fault: Fault, number: int) -> None:
        chance = self._chance.stream(f"fault {number}")
        rest_ms = self._end_ms - self._timeline.now_ms
        for_ms = min(chance.milliseconds(fault.for_s), rest_ms)
        self._trace.note("fault:", fault.break_, "for", for_ms, "ms")
        match fault.break_:
            case "control_plane":
                self._crash_control_plane(for_ms)
            case "control_plane_at_commit":
                self._disk.crash_after_writes(chance.whole(WRITES_UNTIL_CRASH), for_ms)
            case "lease":
                self._nodes.take_over(for_ms)
            case "disk_full":
                self._disk.is_full = True
                self._timeline.after(for_ms, self._make_room)
            case "slow_disk":
                self._disk.latency_s = SLOW_DISK_S
                self._timeline.after(for_ms, lambda: setattr(self._disk, "latency_s", QUICK_S))
            case "control_clock":
                skew_ms = chance.milliseconds(fault.skew_s)
                self._nodes.clock.offset_ms = skew_ms
            case "weather" | "lost" | "late" | "doubled" | "reordered":
                self._strike_weather(fault, for_ms)
            case "pulls":
                self._luck.pulls_slowed_by = SLOW_PULLS
                self._timeline.after(for_ms, lambda: setattr(self._luck, "pulls_slowed_by", 1.0))
            case "webhooks":
                if self._webhooks is not None:
                    self._webhooks.down_until_ms = self._timeline.now_ms + for_ms
            case _:
                self._strike_machines(fault, number, for_ms)

    def _strike_weather(self, fault: Fault, for_ms: int) -> None:
        weather, kind = self._network.weather, fault.break_
        weather.clear()
        if kind in ("weather", "reordered"):
            weather.latency_s = fault.latency_s
        if kind in ("weather", "lost"):
            weather.loses_call = weather.loses_reply = fault.probability
        if kind in ("weather", "late"):
            weather.holds_call = weather.holds_reply = fault.probability
        if kind in ("weather", "doubled"):
            weather.doubles_call = fault.probability
        self._timeline.after(for_ms, weather.clear)

    def _strike_machines(self, fault: Fault, number: int, for_ms: int) -> None:
        chance = self._chance.stream(f"fault {number}")
        there = [m for m in self._machines if not m.is_retired]
        if fault.zone is not None:
            struck = [m for m in there if m.zone == fault.zone]
        else:
            struck = chance.sample(there, fault.instances)
        for machine in struck:
            self._trace.note("fault:", fault.break_, machine.name)
            self._strike_machine(fault, machine, for_ms, number)

    def _strike_machine(self, fault: Fault, machine: SimMachine, for_ms: int, number: int) -> None:
        chance = self._chance.stream(f"fault {number}")
        match fault.break_:
            case "sockets":
                machine.break_sockets()
            case "network":
                self._network.cut_off(machine.name, self._timeline.now_ms + for_ms)
            case "agent":
                machine.crash_agent(for_ms)
            case "instance":
                machine.lose_power(for_ms)
            case "docker":
                machine.docker.restart(for_ms)
            case "docker_hang":
                machine.docker.hang(for_ms)
            case "clock":
                machine.facts.clock.offset_ms = chance.milliseconds(fault.skew_s)
            case "containers":
                for container in chance.sample(machine.docker.running(), CONTAINERS_KILLED):
                    machine.docker.kill_container(container)
            case _:
                raise AssertionError(fault.break_)

    def _crash_control_plane(self, down_ms: int) -> None:
        self._nodes.crash()
        self._timeline.after(down_ms, self._nodes.start)

    def _make_room(self) -> None:
        self._disk.is_full = False
        self._nodes.start()
