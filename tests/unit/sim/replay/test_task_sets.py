"""Calls on task sets, from the service before and after them."""

from msgspec.structs import replace

from builders import make_service, make_task_definition
from homeport.model.service import TaskSet
from homeport.sim.replay.task_sets import task_set_calls

WEB = make_service(deployment_controller="EXTERNAL", deployments=())
BLUE = TaskSet(
    id="blue",
    arn="arn-blue",
    task_definition_arn=make_task_definition().arn,
    scale_percent=40.0,
    external_id="release-1",
)


def calls(before: tuple[TaskSet, ...], after: tuple[TaskSet, ...], **names: str) -> list:
    """The calls between two states, with a name for each task set that is created."""
    known = dict(names)
    made = []
    changes = replace(WEB, task_sets=before), replace(WEB, task_sets=after)
    for call in task_set_calls(*changes, known):
        made.append(call)
        if call.creates is not None:
            known[call.creates] = f"new-{call.creates}"
    return made


def test_a_task_set_is_created_with_its_share_and_made_the_primary_one():
    create, primary = calls((), (replace(BLUE, status="PRIMARY"),))
    assert create.operation == "CreateTaskSet"
    assert (create.request.scale.value, create.request.external_id) == (40.0, "release-1")
    assert create.request.task_definition == BLUE.task_definition_arn
    assert primary.operation == "UpdateServicePrimaryTaskSet"
    assert primary.request.primary_task_set == "new-blue"


def test_a_share_that_changes_is_one_call_for_the_simulated_task_set():
    (call,) = calls((BLUE,), (replace(BLUE, scale_percent=100.0),), blue="other")
    assert call.operation == "UpdateTaskSet"
    assert (call.request.task_set, call.request.scale.value) == ("other", 100.0)


def test_a_task_set_that_drains_is_deleted_whatever_its_share():
    found = calls(
        (BLUE,), (replace(BLUE, status="DRAINING", scale_percent=0.0),), blue="other"
    )
    assert [call.operation for call in found] == ["UpdateTaskSet", "DeleteTaskSet"]
    assert found[-1].request.force


def test_what_stays_and_what_was_refused_is_left_alone():
    assert calls((BLUE,), (BLUE,), blue="other") == []
    assert calls((BLUE,), (replace(BLUE, scale_percent=1.0),)) == []
