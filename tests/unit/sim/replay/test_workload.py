"""What clients, agents and machines did, read from the commits of a journal."""

import pytest
from msgspec.structs import replace

from builders import (
    NOW_MS,
    make_cluster,
    make_container_instance,
    make_service,
    make_task,
    make_task_definition,
)
from homeport.model.service import Deployment
from homeport.model.service_deployment import HookState, ServiceDeployment
from homeport.sim.replay import deeds
from homeport.sim.replay.workload import DOWN_LIMIT_MS, WorkloadError, read_workload
from homeport.state.changes import Change, Commit, Delete, Put
from homeport.storage.journal_reader import JournalReader
from journal_files import write_journal

WEB = make_service(desired_count=2)
ONE = make_container_instance("one")


class Journal:
    """Commits of a test, one second after the other."""

    def __init__(self, folder) -> None:
        self.commits: list[Commit] = []
        self._folder = folder
        self._written = 0

    def add(self, cause: str, *records, changes: tuple[Change, ...] = ()) -> None:
        number = len(self.commits) + 1
        puts = tuple(Put(record) for record in records)
        at_ms = NOW_MS + 1_000 * number
        self.commits.append(Commit(number, at_ms, cause, (*puts, *changes)))

    def read(self, *, first: int = 1, cluster: str | None = None):
        self._written += 1
        folder = write_journal(self._folder / str(self._written), self.commits, first=first)
        with JournalReader(folder) as journal:
            return read_workload(journal, cluster)


@pytest.fixture
def journal(tmp_path) -> Journal:
    made = Journal(tmp_path / "data")
    made.add("CreateCluster", make_cluster(created_at_ms=at(1)))
    return made


def at(number: int) -> int:
    """When the commit of this number was made."""
    return NOW_MS + 1_000 * number


def new(record, number: int):
    """The record as it was made by the commit of this number."""
    return replace(record, created_at_ms=at(number))


def kinds(found) -> list[str]:
    return [type(each).__name__ for each in found]


def test_calls_on_services_become_deeds_at_their_times(journal):
    created = new(WEB, 2)
    journal.add("CreateService", created)
    journal.add("Reconcile", replace(created, is_steady=True))
    journal.add("UpdateService", replace(created, desired_count=5))
    journal.add("StopServiceDeployment", replace(created, rollback_reason="asked"))
    journal.add("DeleteService", replace(created, status="DRAINING", desired_count=0))
    workload = journal.read()
    assert kinds(workload.deeds) == [
        *("Written", "ServiceCreated", "ServiceUpdated", "DeploymentStopped", "ServiceDeleted")
    ]
    update = workload.deeds[2]
    assert isinstance(update, deeds.ServiceUpdated)
    assert (update.before.desired_count, update.after.desired_count) == (2, 5)
    assert update.before.is_steady
    assert [deed.at_ms for deed in workload.deeds] == [at(n) for n in (1, 2, 4, 5, 6)]
    assert workload.base == []
    assert workload.left_out == {}


def test_what_the_control_plane_and_agents_did_of_themselves_is_no_deed(journal):
    task = make_task("one", instance=ONE, service=WEB, created_at_ms=at(2))
    journal.add("Reconcile", task)
    journal.add("SubmitTaskStateChange", replace(task, last_status="RUNNING"))
    journal.add("Expire", changes=(Delete("task", task.arn),))
    assert kinds(journal.read().deeds) == ["Written"]


def test_tasks_of_one_call_are_one_deed_and_a_stop_names_its_task(journal):
    tasks = [make_task(n, instance=ONE, created_at_ms=at(2)) for n in range(3)]
    journal.add("RunTask", *tasks)
    journal.add("StartTask", make_task("there", instance=ONE, created_at_ms=at(3)))
    journal.add(
        "StopTask", replace(tasks[0], desired_status="STOPPED", stopped_reason="enough")
    )
    _, run, start, stop = journal.read().deeds
    assert run == deeds.TasksRun(
        at_ms=at(2), task=tasks[0], arns=tuple(task.arn for task in tasks)
    )
    assert start.instance_arns == (ONE.arn,)
    assert stop == deeds.TaskStopped(
        at_ms=at(4), arn=tasks[0].arn, service_arn=None, reason="enough"
    )


def test_a_container_instances_life_is_read_from_its_records(journal):
    registered = replace(ONE, agent_connected=False, registered_at_ms=at(2))
    connected = replace(registered, agent_connected=True)
    draining = replace(connected, status="DRAINING")
    journal.add("RegisterContainerInstance", registered)
    journal.add("AgentConnected", connected)
    journal.add("UpdateContainerInstancesState", draining)
    journal.add("PutAttributes", replace(draining, attributes={"stack": "blue"}))
    journal.add("AgentLost", replace(draining, attributes={"stack": "blue"}, agent_connected=False))
    journal.add(
        "DeregisterContainerInstance",
        replace(draining, status="INACTIVE", agent_connected=False, deregistered_at_ms=at(7)),
    )
    workload = journal.read()
    assert kinds(workload.deeds[1:]) == [
        *("InstanceJoined", "AgentCame", "StatusSet", "InstanceAltered", "AgentWent"),
        "InstanceLeft",
    ]
    assert workload.past.instances[ONE.arn].left_ms == at(7)


def test_an_agent_that_reports_without_a_connection_is_not_silent(journal):
    away = replace(ONE, agent_connected=False)
    task = make_task("a", instance=ONE)
    journal.add("RegisterContainerInstance", ONE, task)
    journal.add("AgentLost", away)
    journal.add("AgentConnected", ONE)
    journal.add("AgentLost", away)
    journal.add("SubmitTaskStateChange", replace(task, last_status="RUNNING"))
    journal.add("AgentConnected", ONE)
    went = [deed for deed in journal.read().deeds if isinstance(deed, deeds.AgentWent)]
    assert [deed.is_silent for deed in went] == [True, False]


@pytest.mark.parametrize(
    ("last", "down_from"),
    [
        pytest.param("SubmitTaskStateChange", at(2), id="nothing looked at a report any more"),
        pytest.param("Reconcile", at(2) + 1, id="a look was taken"),
    ],
)
def test_a_server_is_down_from_its_last_commit_until_the_next_one_starts(journal, last, down_from):
    journal.add(last, WEB)
    journal.add("ServerStarted", replace(ONE, agent_connected=False))
    (down,) = [deed for deed in journal.read().deeds if isinstance(deed, deeds.ServerDown)]
    assert (down.at_ms, down.until_ms) == (down_from, at(3) + 1)


def test_a_server_that_was_quiet_for_long_before_it_started_again_was_not_down(journal):
    started = Commit(2, at(1) + DOWN_LIMIT_MS + 2, "ServerStarted", (Put(ONE),))
    journal.commits.append(started)
    assert kinds(journal.read().deeds).count("ServerDown") == 0


def test_how_long_a_lost_instance_was_waited_for_is_learnt(journal):
    away = replace(ONE, agent_connected=False, registered_at_ms=at(2), disconnected_at_ms=at(3))
    journal.add("RegisterContainerInstance", replace(ONE, registered_at_ms=at(2)))
    journal.add("AgentLost", away)
    journal.add("InstanceLost", replace(away, lost_at_ms=at(3) + 45_000))
    assert journal.read().loss_window_s == 45


def test_a_call_that_is_not_replayed_is_counted(journal):
    journal.add("CreateService", new(WEB, 2))
    journal.add("RenameService", replace(new(WEB, 2), desired_count=3))
    journal.add("RenameService", replace(new(WEB, 2), desired_count=4))
    assert journal.read().left_out == {"RenameService": 2}


def test_a_pruned_journal_begins_with_what_was_there(journal):
    standalone = make_task("job", instance=ONE, last_status="RUNNING")
    web = replace(WEB, desired_count=1)
    tasks = [make_task("web", instance=ONE, service=WEB, last_status="RUNNING")]
    journal.add("Test", make_task_definition(status="INACTIVE"), web, ONE, standalone, *tasks)
    journal.add("Reconcile", replace(web, is_steady=True))
    workload = journal.read(first=3)
    assert kinds(workload.base) == [
        *("Written", "Written", "InstanceJoined", "AgentCame", "ServiceCreated"),
        *("TaskThere", "TaskThere"),
    ]
    definition = workload.base[1].changes[0].record
    assert definition.status == "ACTIVE"  # somebody runs it, though nobody may start it any more
    assert workload.base[4].service.desired_count == 1
    assert {workload.base[5].task, workload.base[6].task} == {standalone, *tasks}
    assert workload.deeds == []
    assert workload.past.tasks[tasks[0].arn].started_ms == NOW_MS


def test_a_service_whose_first_known_change_was_a_call_had_the_tasks_that_it_had(journal):
    older = Deployment(id="older", status="ACTIVE", task_definition_arn="older")
    newer = Deployment(
        id="newer", status="PRIMARY", task_definition_arn="newer", created_at_ms=at(3)
    )
    after = replace(
        WEB, desired_count=9, task_definition_arn="newer", deployments=(newer, older)
    )
    tasks = [make_task(n, instance=ONE, service=WEB, last_status="RUNNING") for n in range(4)]
    journal.add("Test", WEB, ONE, *tasks)
    journal.add("UpdateService", after)
    workload = journal.read(first=3)
    (created,) = [deed for deed in workload.base if isinstance(deed, deeds.ServiceCreated)]
    assert created.service.desired_count == 4
    assert created.service.task_definition_arn == "older"
    (update,) = workload.deeds
    assert (update.before.desired_count, update.after.desired_count) == (4, 9)
    assert workload.past.services[WEB.arn].wishes == [(at(3), 4), (at(3), 9)]


def test_a_service_that_lacked_tasks_when_the_journal_begins_goes_on_waiting(journal):
    failing = replace(WEB, desired_count=3, failed_launches=4, next_launch_at_ms=at(9))
    journal.add("Test", failing, ONE, make_task("up", instance=ONE, service=WEB))
    journal.add("Reconcile", replace(failing, event_sequence=1))
    workload = journal.read(first=3)
    (created,) = [deed for deed in workload.base if isinstance(deed, deeds.ServiceCreated)]
    assert created.service.desired_count == 1
    (resumed,) = workload.deeds
    assert resumed.service.desired_count == 3
    assert resumed.service.next_launch_at_ms == at(9)


@pytest.mark.parametrize(
    ("cause", "record", "status", "is_connected"),
    [
        ("DeregisterContainerInstance", replace(ONE, status="INACTIVE"), "ACTIVE", True),
        ("UpdateContainerInstancesState", replace(ONE, status="DRAINING"), "ACTIVE", True),
        ("AgentLost", replace(ONE, agent_connected=False), "ACTIVE", True),
        ("AgentConnected", ONE, "ACTIVE", False),
    ],
)
def test_an_instances_first_known_change_is_taken_back(
    journal, cause, record, status, is_connected
):
    journal.add("Test", ONE)
    journal.add(cause, record)
    workload = journal.read(first=3)
    (joined,) = [deed for deed in workload.base if isinstance(deed, deeds.InstanceJoined)]
    assert joined.instance.status == status
    # Whoever was away just then had tasks, so that it must have been there.
    assert any(isinstance(deed, deeds.AgentCame) for deed in workload.base)
    went = [deed.at_ms for deed in workload.deeds if isinstance(deed, deeds.AgentWent)]
    if cause == "AgentConnected":
        assert went == [at(3)]
    assert len(workload.deeds) == (1 if is_connected else 2)


def test_an_instance_that_was_given_up_is_not_there_for_tasks(journal):
    journal.add("Test", ONE)
    journal.add("PutAttributes", replace(ONE, agent_connected=False, lost_at_ms=at(1)))
    assert "AgentCame" not in kinds(journal.read(first=3).base)


def test_a_deployment_that_was_under_way_is_taken_up_again(journal):
    older = Deployment(id="older", status="ACTIVE", task_definition_arn="older")
    newer = Deployment(id="newer", status="PRIMARY", task_definition_arn="newer")
    rolling = replace(WEB, task_definition_arn="newer", deployments=(newer, older))
    tasks = [make_task(n, instance=ONE, service=WEB, last_status="RUNNING") for n in range(2)]
    journal.add("Test", rolling, ONE, *tasks)
    journal.add("Reconcile", replace(rolling, event_sequence=1))
    workload = journal.read(first=3)
    (created,) = [deed for deed in workload.base if isinstance(deed, deeds.ServiceCreated)]
    assert created.service.task_definition_arn == "older"
    (update,) = workload.deeds
    assert update.after.task_definition_arn == "newer"
    assert update.at_ms == workload.begins_ms


def test_a_hooks_answer_is_done_again(journal):
    record = ServiceDeployment(
        arn="deployment",
        service_arn=WEB.arn,
        cluster_arn=WEB.cluster_arn,
        deployment_id="one",
        target_revision_arn="revision",
        hooks=(HookState(id="hook", stage="POST_SCALE_UP", status="SUCCEEDED"),),
    )
    failed = HookState(id="hook", stage="POST_SCALE_UP", status="FAILED")
    journal.add("ContinueServiceDeployment", record)
    journal.add("ContinueServiceDeployment", replace(record, hooks=(failed,)))
    answers = [d for d in journal.read().deeds if isinstance(d, deeds.HookAnswered)]
    assert [(deed.at_ms, deed.action) for deed in answers] == [
        (at(2), "CONTINUE"),
        (at(3), "ROLLBACK"),
    ]


def test_only_the_cluster_that_is_asked_for_is_read(journal):
    other = make_service("other", cluster="second", created_at_ms=at(3))
    journal.add("CreateCluster", make_cluster("second"))
    journal.add("CreateService", other)
    journal.add("CreateService", new(WEB, 4))
    workload = journal.read(cluster="second")
    assert [
        deed.service.name for deed in workload.deeds if isinstance(deed, deeds.ServiceCreated)
    ] == ["other"]
    assert list(workload.past.services) == [other.arn]


def test_a_cluster_must_be_named_when_there_are_several_and_must_be_known(journal):
    journal.add("CreateCluster", make_cluster("second"))
    with pytest.raises(WorkloadError, match=r"several clusters.*default, second"):
        journal.read()
    with pytest.raises(WorkloadError, match="knows no cluster 'third'; there are: default, second"):
        journal.read(cluster="third")


def test_a_journal_without_commits_is_refused(tmp_path):
    with pytest.raises(WorkloadError, match="nothing has happened yet"):
        Journal(tmp_path / "data").read()
