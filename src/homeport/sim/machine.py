"""A machine of the fleet: its Docker, its disk, its clock, and the agent that runs on it."""

from homeport.agent import registration
from homeport.agent.settings import AgentSettings
from homeport.sim.agent_disk import AgentDisk
from homeport.sim.agent_process import AgentProcess, Machine
from homeport.sim.chance import Chance
from homeport.sim.clock import SkewedClock, Timeline
from homeport.sim.docker import Luck, SimDocker
from homeport.sim.network import Network
from homeport.sim.scenario import Image
from homeport.sim.trace import Trace

SHARED_KERNELS = 0.8  # of agents share one with their containers


class SimMachine:
    """What survives an agent: everything but its process."""

    def __init__(
        self,
        timeline: Timeline,
        network: Network,
        settings: AgentSettings,
        *,
        name: str,
        chance: Chance,
        images: dict[str, Image],
        luck: Luck,
        trace: Trace,
    ) -> None:
        self.name = name
        self.zone = settings.availability_zone
        self.is_retired = False
        self.process: AgentProcess | None = None
        self._timeline = timeline
        self._network = network
        self._chance = chance.stream(f"agent {name}")
        self._trace = trace
        self.facts = Machine(
            name=name,
            settings=settings,
            disk=AgentDisk(),
            docker=SimDocker(timeline, chance.stream(f"docker {name}"), images, luck),
            clock=SkewedClock(timeline),
            shares_kernel=chance.stream(f"kernel {name}").happens(SHARED_KERNELS),
        )

    @property
    def docker(self) -> SimDocker:
        """The machine's Docker Engine."""
        return self.facts.docker

    @property
    def arn(self) -> str | None:
        """The container instance that this machine is registered as."""
        return self.facts.disk.facts.get(registration.ARN_FACT)

    @property
    def is_agent_up(self) -> bool:
        """Whether the agent's process lives."""
        return self.process is not None and not self.process.life.is_over

    def start_agent(self) -> None:
        """Start the agent unless it runs, or the machine is gone for good."""
        if self.is_agent_up or self.is_retired:
            return
        self.process = AgentProcess(
            self._timeline, self._network, self.facts, chance=self._chance, trace=self._trace
        )
        self.process.start()

    def break_sockets(self) -> None:
        """Break the agent's connections."""
        if self.process is not None and self.is_agent_up:
            self.process.break_sockets()

    def crash_agent(self, down_ms: int) -> None:
        """Kill the agent; whoever supervises it starts it again."""
        if self.process is not None and self.is_agent_up:
            self.process.kill()
        self._timeline.after(down_ms, self.start_agent)

    def lose_power(self, down_ms: int) -> None:
        """Lose everything that runs at once, without a word to anybody; boot after a while."""
        self._trace.note(self.name, "loses its power")
        self._network.cut_off(self.name, self._timeline.now_ms + down_ms)
        if self.process is not None and self.is_agent_up:
            self.process.kill(with_machine=True)
        self.facts.disk.lose_power()
        self.docker.restart(down_ms, with_machine=True)
        self._timeline.after(down_ms + 1, self.start_agent)

    def retire(self) -> None:
        """Take the machine away for good."""
        self.is_retired = True
        if self.process is not None and self.is_agent_up:
            self.process.kill(with_machine=True)
        self.docker.restart(0, with_machine=True)
