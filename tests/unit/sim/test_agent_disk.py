"""An agent's disk: what a loss of power takes and what it leaves."""

from homeport.agent.task_state import TaskState
from homeport.sim.agent_disk import AgentDisk
from homeport.wire.agent_messages import payload


def make_state(arn: str) -> TaskState:
    return TaskState(task=payload.Task(arn=arn))


def save(disk: AgentDisk, *arns: str, is_promise: bool = False) -> None:
    disk.write_changes(
        saved=[make_state(arn) for arn in arns],
        forgotten=(),
        reports=[(arn, "SubmitTaskStateChange", b"{}") for arn in arns],
        is_promise=is_promise,
    )


def test_a_loss_of_power_takes_what_was_not_promised():
    disk = AgentDisk()
    save(disk, "task-1", is_promise=True)
    save(disk, "task-2")
    assert [state.arn for state in disk.tasks] == ["task-1", "task-2"]
    disk.lose_power()
    assert [state.arn for state in disk.tasks] == ["task-1"]
    assert [report.task_arn for report in disk.reports] == ["task-1"]


def test_one_sync_covers_all_that_was_written_before_it():
    disk = AgentDisk()
    save(disk, "task-1")
    save(disk, "task-2", is_promise=True)
    disk.lose_power()
    assert [state.arn for state in disk.tasks] == ["task-1", "task-2"]


def test_an_unsynced_removal_comes_undone():
    disk = AgentDisk()
    save(disk, "task-1", is_promise=True)
    disk.drop_report(1)
    disk.write_changes(saved=(), forgotten=("task-1",), reports=(), is_promise=False)
    assert (disk.tasks, disk.reports) == ([], [])
    disk.lose_power()
    assert [state.arn for state in disk.tasks] == ["task-1"]
    assert [report.number for report in disk.reports] == [1]


def test_facts_are_kept_at_once():
    disk = AgentDisk()
    disk.write_facts({"containerInstanceArn": "arn"})
    disk.lose_power()
    assert disk.facts == {"containerInstanceArn": "arn"}
