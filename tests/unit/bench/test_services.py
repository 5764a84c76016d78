"""Services beside each other: what is counted in the journal, what agents say, and the targets."""

import pytest

from homeport.bench.agent_wire import PlayedTask
from homeport.bench.report import crowded_lines, steady_lines
from homeport.bench.service_agent import TASKS_PER_FRAME, Ward, render_metrics
from homeport.bench.services import CrowdedResult, SteadyResult, count_of_others, percentile
from homeport.model.service import Service
from homeport.state.changes import Commit, Put

CLUSTER = "arn:aws:ecs:us-east-1:123456789012:cluster/default"
SERVICES = "arn:aws:ecs:us-east-1:123456789012:service/default"
DEFINITION = "arn:aws:ecs:us-east-1:123456789012:task-definition/web:1"


def service(name: str) -> Put:
    return Put(
        Service(
            arn=f"{SERVICES}/{name}",
            cluster_arn=CLUSTER,
            name=name,
            task_definition_arn=DEFINITION,
            created_at_ms=1,
        )
    )


def commit(number: int, *changes: Put) -> Commit:
    return Commit(number, 1, "test", changes)


def test_a_commit_of_another_service_is_counted_and_ones_own_are_not():
    commits = [
        commit(1, service("mine")),
        commit(2, service("mine"), service("theirs")),
        commit(3, service("theirs")),
        commit(4),
    ]
    assert count_of_others(commits, "mine") == 2
    assert count_of_others(commits, "theirs") == 2


def test_a_percentile_is_a_value_that_was_measured():
    values = [float(number) for number in range(100, 0, -1)]
    assert percentile(values, 95) == 96.0
    assert percentile([7.0], 95) == 7.0


def test_metrics_come_ten_tasks_a_frame_and_the_last_one_says_so():
    tasks = [
        PlayedTask(arn=f"arn:{n}", desired_status="RUNNING", family="web", version="1")
        for n in range(TASKS_PER_FRAME + 1)
    ]
    first, last = render_metrics("arn:i", tasks, 1.0)
    assert (len(first.task_metrics), len(last.task_metrics)) == (TASKS_PER_FRAME, 1)
    assert (first.metadata.fin, last.metadata.fin) == (False, True)


def test_an_agent_without_tasks_says_that_it_is_idle():
    [only] = render_metrics("arn:i", [], 1.0)
    assert only.metadata.idle
    assert only.metadata.fin


async def test_an_agents_trouble_ends_the_wait_for_its_tasks():
    ward = Ward()
    ward.note_trouble(ConnectionError("gone"))
    with pytest.raises(ConnectionError, match="gone"):
        await ward.wait_for("web", 1, 1.0)


def test_a_replacement_that_takes_longer_beside_a_crashing_service_misses_the_target():
    found = {"tasks": 100, "alone_p95_ms": 30.0, "beside_p95_ms": 30.0, "seconds": 30.0}
    found |= {"alone_ms": 20.0, "crashes": 9, "server_percent": 4.0}
    same, cpu = crowded_lines(CrowdedResult(**found, beside_ms=25.0))
    slower, _ = crowded_lines(CrowdedResult(**found, beside_ms=45.0))
    assert (same.is_met, cpu.is_met, slower.is_met) == (True, True, False)


def test_one_commit_of_another_service_misses_the_target():
    found = {"services": 2, "tasks_per_service": 1, "instances": 1, "quiet_percent": 0.1}
    found |= {"telemetry_percent": 6.0, "change_alone_ms": 1.0, "change_beside_ms": 1.0}
    rest, _, commits = steady_lines(SteadyResult(**found, change_commits=9, others_commits=1))
    assert rest.is_met is False
    assert commits.is_met is False
