"""The only step of a new service that wants no tasks: it is complete as soon as it is created.

What the scheduler would do in its first two looks is decided with the creation itself, in the same
commit, and nobody has to look. Every other new service is looked at (`service`).
"""

from collections.abc import Iterator
from typing import NamedTuple

from msgspec.structs import replace

from homeport.core.decision import Moment
from homeport.core.reconcile.completion import conclude
from homeport.core.reconcile.rollout import Counts
from homeport.core.reconcile.service_deployments import follow_record
from homeport.core.reconcile.service_events import make_events
from homeport.model.service import Service, ServiceEvent
from homeport.model.service_deployment import ServiceDeployment

NO_TASKS = Counts()


class Completed(NamedTuple):
    """A service in its steady state, its service deployment, and what it said on the way."""

    service: Service
    record: ServiceDeployment
    events: tuple[ServiceEvent, ...]


def wants_no_tasks(service: Service) -> bool:
    """Whether a new service has nothing to wait for: no tasks, no stages, no other scheduler."""
    return (
        service.desired_count == 0
        and service.scheduling_strategy == "REPLICA"
        and service.deployment_controller == "ECS"
        and service.staged is None
    )


def complete_at_once(
    service: Service, record: ServiceDeployment, *, ids: Iterator[str], moment: Moment
) -> Completed:
    """Complete the first deployment of a new service that `wants_no_tasks` (services §4, §5)."""
    after, messages = conclude(service, NO_TASKS, moment, is_calm=True)
    events = make_events(service, messages, ids=ids, moment=moment)
    return Completed(
        replace(after, service_deployment_arn=None, event_sequence=len(events)),
        follow_record(record, after, moment),
        events,
    )
