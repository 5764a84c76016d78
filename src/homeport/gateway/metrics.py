"""Where published metrics go: a port, and the table of latest values that stands behind it now.

Nothing here is durable or part of the state: metrics are many, and only the newest count.
"""

from typing import Protocol, TypeVar

import msgspec

from homeport.gateway.limits import GatewayLimits
from homeport.wire.agent_messages import tcs

T = TypeVar("T")


class MetricsSink(Protocol):
    """Takes what agents publish."""

    def keep_metrics(
        self, container_instance_arn: str, metrics: tcs.PublishMetricsRequest, now_ms: int
    ) -> None:
        """Take one message of one container instance."""


class TaskReading(msgspec.Struct, frozen=True, gc=False):
    """The newest metrics of a task and when they came, in epoch milliseconds."""

    container_instance_arn: str
    metrics: tcs.TaskMetric
    taken_at_ms: int


class InstanceReading(msgspec.Struct, frozen=True, gc=False):
    """The newest metrics of a container instance and when they came, in epoch milliseconds."""

    metrics: tcs.InstanceMetrics | None
    taken_at_ms: int


class LatestMetrics:
    """The newest value of each task and container instance; the longest unheard-of go first."""

    def __init__(self, limits: GatewayLimits) -> None:
        self._limits = limits
        self.tasks: dict[str, TaskReading] = {}
        self.instances: dict[str, InstanceReading] = {}

    def keep_metrics(
        self, container_instance_arn: str, metrics: tcs.PublishMetricsRequest, now_ms: int
    ) -> None:
        """Replace what is known of the container instance and of each task in the message."""
        reading = InstanceReading(metrics.instance_metrics, now_ms)
        _renew(self.instances, container_instance_arn, reading, self._limits.metrics_instances)
        for task in metrics.task_metrics:
            task_reading = TaskReading(container_instance_arn, task, now_ms)
            _renew(self.tasks, task.task_arn, task_reading, self._limits.metrics_tasks)


def _renew(table: dict[str, T], key: str, value: T, limit: int) -> None:
    table.pop(key, None)  # so that it moves to the end: the order is that of the last word
    if len(table) >= limit:
        del table[next(iter(table))]
    table[key] = value
