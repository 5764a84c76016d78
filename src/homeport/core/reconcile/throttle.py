"""How a service slows its launches down while its tasks never reach RUNNING (services §3).

The delay grows by rounds, not by tasks: fifty tasks that were started together and fail together
are one failure.
"""

from msgspec.structs import replace

from homeport.core.decision import Moment
from homeport.model.service import Deployment, Service
from homeport.model.task import Task

FREE_ATTEMPTS = 3  # rounds of failures in a row before the first delay
FIRST_DELAY_S = 1
LONGEST_DELAY_S = 27 * 60
_DOUBLINGS = 11  # as many as reach the longest delay


def launch_delay_s(failed_launches: int) -> int:
    """Return how long to wait after that many failures in a row: doubling, to AWS's 27 minutes."""
    if failed_launches < FREE_ATTEMPTS:
        return 0
    doubled = FIRST_DELAY_S << min(failed_launches - FREE_ATTEMPTS, _DOUBLINGS)
    return min(doubled, LONGEST_DELAY_S)


def is_impaired(service: Service) -> bool:
    """Whether launches are being delayed, which an event then says."""
    return service.failed_launches >= FREE_ATTEMPTS


def count_failed_launch(service: Service, task: Task, moment: Moment) -> Service:
    """Count a task that stopped without ever RUNNING, and set the earliest next launch."""
    deployments = tuple(
        replace(d, failed_tasks=d.failed_tasks + 1) if d.id == task.deployment_id else d
        for d in service.deployments
    )
    is_primary = task.deployment_id == service.primary.id
    if not is_primary or _is_same_round(service, task):
        return replace(service, deployments=deployments)
    failures = service.failed_launches + 1
    return replace(
        service,
        deployments=deployments,
        failed_launches=failures,
        next_launch_at_ms=moment.now_ms + launch_delay_s(failures) * 1_000,
    )


def count_started_task(service: Service, task: Task, moment: Moment) -> Service:
    """Forget earlier failures: a task of this deployment has reached RUNNING."""

    def cleared(deployment: Deployment) -> Deployment:
        if deployment.id != task.deployment_id or not deployment.failed_tasks:
            return deployment
        return replace(deployment, failed_tasks=0)

    is_primary = task.deployment_id == service.primary.id
    return replace(
        service,
        deployments=tuple(cleared(d) for d in service.deployments),
        failed_launches=0 if is_primary else service.failed_launches,
        next_launch_at_ms=0 if is_primary else service.next_launch_at_ms,
    )


def _is_same_round(service: Service, task: Task) -> bool:
    """Whether the task was started before the last failure that was counted."""
    if not service.failed_launches:
        return False
    delay_ms = launch_delay_s(service.failed_launches) * 1_000
    return task.created_at_ms < service.next_launch_at_ms - delay_ms
