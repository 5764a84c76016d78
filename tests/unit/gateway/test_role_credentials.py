"""Credentials for tasks' roles: in the payload, and again for as long as a task runs."""

import msgspec

from acs_sessions import make_session, sent
from builders import (
    NOW_MS,
    make_cluster,
    make_container_instance,
    make_store,
    make_task,
    make_task_definition,
)
from homeport.gateway.payloads import PayloadTasks
from homeport.gateway.role_credentials import REFRESH_MS
from homeport.state.view import View
from homeport.wire.agent_messages import acs, payload

INSTANCE = make_container_instance()
TASK_ROLE = "arn:aws:iam::123456789012:role/web"
EXECUTION_ROLE = "arn:aws:iam::123456789012:role/execution"
DEFINITION = make_task_definition(
    document=msgspec.json.encode({"taskRoleArn": TASK_ROLE, "executionRoleArn": EXECUTION_ROLE})
)
TASK = make_task(instance=INSTANCE, definition=DEFINITION, last_status="RUNNING")


def build(now_ms: int = NOW_MS, **members: object) -> payload.Task:
    task = msgspec.structs.replace(TASK, **members)
    built = PayloadTasks(View(make_store(DEFINITION, task))).build(task, now_ms)
    assert built is not None
    return built


def test_a_payload_carries_credentials_of_both_roles() -> None:
    built = build()
    assert built.role_credentials is not None
    assert built.execution_role_credentials is not None
    assert built.role_credentials.role_arn == TASK_ROLE
    assert built.execution_role_credentials.role_arn == EXECUTION_ROLE
    assert built.role_credentials.credentials_id != built.execution_role_credentials.credentials_id


def test_the_access_key_picks_the_account_and_the_end_is_six_hours_away() -> None:
    role = build(now_ms=1_700_000_000_000).role_credentials
    assert role is not None
    assert role.access_key_id == "123456789012"
    assert role.expiration == "2023-11-15T04:13:20Z"
    assert role.secret_access_key
    assert role.session_token


def test_an_override_names_another_role() -> None:
    other = "arn:aws:iam::123456789012:role/other"
    built = build(overrides=msgspec.json.encode({"taskRoleArn": other}))
    assert built.role_credentials is not None
    assert built.role_credentials.role_arn == other


def test_a_task_without_roles_gets_no_credentials() -> None:
    definition = make_task_definition(document=b"{}")
    task = make_task(instance=INSTANCE, definition=definition)
    built = PayloadTasks(View(make_store(definition, task))).build(task, NOW_MS)
    assert built is not None
    assert built.role_credentials is None
    assert built.execution_role_credentials is None


def test_running_tasks_get_credentials_anew_on_connecting_and_every_hour() -> None:
    ended = make_task("ending", instance=INSTANCE, definition=DEFINITION, desired_status="STOPPED")
    store = make_store(make_cluster(), INSTANCE, DEFINITION, TASK, ended)
    session = make_session(store, INSTANCE, answers_heartbeats=False)
    first = sent(session.connected(NOW_MS), acs.IAMRoleCredentialsMessage)
    assert [(m.task_arn, m.role_type) for m in first] == [
        (TASK.arn, "TaskApplication"),
        (TASK.arn, "TaskExecution"),
    ]
    early = session.timer_rang(NOW_MS + REFRESH_MS - 1)
    assert sent(early, acs.IAMRoleCredentialsMessage) == []
    assert session.due_ms <= NOW_MS + REFRESH_MS
    again = sent(session.timer_rang(NOW_MS + REFRESH_MS), acs.IAMRoleCredentialsMessage)
    assert len(again) == 2
    ids = [m.role_credentials.credentials_id for m in (*first, *again)]
    assert ids[:2] == ids[2:]
    assert again[0].role_credentials.expiration > first[0].role_credentials.expiration
