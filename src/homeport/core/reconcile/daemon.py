"""DAEMON services: exactly one task on every matching container instance (services §1).

Its tasks come first on a new instance, because the engine looks at daemons before other services,
and go last from a DRAINING one. maximumPercent is 100, so an instance's old task ends before its
new one begins.
"""

from collections.abc import Iterator, Sequence

import msgspec
from msgspec.structs import replace

from homeport.core.decision import Decision, Moment
from homeport.core.placement.daemon_hosts import DaemonHost, find_daemon_hosts
from homeport.core.placement.service_request import placement_request
from homeport.core.reconcile.aftermath import REASON_FAILED_HEALTH, Plan
from homeport.core.reconcile.census import Census
from homeport.core.reconcile.launch import Launch, launch_tasks_on
from homeport.core.reconcile.rollout import bounds_of
from homeport.core.reconcile.service_events import stuck_message, unplaced_message
from homeport.core.reconcile.step import finish_step, impairments, stop_tasks
from homeport.core.reconcile.wish import Wish
from homeport.model.service import Service
from homeport.model.task import STOPPED, Task
from homeport.state.view import View

DAEMON = "DAEMON"
REASON_UNMATCHED = "Task is not part of the daemon service on this container instance"


class _Here(msgspec.Struct, gc=False):
    """The tasks of the service on one container instance."""

    wanted: list[Task] = []
    is_stopping: bool = False


def daemon_step(view: View, service: Service, census: Census, moment: Moment) -> Decision:
    """Start, replace and stop the tasks of a DAEMON service, each container instance by itself."""
    ids = moment.ids()
    primary = service.primary
    definition = view.task_definition(primary.task_definition_arn)
    assert definition is not None, primary.task_definition_arn
    hosts = find_daemon_hosts(view, placement_request(view, service, definition, 1))
    present = _tasks_by_instance(view, service)
    going = [
        *_leave(view, service, hosts, present),
        *_make_way(service, census, hosts, present),
    ]
    bare = [host for host in hosts if host.arn not in present]
    wish, launch = _fill(view, service, bare, ids=ids, moment=moment)
    service_now = replace(service, desired_count=len(hosts))
    stopped = stop_tasks(going, moment)
    complaints = impairments(service)
    if launch.is_short:
        complaints.append(unplaced_message(service, launch.refusals))
    counts = census.counts()
    is_waiting = launch.tasks or stopped or bare or counts.stopping or counts.unsettled
    if not is_waiting and _has_older(service, present) and not census.protected:
        complaints.append(stuck_message(service))
    is_in_order = (
        len(service.deployments) == 1
        and counts.live == counts.healthy == len(hosts)
        and not launch.tasks
        and not stopped
    )
    plan = Plan(
        wish=wish,
        launch=launch,
        stopped=tuple(stopped),
        complaints=tuple(complaints),
        waits_for_room=launch.is_short,
        is_in_order=is_in_order,
    )
    return finish_step(view, service, census, plan, after=service_now, ids=ids, moment=moment)


def _tasks_by_instance(view: View, service: Service) -> dict[str, _Here]:
    present: dict[str, _Here] = {}
    for task in view.tasks_of_service(service.arn).values():
        here = present.setdefault(task.container_instance_arn or "", _Here())
        if task.desired_status == STOPPED:
            here.is_stopping = True
        else:
            here.wanted.append(task)
    return present


def _has_older(service: Service, present: dict[str, _Here]) -> bool:
    """Whether a task of an older revision is still to be replaced."""
    newest = service.primary.id
    is_failed = service.primary.rollout_state == "FAILED"
    return not is_failed and any(
        task.deployment_id != newest for here in present.values() for task in here.wanted
    )


def _fill(
    view: View,
    service: Service,
    bare: Sequence[DaemonHost],
    *,
    ids: Iterator[str],
    moment: Moment,
) -> tuple[Wish, Launch]:
    """Start a task on every matching instance that has none, as far as there is room."""
    primary = service.primary
    if primary.rollout_state == "FAILED" or not bare:
        return Wish(deployment=primary, count=0, missing=0), Launch()
    if moment.now_ms < service.next_launch_at_ms:
        wish = Wish(deployment=primary, count=0, missing=len(bare), is_throttled=True)
        return wish, Launch()
    refusals = [host.refusal for host in bare if host.refusal is not None]
    roomy = [host.arn for host in bare if host.refusal is None]
    launch = launch_tasks_on(view, service, roomy, deployment=primary, ids=ids, moment=moment)
    short = replace(launch, is_short=bool(refusals), refusals=tuple(refusals))
    return Wish(deployment=primary, count=len(bare), missing=len(bare)), short


def _leave(
    view: View, service: Service, hosts: Sequence[DaemonHost], present: dict[str, _Here]
) -> list[tuple[Task, str]]:
    """Stop tasks where the service doesn't belong: at once, or last of all on a DRAINING one."""
    matching = {host.arn for host in hosts}
    draining = view.draining_instances(service.cluster_arn)
    going: list[tuple[Task, str]] = []
    for arn in sorted(present):
        if arn in matching or (arn in draining and _has_others(view, arn)):
            continue
        going.extend((task, REASON_UNMATCHED) for task in present[arn].wanted)
    return going


def _has_others(view: View, instance_arn: str) -> bool:
    """Whether an instance still has tasks that aren't a daemon's."""
    for task in view.tasks_of_instance(instance_arn).values():
        owner = None if task.service_arn is None else view.service(task.service_arn)
        if owner is None or owner.scheduling_strategy != DAEMON:
            return True
    return False


def _make_way(
    service: Service, census: Census, hosts: Sequence[DaemonHost], present: dict[str, _Here]
) -> list[tuple[Task, str]]:
    """Stop surplus, older and unhealthy tasks on matching instances, inside the percents."""
    healthy = {task.arn for task in (*census.healthy, *census.outgoing_healthy)}
    unhealthy = {task.arn for task in (*census.unhealthy, *census.outgoing_unhealthy)}
    bounds = bounds_of(len(hosts), service.minimum_healthy_percent, service.maximum_percent)
    # A task on an instance that is left may end with this very step: nobody leans on it.
    staying = (task for host in hosts if host.arn in present for task in present[host.arn].wanted)
    spare = sum(task.arn in healthy for task in staying) - bounds.lower
    is_one_leaving = any(here.is_stopping for here in present.values())
    going: list[tuple[Task, str]] = []
    for host in hosts:
        here = present.get(host.arn)
        if here is None or here.is_stopping or not here.wanted:
            continue
        kept, *surplus = sorted(here.wanted, key=lambda task: _rank(service, healthy, task))
        going.extend((task, _scaling(task)) for task in surplus)
        if kept.deployment_id != service.primary.id:
            if kept.arn not in census.protected and (kept.arn not in healthy or spare > 0):
                spare -= kept.arn in healthy
                going.append((kept, _scaling(kept)))
        elif kept.arn in unhealthy and not is_one_leaving:
            is_one_leaving = True
            going.append((kept, REASON_FAILED_HEALTH))
    return going


def _rank(service: Service, healthy: set[str], task: Task) -> tuple[bool, bool, str]:
    """Order tasks of one instance: the one to keep is first."""
    return task.deployment_id != service.primary.id, task.arn not in healthy, task.arn


def _scaling(task: Task) -> str:
    return f"Scaling activity initiated by (deployment {task.deployment_id})"
