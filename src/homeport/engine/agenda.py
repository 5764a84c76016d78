"""What the engine must look at next: dirty services, timers, services that await capacity.

A cluster stands here by its ARN as a service does, when tasks in it wait for capacity.
"""

import heapq

from msgspec.structs import replace

from homeport.core.effects import AwaitCapacity, AwaitZone, WakeAt
from homeport.engine.zone_waits import ZoneWaits
from homeport.model.cluster import Cluster
from homeport.model.container_instance import ContainerInstance
from homeport.model.service import Service
from homeport.model.task import Task
from homeport.state.changes import AnyRecord, Commit, Put
from homeport.state.view import View

_MARKING = frozenset((Cluster, ContainerInstance, Service, Task))
_SUBJECTS_OF_TASKS = ("task:group", "runningTasksCount")


class Agenda:
    """Keeps each dirty service once, in the order in which they became dirty."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._dirty: dict[str, None] = {}
        self._urgent: dict[str, None] = {}  # DAEMON services: they come before all others
        self._timers: list[tuple[int, str]] = []
        self._wakes: dict[str, int] = {}
        self._rings_sooner = False
        self._awaiting: dict[str, dict[str, None]] = {}
        self._watching: dict[str, dict[str, None]] = {}  # of these, whom other tasks may let in
        self._zone_waits = ZoneWaits()

    @property
    def is_empty(self) -> bool:
        """Whether no service is dirty now."""
        return not self._dirty and not self._urgent

    def mark(self, service_arn: str) -> None:
        """Note that a service must be looked at."""
        self._dirty[service_arn] = None

    def settle(self, service_arn: str) -> None:
        """Take a service off: whoever decided its last change saw that nothing is left to do."""
        self._dirty.pop(service_arn, None)

    def take(self) -> str | None:
        """Remove and return the service that has been dirty longest, DAEMON ones first."""
        for waiting in (self._urgent, self._dirty):
            for service_arn in waiting:
                del waiting[service_arn]
                return service_arn
        return None

    def wake_at(self, effect: WakeAt) -> None:
        """Keep the earliest wake-up of each service."""
        known = self._wakes.get(effect.service_arn)
        if known is not None and known <= effect.at_ms:
            return
        timer = (effect.at_ms, effect.service_arn)
        self._wakes[effect.service_arn] = effect.at_ms
        heapq.heappush(self._timers, timer)
        if self._timers[0] == timer:
            self._rings_sooner = True

    def rings_sooner(self) -> bool:
        """Whether there is a timer before all others that were there when this was asked last."""
        is_sooner, self._rings_sooner = self._rings_sooner, False
        return is_sooner

    def await_capacity(self, effect: AwaitCapacity) -> None:
        """Keep a service until its cluster has more room."""
        self._awaiting.setdefault(effect.cluster_arn, {})[effect.service_arn] = None
        if looks_at_tasks(self._view, effect.service_arn):
            self._watching.setdefault(effect.cluster_arn, {})[effect.service_arn] = None

    def await_zone(self, effect: AwaitZone) -> None:
        """Keep a service until a zone of its cluster may have room for it."""
        if not effect.has_hosts and looks_at_tasks(self._view, effect.service_arn):
            effect = replace(effect, has_hosts=True)  # an end may make one
        self._zone_waits.add(effect)

    def ring(self, now_ms: int) -> None:
        """Mark the services whose time has come."""
        while self._timers and self._timers[0][0] <= now_ms:
            at_ms, service_arn = heapq.heappop(self._timers)
            if self._wakes.get(service_arn) == at_ms:
                del self._wakes[service_arn]
                self.mark(service_arn)

    def next_ring_ms(self) -> int | None:
        """Return when the next timer rings."""
        while self._timers and self._wakes.get(self._timers[0][1]) != self._timers[0][0]:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def follow(self, commit: Commit, replaced: tuple[AnyRecord | None, ...]) -> None:
        """Mark what one commit made dirty."""
        for change, old in zip(commit.changes, replaced, strict=True):
            if not isinstance(change, Put) or type(change.record) not in _MARKING:
                continue
            new = change.record
            if isinstance(new, Task):
                self._follow_task(new, old if isinstance(old, Task) else None, commit.at_ms)
            elif isinstance(new, Service):
                if new != old:
                    self.mark(new.arn)
                    if isinstance(old, Service) and _claims_other_room(new, old):
                        self._room_anywhere(new.cluster_arn, commit.at_ms)
            elif isinstance(new, ContainerInstance):
                known = old if isinstance(old, ContainerInstance) else None
                self._follow_instance(new, known, commit.at_ms)
            elif isinstance(new, Cluster) and isinstance(old, Cluster) and new.kept != old.kept:
                # An instance is given back to all, or somebody has it now.
                self._room_anywhere(new.arn, commit.at_ms)

    def _follow_task(self, new: Task, old: Task | None, now_ms: int) -> None:
        if new.service_arn is not None and (
            old is None
            or old.last_status != new.last_status
            or old.desired_status != new.desired_status
            or old.health_status != new.health_status
            or old.protected_until_ms != new.protected_until_ms
        ):
            self.mark(new.service_arn)
        if new.is_provisioning or (old is not None and old.is_provisioning):
            self.mark(new.cluster_arn)
            if not new.is_provisioning:
                self._room_in(new.cluster_arn)  # among those that may wait
        if old is None or (old.last_status, old.desired_status) != (
            new.last_status,
            new.desired_status,
        ):
            for service_arn in self._watching.pop(new.cluster_arn, ()):
                self.mark(service_arn)
        if new.is_stopped and (old is None or not old.is_stopped):
            self._room_in(new.cluster_arn)
            zone = new.availability_zone
            self._wake(self._zone_waits.take_for_room(new.cluster_arn, zone, now_ms), now_ms)
            if new.container_instance_arn in self._view.draining_instances(new.cluster_arn):
                self._mark_daemons(new.cluster_arn)

    def _follow_instance(
        self, new: ContainerInstance, old: ContainerInstance | None, now_ms: int
    ) -> None:
        if (
            old is None
            or new.status != old.status
            or new.is_available != old.is_available
            or new.attributes != old.attributes
        ):
            self._mark_daemons(new.cluster_arn)
        if new.is_available and (old is None or not old.is_available):
            for service in self._view.services(new.cluster_arn):
                if service.is_steady:  # it may even its tasks out
                    self.mark(service.arn)
        if old is None or new.is_available or new.attributes != old.attributes:
            self._room_in(new.cluster_arn)
            zone = new.availability_zone
            self._wake(self._zone_waits.take_for_instance(new.cluster_arn, zone, now_ms), now_ms)
        if old is not None and old.status != new.status:
            for task in self._view.tasks_of_instance(new.arn).values():
                if task.service_arn is not None:
                    self.mark(task.service_arn)

    def _mark_daemons(self, cluster_arn: str) -> None:
        for service_arn in self._view.daemon_services(cluster_arn):
            self._urgent[service_arn] = None

    def _room_in(self, cluster_arn: str) -> None:
        for service_arn in self._awaiting.pop(cluster_arn, ()):
            self.mark(service_arn)

    def _room_anywhere(self, cluster_arn: str, now_ms: int) -> None:
        self._room_in(cluster_arn)
        self._wake(self._zone_waits.take_all(cluster_arn, now_ms), now_ms)

    def _wake(self, wakes: list[WakeAt], now_ms: int) -> None:
        for effect in wakes:
            if effect.at_ms <= now_ms:
                self.mark(effect.service_arn)
            else:
                self.wake_at(effect)


def _claims_other_room(new: Service, old: Service) -> bool:
    """Whether room that is kept for a daemon may have become free for others."""
    return new.scheduling_strategy == "DAEMON" and (
        new.status != old.status
        or new.placement_constraints != old.placement_constraints
        or new.deployments[:1] != old.deployments[:1]
    )


def looks_at_tasks(view: View, service_arn: str) -> bool:
    """Whether a placement constraint of a service may hold once other tasks came or went.

    Those are expressions over task:group and runningTasksCount; distinctInstance is only about the
    service's own tasks, which wake it anyway.
    """
    service = view.service(service_arn)
    if service is None:
        return False
    constraints = service.placement_constraints
    for deployment in service.deployments:
        definition = view.task_definition(deployment.task_definition_arn)
        if definition is not None:
            constraints += definition.placement_constraints
    return any(
        subject in (constraint.expression or "")
        for constraint in constraints
        for subject in _SUBJECTS_OF_TASKS
    )
