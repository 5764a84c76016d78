"""CPU and memory over time, as they are asked for: a question, and the points that answer it.

Not here: where samples are kept (`storage.time_series`), or how the answer is written.
"""

from typing import Final

import msgspec

TOTAL: Final = "TOTAL"
TASK: Final = "TASK"
CONTAINER: Final = "CONTAINER"
PARTS: Final = (TOTAL, TASK, CONTAINER)


class MetricsQuestion(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is asked of a cluster, service, container instance or task.

    `part` is TOTAL, TASK or CONTAINER: whose points they are. Times are epoch milliseconds, `until`
    is behind the last one; `after` is the last point of the page before.
    """

    resource_arn: str
    part: str
    since_ms: int
    until_ms: int
    period_ms: int
    limit: int
    after: tuple[int, str, str] | None = None


class MetricPoint(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One period: CPU in percent of a core, memory in MiB; None where nobody knows.

    Each is a sum over the part's containers, of their averages or of their maxima.
    """

    at_ms: int
    task_arn: str  # empty in a TOTAL
    container_name: str  # empty but in a CONTAINER
    tasks: int
    cpu_average_percent: float | None
    cpu_maximum_percent: float | None
    memory_average_mib: float | None
    memory_maximum_mib: float | None
