"""What becomes of a task whose container instance ECS stops tracking."""

from msgspec.structs import replace

from homeport.core.decision import Moment
from homeport.model.task import STOPPED, Task

REASON_DEREGISTERED = "Container instance deregistration forced by user"


def orphan_task(task: Task, moment: Moment) -> Task:
    """End a task in the records though its containers may live on: nobody will report it again.

    An earlier stop code and reason stay (reference: container-instances §7).
    """
    return replace(
        task,
        desired_status=STOPPED,
        last_status=STOPPED,
        stopped_reason=task.stopped_reason or REASON_DEREGISTERED,
        stopping_at_ms=task.stopping_at_ms or moment.now_ms,
        stopped_at_ms=moment.now_ms,
        containers=tuple(
            container
            if container.last_status == STOPPED
            else replace(container, last_status=STOPPED)
            for container in task.containers
        ),
        version=task.version + 1,
    )
