"""When a deleted task definition is forgotten."""

import pytest

from builders import make_service, make_store, make_task, make_task_definition
from homeport.core.lifecycle.definition import forget_unreferenced, is_referenced
from homeport.model.record import ResourceTags, Tag
from homeport.state.changes import Delete, delete_of
from homeport.state.view import View

DELETING = make_task_definition(status="DELETE_IN_PROGRESS")
TASK = make_task("a", definition=DELETING, last_status="STOPPED")
OTHER_TASK = make_task("b", definition=DELETING, last_status="STOPPED")
SERVICE = make_service(definition=DELETING)


@pytest.mark.parametrize("holder", [TASK, SERVICE], ids=lambda r: type(r).__name__)
def test_tasks_and_services_refer_to_their_definition(holder):
    view = View(make_store(DELETING, holder))
    assert is_referenced(view, DELETING.arn)
    assert not is_referenced(view, DELETING.arn, without={holder.arn})


def test_an_older_deployment_refers_to_its_definition_too():
    newer = make_task_definition(revision=2)
    service = make_service(definition=newer, deployments=SERVICE.deployments)
    assert is_referenced(View(make_store(DELETING, newer, service)), DELETING.arn)


@pytest.mark.parametrize("holder", [TASK, SERVICE], ids=lambda r: type(r).__name__)
def test_the_last_reference_takes_a_deleted_definition_and_its_tags_along(holder):
    tags = ResourceTags(arn=DELETING.arn, tags=(Tag("a"),))
    view = View(make_store(DELETING, holder, tags))
    assert forget_unreferenced(view, [delete_of(holder)]) == (
        Delete("task_definition", DELETING.arn),
        Delete("tags", DELETING.arn),
    )


def test_a_definition_with_another_reference_stays():
    view = View(make_store(DELETING, TASK, OTHER_TASK))
    assert forget_unreferenced(view, [delete_of(TASK)]) == ()
    both = [delete_of(TASK), delete_of(OTHER_TASK)]
    assert forget_unreferenced(view, both) == (Delete("task_definition", DELETING.arn),)


def test_a_definition_that_nobody_deleted_stays():
    inactive = make_task_definition(status="INACTIVE")
    task = make_task(definition=inactive, last_status="STOPPED")
    other = make_task_definition("other", status="DELETE_IN_PROGRESS")
    assert forget_unreferenced(View(make_store(inactive, task, other)), [delete_of(task)]) == ()
