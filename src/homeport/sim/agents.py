"""A container agent that only pretends to run containers, to stand in for Amazon's in tests.

Pure: frames come in, frames and ECS calls go out; whoever holds it brings the sockets. It starts
and ends containers at once, by what their command would do, and writes down every rule of the agent
protocol that the control plane breaks.
"""

from collections.abc import Iterator
from itertools import count
from typing import Any, Final, NamedTuple

from homeport.wire.agent_messages import acs, payload, tcs
from homeport.wire.agent_messages.frames import Message, decode_frame, encode_frame

KILLED_EXIT_CODE: Final = 137
FIRST_DYNAMIC_PORT: Final = 49_153
ENDING_PROGRAMS: Final = {"true": 0, "false": 1}
CPU_UNITS: Final = 4_096
MEMORY_MIB: Final = 8_192
ATTRIBUTES: Final = (
    *(f"com.amazonaws.ecs.capability.docker-remote-api.1.{n}" for n in (*range(17, 26), 28, 29)),
    "com.amazonaws.ecs.capability.logging-driver.json-file",
    "ecs.capability.container-health-check",
    "ecs.capability.container-ordering",
    "ecs.capability.task-cpu-mem-limit",
)


class Call(NamedTuple):
    """A call of the ECS API."""

    operation: str
    body: dict[str, Any]


class Reactions(NamedTuple):
    """What the agent does: frames on its two sockets, and calls, each in order."""

    acs: list[str]
    tcs: list[str]
    calls: list[Call]


class SimulatedContainer:
    """A container that was started, and how it ended."""

    def __init__(self, spec: payload.Container, runtime_id: str, bindings: list[Any]) -> None:
        self.spec = spec
        self.runtime_id = runtime_id
        self.bindings = bindings
        self.exit_code: int | None = None

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self.exit_code is None

    def reports(self) -> Iterator[dict[str, Any]]:
        """Write what is submitted of it; one that has ended was running before."""
        report: dict[str, Any] = {"containerName": self.spec.name, "runtimeId": self.runtime_id}
        if self.bindings:
            report["networkBindings"] = self.bindings
        yield {**report, "status": "RUNNING"}
        if not self.is_running:
            yield {**report, "status": "STOPPED", "exitCode": self.exit_code}


class SimulatedTask:
    """A task and the containers of it that were started."""

    def __init__(self, task: payload.Task) -> None:
        self.task = task
        self.containers: dict[str, SimulatedContainer] = {}
        self.is_stopped = False


class SimulatedAgent:
    """An agent's memory, on disk and off; it outlives its connections."""

    def __init__(self, *, cluster: str, images: frozenset[str], zone: str = "us-east-1a") -> None:
        self.cluster = cluster
        self.instance_arn = ""
        self.tasks: dict[str, SimulatedTask] = {}
        self.broken_rules: list[str] = []
        self.refusals: list[str] = []
        self._images = images
        self._zone = zone
        self._ports = count(FIRST_DYNAMIC_PORT)
        self._runtime_ids = count(1)
        self._newest_timeline = 0
        self._newest_seq_num = 0
        self._manifest_id = ""
        self._seen_ids: set[str] = set()

    def register(self) -> Call:
        """Make the registration; custom attributes go with the first one only."""
        attributes: list[dict[str, str]] = [{"name": name} for name in ATTRIBUTES]
        attributes.append({"name": "ecs.os-type", "value": "linux"})
        body: dict[str, Any] = {
            "cluster": self.cluster,
            "attributes": attributes,
            "totalResources": [
                {"name": "CPU", "type": "INTEGER", "integerValue": CPU_UNITS},
                {"name": "MEMORY", "type": "INTEGER", "integerValue": MEMORY_MIB},
                {"name": "PORTS", "type": "STRINGSET", "stringSetValue": ["22"]},
                {"name": "PORTS_UDP", "type": "STRINGSET", "stringSetValue": []},
            ],
        }
        if self.instance_arn:
            body["containerInstanceArn"] = self.instance_arn
        else:
            attributes.append({"name": "ecs.availability-zone", "value": self._zone})
            attributes.append({"name": "custom", "value": "kept"})
        return Call("RegisterContainerInstance", body)

    def registered(self, reply: dict[str, Any]) -> None:
        """Take the answer: the same container instance as ever, with every attribute sent."""
        instance = reply["containerInstance"]
        arn = instance["containerInstanceArn"]
        if self.instance_arn and arn != self.instance_arn:
            self._break_rule(f"registration gave {arn} for {self.instance_arn}")
        self.instance_arn = arn
        names = {attribute["name"] for attribute in instance["attributes"]}
        if not names.issuperset((*ATTRIBUTES, "custom")):
            self._break_rule("registration lost an attribute")

    def greet_telemetry(self) -> list[str]:
        """Publish idle metrics, as at every connect."""
        metadata = tcs.MetricsMetadata(
            cluster=self.cluster, container_instance=self.instance_arn, idle=True, fin=True
        )
        return [encode_frame(tcs.PublishMetricsRequest(metadata=metadata))]

    def acs_frame(self, text: str) -> Reactions:
        """Take a frame from the communication socket."""
        message = decode_frame(text)
        match message:
            case acs.HeartbeatMessage():
                self._check_new_id(message.message_id)
                return _say(acs.HeartbeatAckRequest(message_id=message.message_id))
            case acs.PayloadMessage():
                return self._take_payload(message)
            case acs.TaskManifestMessage():
                return self._take_manifest(message)
            case acs.TaskStopVerificationAck():
                return self._take_stops(message)
            case acs.CloseMessage():
                return _say()
            case _:
                self.refusals.append(type(message).__name__)
                return _say()

    def tcs_frame(self, text: str) -> None:
        """Take a frame from the telemetry socket."""
        message = decode_frame(text)
        if not isinstance(
            message, acs.HeartbeatMessage | tcs.AckPublishMetric | tcs.AckPublishHealth
        ):
            self.refusals.append(type(message).__name__)

    def lose_container(self, task_arn: str, name: str) -> Reactions:
        """End a container behind everybody's back."""
        task = self.tasks[task_arn]
        task.containers[name].exit_code = KILLED_EXIT_CODE
        calls = self._settle(task)
        return Reactions([], [], calls)

    def _take_payload(self, message: acs.PayloadMessage) -> Reactions:
        self._check_new_id(message.message_id)
        if message.container_instance_arn != self.instance_arn:
            self._break_rule(f"payload for {message.container_instance_arn}")
        if message.seq_num <= self._newest_seq_num or not message.generated_at:
            self._break_rule(f"payload with seqNum {message.seq_num} at {message.generated_at}")
        self._newest_seq_num = message.seq_num
        calls: list[Call] = []
        telemetry: list[str] = []
        # Tasks to stop are applied before tasks to start.
        for task in sorted(message.tasks, key=lambda task: task.desired_status != "STOPPED"):
            if task.desired_status == "STOPPED":
                calls += self._stop(task)
            elif task.arn not in self.tasks:
                calls += self._start(task)
                telemetry += self._publish_health(task.arn)
        ack = acs.AckRequest(
            cluster=message.cluster_arn,
            container_instance=self.instance_arn,
            message_id=message.message_id,
        )
        return Reactions([encode_frame(ack)], telemetry, calls)

    def _take_manifest(self, message: acs.TaskManifestMessage) -> Reactions:
        self._check_new_id(message.message_id)
        if message.timeline <= self._newest_timeline:
            self._break_rule(f"manifest of {message.timeline} after {self._newest_timeline}")
            return _say()
        self._newest_timeline, self._manifest_id = message.timeline, message.message_id
        wanted = {t.task_arn for t in message.tasks if t.desired_status == "RUNNING"}
        candidates = tuple(
            acs.TaskIdentifier(task_arn=arn, task_cluster_arn=task.task.task_cluster_arn)
            for arn, task in self.tasks.items()
            if not task.is_stopped and arn not in wanted
        )
        ack = acs.AckRequest(
            cluster=message.cluster_arn,
            container_instance=self.instance_arn,
            message_id=message.message_id,
        )
        if not candidates:
            return _say(ack)
        question = acs.TaskStopVerificationMessage(
            message_id=message.message_id, stop_candidates=candidates
        )
        return _say(ack, question)

    def _take_stops(self, message: acs.TaskStopVerificationAck) -> Reactions:
        if message.message_id != self._manifest_id:
            self._break_rule("stop verification answers another manifest")
            return _say()
        calls: list[Call] = []
        for identifier in message.stop_tasks:
            task = self.tasks.get(identifier.task_arn)
            if task is not None:
                calls += self._stop(task.task)
        return Reactions([], [], calls)

    def _start(self, spec: payload.Task) -> list[Call]:
        task = self.tasks[spec.arn] = SimulatedTask(spec)
        waiting = list(spec.containers)
        while waiting:
            ready = next((c for c in waiting if _is_satisfied(c, task.containers)), None)
            if ready is None:
                return self._stop(spec)  # a dependency failed: what has started is ended
            waiting.remove(ready)
            if ready.image not in self._images:
                return self._fail_to_pull(task, ready)
            container = SimulatedContainer(ready, self._next_runtime_id(), self._bind(ready))
            container.exit_code = _exit_code_of(ready)
            task.containers[ready.name] = container
        return [self._submit(task, "RUNNING"), *self._settle(task)]

    def _fail_to_pull(self, task: SimulatedTask, container: payload.Container) -> list[Call]:
        reason = f"CannotPullContainerError: no such image: {container.image}"
        failed = {"containerName": container.name, "status": "STOPPED", "reason": reason}
        task.is_stopped = True
        return [self._submit(task, "STOPPED", failed)]

    def _stop(self, spec: payload.Task) -> list[Call]:
        task = self.tasks.setdefault(spec.arn, SimulatedTask(spec))
        if task.is_stopped:
            return [self._submit(task, "STOPPED")]
        for container in task.containers.values():
            if container.is_running:
                container.exit_code = KILLED_EXIT_CODE
        task.is_stopped = True
        return [self._submit(task, "STOPPED")]

    def _settle(self, task: SimulatedTask) -> list[Call]:
        """End a task whose essential container has ended."""
        ended = any(c.spec.essential and not c.is_running for c in task.containers.values())
        return self._stop(task.task) if ended and not task.is_stopped else []

    def _submit(self, task: SimulatedTask, status: str, *further: dict[str, Any]) -> Call:
        containers = [r for container in task.containers.values() for r in container.reports()]
        body: dict[str, Any] = {
            "cluster": self.cluster,
            "task": task.task.arn,
            "status": status,
            "reason": "",
            "containers": [*containers, *further],
        }
        return Call("SubmitTaskStateChange", body)

    def _publish_health(self, task_arn: str) -> list[str]:
        containers = tuple(
            tcs.ContainerHealth(container_name=name, health_status="HEALTHY")
            for name, container in self.tasks[task_arn].containers.items()
            if container.is_running and container.spec.health_check_type == "docker"
        )
        if not containers:
            return []
        health = tcs.TaskHealth(task_arn=task_arn, containers=containers)
        return [encode_frame(tcs.PublishHealthRequest(tasks=(health,)))]

    def _bind(self, container: payload.Container) -> list[dict[str, Any]]:
        return [
            {
                "bindIP": "0.0.0.0",
                "containerPort": mapping.container_port,
                "hostPort": mapping.host_port or next(self._ports),
                "protocol": mapping.protocol,
            }
            for mapping in container.port_mappings
        ]

    def _next_runtime_id(self) -> str:
        return f"{next(self._runtime_ids):064x}"

    def _check_new_id(self, message_id: str) -> None:
        if not message_id or message_id in self._seen_ids:
            self._break_rule(f"message id {message_id!r} isn't new")
        self._seen_ids.add(message_id)

    def _break_rule(self, text: str) -> None:
        self.broken_rules.append(text)


def _say(*messages: Message) -> Reactions:
    return Reactions([encode_frame(message) for message in messages], [], [])


def _is_satisfied(container: payload.Container, started: dict[str, SimulatedContainer]) -> bool:
    """Whether every dependsOn condition holds; a started container is HEALTHY at once."""
    for dependency in container.depends_on:
        other = started.get(dependency.container_name)
        if other is None:
            return False
        if dependency.condition == "SUCCESS" and other.exit_code != 0:
            return False
        if dependency.condition == "COMPLETE" and other.is_running:
            return False
        if dependency.condition == "HEALTHY" and not other.is_running:
            return False
    return True


def _exit_code_of(container: payload.Container) -> int | None:
    """Say how a command ends; None for a program that runs until it is stopped."""
    command = container.command or ()
    if len(command) == 3 and command[:2] == ("sh", "-c") and command[2].startswith("exit "):
        return int(command[2].removeprefix("exit "))
    return ENDING_PROGRAMS.get(command[0]) if command else None
