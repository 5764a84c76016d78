"""What a service says of itself: the events that DescribeServices shows, in ECS's wording.

Reference: services §4, placement §8. When something is worth saying is decided elsewhere.
"""

from collections.abc import Iterator, Sequence

from homeport.core.decision import Moment
from homeport.core.placement.filters import REASONS
from homeport.core.placement.request import Refusal
from homeport.model.arn import dashed_uuid, short_id
from homeport.model.service import Deployment, Service, ServiceEvent
from homeport.model.task import Task
from homeport.state.changes import Change, Put, delete_of
from homeport.state.view import View

EVENTS_KEPT = 100
TASKS_PER_EVENT = 100  # named in one message; more tasks make more events
REPEAT_AFTER_S = 6 * 3_600  # an identical complaint is kept back for that long

_TAILS = {
    "RESOURCE:CPU": "has insufficient CPU units available.",
    "RESOURCE:MEMORY": "has insufficient memory available.",
    "RESOURCE:PORTS": "is already using a port required by your task.",
    "ATTRIBUTE": "is missing an attribute required by your task.",
}
_ADVICE = "For more information, see the Troubleshooting section of the Amazon ECS Developer Guide."


def started_messages(service: Service, tasks: Sequence[Task]) -> list[str]:
    """Say which tasks were started."""
    return [
        f"(service {service.name}) has started {len(batch)} tasks: {listed_tasks(batch)}."
        for batch in _batches(tasks)
    ]


def stopped_messages(service: Service, tasks: Sequence[Task]) -> list[str]:
    """Say which tasks were told to stop."""
    return [
        f"(service {service.name}) has stopped {len(batch)} running tasks: {listed_tasks(batch)}."
        for batch in _batches(tasks)
    ]


def failed_health_message(service: Service, task: Task) -> str:
    """Say that a task is being stopped for its health."""
    return f"(service {service.name}) (task {short_id(task.arn)}) failed container health checks."


def completed_message(service: Service) -> str:
    """Say that the PRIMARY deployment is complete."""
    return f"(service {service.name}) (deployment {service.primary.id}) deployment completed."


def failed_message(service: Service, deployment: Deployment) -> str:
    """Say that a deployment has failed."""
    return (
        f"(service {service.name}) (deployment {deployment.id}) deployment failed: tasks failed "
        "to start."
    )


def rolling_back_message(service: Service) -> str:
    """Say that the PRIMARY deployment is run again."""
    return f"(service {service.name}) rolling back to deployment {service.primary.id}."


def steady_message(service: Service) -> str:
    """Say that the service is as it should be."""
    return f"(service {service.name}) has reached a steady state."


def impaired_message(service: Service) -> str:
    """Say that tasks keep stopping before they ever are RUNNING."""
    return f"(service {service.name}) is unable to consistently start tasks successfully."


def stuck_message(service: Service) -> str:
    """Say that the percentages leave no step to take."""
    return (
        f"(service {service.name}) was unable to stop or start tasks during a deployment because "
        "of the service deployment configuration. Update the minimumHealthyPercent or "
        "maximumPercent value and try again."
    )


def protected_message(service: Service, deployment_id: str) -> str:
    """Say that protected tasks keep a deployment from having fewer."""
    return (
        f"(service {service.name}) was unable to reach steady state because task set "
        f"({deployment_id}) was unable to scale in. Reason: The number of protected tasks are "
        "more than the desired count of tasks"
    )


def overflow_message(service: Service) -> str:
    """Say that as many tasks of the cluster wait for capacity as may."""
    return (
        f"(service {service.name}) was unable to place tasks in your cluster because the tasks "
        "provisioning capacity limit was exceeded."
    )


def unplaced_message(service: Service, refusals: Sequence[Refusal]) -> str:
    """Say why a task found no place, by the container instance that came closest."""
    beginning = (
        f"(service {service.name}) was unable to place a task because no container instance met "
        "all of its requirements."
    )
    if not refusals:
        where = "capacity provider" if service.capacity_provider_strategy else "cluster"
        return f"{beginning} Reason: No Container Instances were found in your {where}. {_ADVICE}"
    closest = closest_refusal(refusals)
    tail = _TAILS.get(closest.reason, f'encountered error "{closest.reason}".')
    instance = short_id(closest.container_instance_arn)
    return f"{beginning} The closest matching (container-instance {instance}) {tail} {_ADVICE}"


def unplaceable_message(service: Service, reason: str) -> str:
    """Say why a task that waited for capacity was given up."""
    text = reason.removesuffix(".")
    return f"(service {service.name}) was unable to place a task. Reason: {text}."


def closest_refusal(refusals: Sequence[Refusal]) -> Refusal:
    """Return the refusal of the container instance that passed most checks; ties by ARN."""
    ranks = {reason: rank for rank, reason in enumerate(REASONS)}
    return min(refusals, key=lambda r: (-ranks.get(r.reason, len(ranks)), r.container_instance_arn))


def is_news(view: View, service: Service, message: str, moment: Moment) -> bool:
    """Whether a complaint may be written: not said since the service last was in order.

    A steady state or a new deployment settles earlier complaints; otherwise the identical one is
    kept back for six hours.
    """
    # A clock that was set back must not make every complaint news, again and again.
    begun_ms = min(service.primary.created_at_ms, moment.now_ms)
    since_ms = max(moment.now_ms - REPEAT_AFTER_S * 1_000, begun_ms)
    settled = steady_message(service)
    for event in view.service_events(service.arn):
        if event.created_at_ms < since_ms or event.message == settled:
            return True
        if event.message == message:
            return False
    return True


def event_changes(
    view: View,
    service: Service,
    messages: Sequence[str],
    *,
    ids: Iterator[str],
    moment: Moment,
) -> list[Change]:
    """Make the changes that add events, oldest first, and forget all but the newest 100.

    The caller stores the service with `event_sequence` raised by as many as there are messages.
    """
    if not messages:
        return []
    changes: list[Change] = [
        Put(event) for event in make_events(service, messages, ids=ids, moment=moment)
    ]
    kept = max(0, EVENTS_KEPT - len(messages))
    changes.extend(delete_of(event) for event in view.service_events_beyond(service.arn, kept))
    return changes


def make_events(
    service: Service, messages: Sequence[str], *, ids: Iterator[str], moment: Moment
) -> tuple[ServiceEvent, ...]:
    """Make one event a message, numbered behind those that the service has."""
    return tuple(
        ServiceEvent(
            id=dashed_uuid(next(ids)),
            service_arn=service.arn,
            sequence=service.event_sequence + number,
            created_at_ms=moment.now_ms,
            message=message,
        )
        for number, message in enumerate(messages, start=1)
    )


def _batches(tasks: Sequence[Task]) -> Iterator[Sequence[Task]]:
    for start in range(0, len(tasks), TASKS_PER_EVENT):
        yield tasks[start : start + TASKS_PER_EVENT]


def listed_tasks(tasks: Sequence[Task]) -> str:
    """Name tasks as events do."""
    return " ".join(f"(task {short_id(task.arn)})" for task in tasks)
