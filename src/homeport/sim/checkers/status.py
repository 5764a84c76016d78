"""Truth: status moves forward only, and what a task is never changes."""

from homeport.model.container_instance import INACTIVE, ContainerInstance
from homeport.model.service import Service
from homeport.model.task import PENDING, PROVISIONING, RUNNING, STOPPED, Task
from homeport.sim.violation import Violation
from homeport.state.changes import AnyRecord, Commit, Put

TRUTH = "status never backwards"

_ORDER = {PROVISIONING: 0, PENDING: 1, RUNNING: 2, STOPPED: 3}
_SERVICE_ORDER = {"ACTIVE": 0, "DRAINING": 1, "INACTIVE": 2}
_FIXED = (
    "cluster_arn",
    "task_definition_arn",
    "service_arn",
    "deployment_id",
    "group",
    "resources",
    "launch_type",
    "capacity_provider",
    "created_at_ms",
)
_SET_ONCE = ("container_instance_arn", "availability_zone", "private_ip", "stop_code")


def check_status(commit: Commit, replaced: tuple[AnyRecord | None, ...]) -> None:
    """Look at every record that a commit replaced."""
    for change, old in zip(commit.changes, replaced, strict=True):
        new = change.record if isinstance(change, Put) else None
        if isinstance(new, Task):
            _check_task(old, new)
        elif isinstance(new, Service) and isinstance(old, Service):
            _check_service(old, new)
        elif isinstance(new, ContainerInstance) and isinstance(old, ContainerInstance):
            _check_instance(old, new)
        elif new is None and isinstance(old, Task) and not old.is_stopped:
            raise Violation(TRUTH, f"{old.arn} was forgotten before it was STOPPED")


def _check_task(old: AnyRecord | None, new: Task) -> None:
    if not isinstance(old, Task):
        if new.last_status not in (PROVISIONING, PENDING):
            raise Violation(TRUTH, f"{new.arn} begins its life {new.last_status}")
        return
    for member in ("last_status", "desired_status"):
        was, becomes = getattr(old, member), getattr(new, member)
        if _ORDER[becomes] < _ORDER[was]:
            raise Violation(TRUTH, f"{new.arn}: {member} went from {was} to {becomes}")
    _check_members(old, new)
    if old.is_stopped and new != old:
        raise Violation(TRUTH, f"{new.arn} changed after it was STOPPED")
    if new != old and new.version <= old.version:
        raise Violation(TRUTH, f"{new.arn} changed and kept its version {old.version}")
    for was_container, container in zip(old.containers, new.containers, strict=True):
        if _ORDER[container.last_status] < _ORDER[was_container.last_status]:
            raise Violation(TRUTH, f"{new.arn}: container {container.name} went backwards")


def _check_members(old: Task, new: Task) -> None:
    for member in _FIXED:
        if getattr(old, member) != getattr(new, member):
            raise Violation(TRUTH, f"{new.arn}: {member} changed")
    for member in _SET_ONCE:
        was = getattr(old, member)
        if was is not None and getattr(new, member) != was:
            raise Violation(TRUTH, f"{new.arn}: {member} {was} became {getattr(new, member)}")


def _check_service(old: Service, new: Service) -> None:
    known = {deployment.id for deployment in old.deployments}
    if old.status == "INACTIVE" and not any(d.id in known for d in new.deployments):
        return  # an INACTIVE service's name was taken for a new one, maybe in the same millisecond
    if _SERVICE_ORDER[new.status] < _SERVICE_ORDER[old.status]:
        raise Violation(TRUTH, f"{new.arn} went from {old.status} to {new.status}")
    done = {d.id for d in old.deployments if d.rollout_state == "COMPLETED"}
    for deployment in new.deployments:
        is_undone = deployment.id in done and deployment.rollout_state != "COMPLETED"
        if is_undone and not deployment.is_rollback:
            raise Violation(TRUTH, f"{new.arn}: deployment {deployment.id} is undone")


def _check_instance(old: ContainerInstance, new: ContainerInstance) -> None:
    if old.status == INACTIVE and new.status != INACTIVE:
        raise Violation(TRUTH, f"{new.arn} came back from INACTIVE")
