"""The table of latest metrics: the newest of each, never without bound."""

from homeport.gateway.limits import GatewayLimits
from homeport.gateway.metrics import LatestMetrics
from homeport.wire.agent_messages import tcs


def publish(*task_arns: str) -> tcs.PublishMetricsRequest:
    tasks = tuple(tcs.TaskMetric(task_arn=arn) for arn in task_arns)
    return tcs.PublishMetricsRequest(task_metrics=tasks)


def test_the_newest_reading_of_a_task_replaces_the_one_before() -> None:
    latest = LatestMetrics(GatewayLimits())
    latest.keep_metrics("i", publish("t"), 1)
    latest.keep_metrics("j", publish("t"), 2)
    assert latest.tasks["t"].taken_at_ms == 2
    assert latest.tasks["t"].container_instance_arn == "j"
    assert set(latest.instances) == {"i", "j"}


def test_the_longest_unheard_of_go_first() -> None:
    latest = LatestMetrics(GatewayLimits(metrics_tasks=2, metrics_instances=1))
    latest.keep_metrics("i", publish("a", "b"), 1)
    latest.keep_metrics("j", publish("a", "c"), 2)
    assert set(latest.tasks) == {"a", "c"}
    assert set(latest.instances) == {"j"}
