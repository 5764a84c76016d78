"""The chronicle of a cluster: what its commits say about each life."""

import pytest
from msgspec.structs import replace

from builders import NOW_MS, make_container_instance, make_service, make_task
from homeport.model.service_deployment import ServiceDeployment
from homeport.sim.replay import lives
from homeport.sim.replay.lives import Chronicle, TooManyTasks
from homeport.state.changes import Put

ONE = make_container_instance("one")
WEB = make_service(desired_count=2)


def follow(*steps) -> Chronicle:
    """A chronicle of (when, record) pairs, a commit each."""
    chronicle = Chronicle(WEB.cluster_arn)
    for number, (at_ms, record) in enumerate(steps, start=1):
        chronicle.follow(at_ms, number, (Put(record),))
    return chronicle


def test_a_tasks_life_has_its_times():
    new = make_task("a", instance=ONE, service=WEB)
    up = replace(
        new,
        last_status="RUNNING",
        started_at_ms=NOW_MS + 900,
        pull_started_at_ms=5_000,  # the agent's clock is its own
        pull_stopped_at_ms=5_400,
    )
    going = replace(
        up,
        desired_status="STOPPED",
        stopping_at_ms=NOW_MS + 2_000,
        stop_code="UserInitiated",
    )
    gone = replace(going, last_status="STOPPED", stopped_at_ms=NOW_MS + 2_100)
    chronicle = follow(
        (NOW_MS, new), (NOW_MS + 900, up), (NOW_MS + 2_000, going), (NOW_MS + 2_100, gone)
    )
    (life,) = chronicle.tasks.values()
    assert (life.placed_ms, life.started_ms) == (NOW_MS, NOW_MS + 900)
    assert (life.stopping_ms, life.stopped_ms) == (NOW_MS + 2_000, NOW_MS + 2_100)
    assert (life.pull_ms, life.stop_code, life.failure) == (400, "UserInitiated", None)
    assert (life.instance_arn, life.zone) == (ONE.arn, "us-east-1a")


def test_an_agent_without_a_connection_is_told_to_stop_a_task_when_it_has_one_again():
    new = make_task("a", instance=ONE, service=WEB)
    away = replace(ONE, agent_connected=False)
    going = replace(new, desired_status="STOPPED", stopping_at_ms=NOW_MS + 20)
    (life,) = follow(
        (NOW_MS, ONE), (NOW_MS, new), (NOW_MS + 10, away), (NOW_MS + 20, going), (NOW_MS + 30, ONE)
    ).tasks.values()
    assert (life.stopping_ms, life.told_ms) == (NOW_MS + 20, NOW_MS + 30)


def test_a_task_that_waited_for_capacity_is_placed_when_it_has_an_instance():
    waiting = replace(
        make_task("a", instance=ONE), last_status="PROVISIONING", container_instance_arn=None
    )
    placed = replace(waiting, last_status="PENDING", container_instance_arn=ONE.arn)
    (life,) = follow((NOW_MS, waiting), (NOW_MS + 700, placed)).tasks.values()
    assert life.placed_ms == NOW_MS + 700


@pytest.mark.parametrize(
    ("members", "exit_code", "failure"),
    [
        ({"stop_code": "TaskFailedToStart"}, None, "failed to start"),
        ({"stop_code": "EssentialContainerExited"}, 1, "crashed"),
        ({"stop_code": "EssentialContainerExited"}, 0, None),
        ({"stop_code": "TerminationNotice"}, None, "lost with its instance"),
        (
            {"stop_code": "ServiceSchedulerInitiated", "health_status": "UNHEALTHY"},
            None,
            "unhealthy",
        ),
        ({"stop_code": "ServiceSchedulerInitiated"}, None, None),
    ],
)
def test_a_failure_is_named_by_how_it_came(members, exit_code, failure):
    task = make_task("a", instance=ONE, last_status="STOPPED", **members)
    ended = replace(
        task, containers=tuple(replace(each, exit_code=exit_code) for each in task.containers)
    )
    (life,) = follow((NOW_MS, ended)).tasks.values()
    assert life.failure == failure


def test_a_services_wishes_are_steps_and_daemons_have_none():
    daemon = make_service("daemon", scheduling_strategy="DAEMON")
    chronicle = follow(
        (NOW_MS + 5, WEB),
        (NOW_MS + 6, replace(WEB, is_steady=True)),
        (NOW_MS + 7, replace(WEB, desired_count=5)),
        (NOW_MS + 8, daemon),
    )
    assert chronicle.services[WEB.arn].wishes == [(NOW_MS, 2), (NOW_MS + 7, 5)]
    assert daemon.arn not in chronicle.services


def test_a_deployment_lasts_until_it_is_finished():
    begun = ServiceDeployment(
        arn="deployment",
        service_arn=WEB.arn,
        cluster_arn=WEB.cluster_arn,
        deployment_id="one",
        target_revision_arn="revision",
        created_at_ms=NOW_MS,
    )
    ended = replace(begun, status="SUCCESSFUL", finished_at_ms=NOW_MS + 4_000)
    (life,) = follow((NOW_MS, begun), (NOW_MS + 4_000, ended)).deployments.values()
    assert (life.service, life.status) == ("web", "SUCCESSFUL")
    assert life.finished_ms == NOW_MS + 4_000


def test_another_clusters_records_are_left_alone():
    other = make_service("other", cluster="second")
    assert follow((NOW_MS, other)).services == {}


def test_too_many_tasks_are_refused_with_their_number(monkeypatch):
    monkeypatch.setattr(lives, "TASKS_LIMIT", 2)
    with pytest.raises(TooManyTasks, match="more than 2 tasks"):
        follow(*((NOW_MS, make_task(n, instance=ONE)) for n in range(3)))
