"""Tasks whose container instance is gone."""

from builders import NOW_MS, at, make_task
from homeport.core.lifecycle.orphan import REASON_DEREGISTERED, orphan_task

LATER = at(NOW_MS + 1)


def test_an_orphan_is_stopped_with_all_its_containers():
    task = orphan_task(make_task(last_status="RUNNING"), LATER)
    assert (task.last_status, task.desired_status) == ("STOPPED", "STOPPED")
    assert task.stopped_reason == REASON_DEREGISTERED
    assert task.stopped_at_ms == task.stopping_at_ms == NOW_MS + 1
    assert [container.last_status for container in task.containers] == ["STOPPED"]
    assert task.version == 2


def test_an_orphan_that_was_stopping_keeps_its_first_reason():
    stopping = make_task(
        last_status="RUNNING",
        desired_status="STOPPED",
        stop_code="UserInitiated",
        stopped_reason="done",
        stopping_at_ms=7,
    )
    task = orphan_task(stopping, LATER)
    assert (task.stop_code, task.stopped_reason) == ("UserInitiated", "done")
    assert (task.stopping_at_ms, task.stopped_at_ms) == (7, NOW_MS + 1)
