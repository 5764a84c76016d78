"""How a service slows its launches down while its tasks never reach RUNNING (services §3)."""

from msgspec.structs import replace

from homeport.core.decision import Moment
from homeport.model.service import Deployment, Service
from homeport.model.task import Task

FREE_ATTEMPTS = 3  # failures in a row before the first delay
FIRST_DELAY_S = 1
LONGEST_DELAY_S = 27 * 60


def launch_delay_s(failed_launches: int) -> int:
    """Return how long to wait after that many failures in a row: doubling, to AWS's 27 minutes."""
    if failed_launches < FREE_ATTEMPTS:
        return 0
    return int(min(FIRST_DELAY_S * 2 ** min(failed_launches - FREE_ATTEMPTS, 20), LONGEST_DELAY_S))


def count_failed_launch(service: Service, task: Task, moment: Moment) -> Service:
    """Count a task that stopped without ever RUNNING, and set the earliest next launch."""
    failures = service.failed_launches + 1
    deployments = tuple(
        replace(d, failed_tasks=d.failed_tasks + 1) if d.id == task.deployment_id else d
        for d in service.deployments
    )
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
