"""What a journal's clients, agents and machines did, as records: the workload of a replay.

How they are found in a journal is `workload`'s business; how they are done again, `player`'s.
"""

import msgspec

from homeport.model.container_instance import ContainerInstance
from homeport.model.resources import InstanceResources
from homeport.model.service import Service
from homeport.model.task import Task
from homeport.state.changes import Change


class Deed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Something that came from outside the control plane at a time, in epoch milliseconds."""

    at_ms: int


class ServerDown(Deed, frozen=True, kw_only=True):
    """The control plane decided nothing from then until `until_ms`, and heard nothing after."""

    until_ms: int


class Written(Deed, frozen=True, kw_only=True):
    """Records that only say what there is: clusters, task definitions, capacity providers."""

    changes: tuple[Change, ...]


class InstanceJoined(Deed, frozen=True, kw_only=True):
    """A container instance registered; its agent connects by a deed of its own."""

    instance: ContainerInstance


class InstanceAltered(Deed, frozen=True, kw_only=True):
    """A container instance has other attributes, or another size."""

    arn: str
    attributes: dict[str, str | None]
    resources: InstanceResources


class InstanceLeft(Deed, frozen=True, kw_only=True):
    """A container instance was deregistered."""

    arn: str


class StatusSet(Deed, frozen=True, kw_only=True):
    """A container instance was set DRAINING, or ACTIVE again."""

    arn: str
    status: str


class AgentCame(Deed, frozen=True, kw_only=True):
    """An agent connected."""

    arn: str


class AgentWent(Deed, frozen=True, kw_only=True):
    """An agent's connection broke, or the control plane that it had one to ended.

    Reports take other ways: an agent is silent when none of them came until it was back.
    """

    arn: str
    is_silent: bool = True


InstanceDeed = InstanceJoined | InstanceAltered | InstanceLeft | StatusSet | AgentCame | AgentWent


class ServiceCreated(Deed, frozen=True, kw_only=True):
    """CreateService: the service as it was written."""

    service: Service


class ServiceResumed(Deed, frozen=True, kw_only=True):
    """A service that lacked tasks when the journal begins: it wants them from then on.

    Its record says how many, and how long it was to wait for the next try.
    """

    service: Service


class ServiceUpdated(Deed, frozen=True, kw_only=True):
    """UpdateService: the service before and after the call."""

    before: Service
    after: Service


class TaskSetsChanged(Deed, frozen=True, kw_only=True):
    """A call on the task sets of a service whose deployment controller is EXTERNAL."""

    before: Service
    after: Service


class ServiceDeleted(Deed, frozen=True, kw_only=True):
    """DeleteService."""

    arn: str


class DeploymentStopped(Deed, frozen=True, kw_only=True):
    """StopServiceDeployment."""

    service_arn: str
    stop_type: str = "ROLLBACK"  # ABORT


class HookAnswered(Deed, frozen=True, kw_only=True):
    """ContinueServiceDeployment: how a PAUSE hook of the service's deployment was answered."""

    service_arn: str
    action: str  # CONTINUE | ROLLBACK


class TaskThere(Deed, frozen=True, kw_only=True):
    """A task that was there, and wanted, when the journal begins."""

    task: Task


class TasksRun(Deed, frozen=True, kw_only=True):
    """RunTask or StartTask: one of its tasks stands for all; `arns` are theirs.

    `instance_arns` are those that StartTask named, empty for RunTask.
    """

    task: Task
    arns: tuple[str, ...]
    instance_arns: tuple[str, ...] = ()


class TaskStopped(Deed, frozen=True, kw_only=True):
    """StopTask."""

    arn: str
    service_arn: str | None
    reason: str


class TaskProtected(Deed, frozen=True, kw_only=True):
    """UpdateTaskProtection: until when, or None for no longer."""

    arn: str
    until_ms: int | None
