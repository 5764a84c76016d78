"""Which launch comes next: tasks that keep an older deployment up, or those of the newest one.

One deployment's tasks are launched a look, so that a placement always sees the one before it.
"""

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from homeport.core.decision import Moment
from homeport.core.reconcile.census import Census
from homeport.core.reconcile.circuit_breaker import launching_deployment
from homeport.core.reconcile.launch import Launch
from homeport.core.reconcile.rollback import is_aborted
from homeport.core.reconcile.rollout import Bounds, Counts, missing_tasks, startable_tasks
from homeport.model.service import Deployment, Service
from homeport.model.task import Task


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """`count` tasks of one deployment to start now, of `missing` ones."""

    deployment: Deployment
    count: int
    missing: int
    is_throttled: bool = False

    def is_blocked(self, launch: Launch) -> bool:
        """Whether tasks are missing that can't start: no room under maximumPercent, or at all."""
        return not self.is_throttled and (launch.is_short or self.missing > self.count)


def wish_launches(
    service: Service, census: Census, bounds: Bounds, counts: Counts, *, moment: Moment
) -> Wish:
    """Decide whose tasks to start, and how many, under the upper bound.

    A task of an older revision that ends during a rollout is replaced by its own revision
    (reference: services §2), as long as the newest one can't stand in for it. A deployment that
    has failed starts nothing; tasks of an aborted one are replaced when there are no older ones.
    """
    upkeep = _upkeep(service, census, counts)
    room = max(0, bounds.upper - counts.live)
    if upkeep is not None and room:
        deployment, lacking = upkeep
        is_filler = deployment == launching_deployment(service)
        if is_filler and moment.now_ms < service.next_launch_at_ms:
            return Wish(deployment=deployment, count=0, missing=lacking, is_throttled=True)
        return Wish(deployment=deployment, count=min(lacking, room), missing=0)
    return wish_newest(service, bounds, counts, moment=moment)


def wish_newest(service: Service, bounds: Bounds, counts: Counts, *, moment: Moment) -> Wish:
    """Decide how many tasks of the newest deployment to start, under the upper bound."""
    primary = service.primary
    if _starts_nothing(service) or service.hold == "SOURCE":
        return Wish(deployment=primary, count=0, missing=0)
    missing = missing_tasks(bounds, counts)
    if missing and moment.now_ms < service.next_launch_at_ms:
        return Wish(deployment=primary, count=0, missing=missing, is_throttled=True)
    return Wish(deployment=primary, count=startable_tasks(bounds, counts), missing=missing)


def keep_fewer(service: Service, census: Census, stopped: Sequence[Task]) -> Service:
    """Want as many tasks less of older deployments as have been stopped to make way.

    Those that only left their container instance, or were UNHEALTHY, are replaced instead.
    """
    if service.primary.rollout_state == "FAILED":
        return service  # they may be needed again: nobody else fills a gap
    going = (*census.outgoing_healthy, *census.outgoing_unsettled, *census.outgoing_starting)
    made_way = {task.arn for task in going}
    fewer: dict[str, int] = {}
    for task in stopped:
        if task.arn in made_way and task.arn not in census.displaced and task.deployment_id:
            fewer[task.deployment_id] = fewer.get(task.deployment_id, 0) + 1
    if not fewer:
        return service
    return replace(
        service,
        deployments=tuple(
            d
            if d.id == service.primary.id or d.id not in fewer
            else replace(d, wanted_tasks=max(0, d.wanted_tasks - fewer[d.id]))
            for d in service.deployments
        ),
    )


def _starts_nothing(service: Service) -> bool:
    """A FAILED deployment doesn't; but tasks of an aborted one may be all that took over."""
    is_heir = service.last_completed is not None and len(service.deployments) == 1
    is_failed = service.primary.rollout_state == "FAILED"
    return is_failed and not (is_aborted(service) and is_heir)


def _upkeep(service: Service, census: Census, counts: Counts) -> tuple[Deployment, int] | None:
    """Return the newest older deployment that lacks tasks, and how many of them are needed."""
    stand_ins = 0 if service.keeps_older_tasks else counts.healthy
    needed = service.desired_count - stand_ins - sum(census.kept.values())
    for deployment in service.deployments[1:]:
        lacking = min(deployment.wanted_tasks - census.kept[deployment.id], needed)
        if lacking > 0:
            return deployment, lacking
    return None
