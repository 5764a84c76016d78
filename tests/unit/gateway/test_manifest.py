"""The manifest handshake: only what is not wanted here may be stopped."""

from acs_sessions import make_identity
from builders import (
    NOW_MS,
    make_cluster,
    make_container_instance,
    make_store,
    make_task,
    make_task_definition,
)
from homeport.gateway.manifest import make_manifest, verify_stops
from homeport.model.task import Task
from homeport.state.view import View
from homeport.wire.agent_messages import acs

HERE = make_container_instance("here")
THERE = make_container_instance("there")
RUNNING = make_task("running", instance=HERE, last_status="RUNNING")
STOPPING = make_task("stopping", instance=HERE, last_status="RUNNING", desired_status="STOPPED")
ENDED = make_task("ended", instance=HERE, last_status="STOPPED")
MOVED = make_task("moved", instance=THERE, last_status="RUNNING")
VIEW = View(
    make_store(make_cluster(), HERE, THERE, make_task_definition(), RUNNING, STOPPING, ENDED, MOVED)
)


def ask(*tasks: Task) -> acs.TaskStopVerificationAck:
    candidates = tuple(acs.TaskIdentifier(task_arn=task.arn) for task in tasks)
    request = acs.TaskStopVerificationMessage(message_id="m-1", stop_candidates=candidates)
    return verify_stops(VIEW, make_identity(HERE), request, now_ms=NOW_MS)


def test_the_manifest_lists_every_task_of_the_instance_that_has_not_ended() -> None:
    manifest = make_manifest(VIEW, make_identity(HERE), message_id="m", timeline=7, now_ms=NOW_MS)
    wanted = {task.task_arn: task.desired_status for task in manifest.tasks}
    assert wanted == {RUNNING.arn: "RUNNING", STOPPING.arn: "STOPPED"}
    assert (manifest.timeline, manifest.generated_at) == (7, NOW_MS)


def test_a_wanted_task_is_never_confirmed_for_stopping() -> None:
    assert ask(RUNNING).stop_tasks == ()


def test_stopping_ended_moved_and_unknown_tasks_are_confirmed() -> None:
    unknown = make_task("unknown", instance=HERE)
    answer = ask(RUNNING, STOPPING, ENDED, MOVED, unknown)
    assert [task.task_arn for task in answer.stop_tasks] == [
        task.arn for task in (STOPPING, ENDED, MOVED, unknown)
    ]
    assert {task.desired_status for task in answer.stop_tasks} == {"STOPPED"}


def test_the_answer_repeats_the_message_id_that_the_agent_waits_for() -> None:
    assert ask(ENDED).message_id == "m-1"
