"""The only step of a new service that wants no tasks: it is complete as soon as it is created.

What the scheduler would do in its first two looks is decided with the creation itself, in the same
commit, and nobody has to look. Every other new service is looked at (`service`).
"""

from collections.abc import Iterator

import msgspec
from msgspec.structs import replace

from homeport.core.decision import Moment
from homeport.core.reconcile.completion import completed
from homeport.core.reconcile.service_deployments import follow_record
from homeport.core.reconcile.service_events import (
    completed_message,
    make_events,
    steady_message,
)
from homeport.model.service import Service, ServiceEvent
from homeport.model.service_deployment import ServiceDeployment


class Completed(msgspec.Struct, frozen=True):
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
    """Complete the first deployment of a new service that `wants_no_tasks` (services §4, §5).

    It is what `completion.conclude` and `follow_record` come to, each record made once.
    """
    primary = completed(service.primary, moment)
    messages = (completed_message(service), steady_message(service))
    after = replace(
        service,
        deployments=(primary,),
        last_completed=primary,
        is_steady=True,
        steady_at_ms=moment.now_ms,
        service_deployment_arn=None,
        event_sequence=len(messages),
    )
    return Completed(
        after,
        _ended(record, after, moment),
        make_events(service, messages, ids=ids, moment=moment),
    )


def _ended(record: ServiceDeployment, service: Service, moment: Moment) -> ServiceDeployment:
    if service.circuit_breaker is not None:
        return follow_record(record, service, moment)
    now_ms = moment.now_ms
    return replace(
        record,
        status="SUCCESSFUL",
        started_at_ms=now_ms,
        finished_at_ms=now_ms,
        updated_at_ms=now_ms,
    )
