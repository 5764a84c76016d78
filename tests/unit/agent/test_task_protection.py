"""A task asks for protection through its agent, in Amazon's words."""

import json
from typing import Any

import pytest

from agent_builders import make_container, make_task
from homeport.agent.link import ControlPlaneRefusal, ControlPlaneUnavailable
from homeport.agent.task_protection import ProtectionFailure, answer_protection
from homeport.agent.task_state import ContainerState, TaskState
from homeport.api import ecs


class FakeLink:
    def __init__(self, reply: ecs.GetTaskProtectionResponse | Exception) -> None:
        self.reply = reply
        self.calls: list[tuple[str, Any]] = []

    async def call(self, operation: str, request: Any, _reply_type: Any) -> Any:
        self.calls.append((operation, request))
        if isinstance(self.reply, Exception):
            raise self.reply
        return self.reply


def make_state(service_name: str = "web") -> TaskState:
    task = make_task(make_container("i"), service_name=service_name)
    return TaskState(task=task, containers=(ContainerState(name="web"),))


STATE = make_state()
PROTECTED = ecs.GetTaskProtectionResponse(
    protected_tasks=[
        ecs.ProtectedTask(
            task_arn=STATE.arn, protection_enabled=True, expiration_date=1_700_000_000.0
        )
    ]
)


async def test_reading_shows_the_protection_and_its_end():
    link = FakeLink(PROTECTED)
    assert await answer_protection(link, STATE, "default", None) == {  # type: ignore[arg-type]
        "protection": {
            "ProtectionEnabled": True,
            "TaskArn": STATE.arn,
            "ExpirationDate": "2023-11-14T22:13:20Z",
        }
    }
    [(operation, request)] = link.calls
    assert operation == "GetTaskProtection"
    assert request.tasks == [STATE.arn]


async def test_putting_passes_the_wish_on():
    link = FakeLink(PROTECTED)
    body = json.dumps({"ProtectionEnabled": True, "ExpiresInMinutes": 60}).encode()
    await answer_protection(link, STATE, "default", body)  # type: ignore[arg-type]
    [(operation, request)] = link.calls
    assert operation == "UpdateTaskProtection"
    assert (request.protection_enabled, request.expires_in_minutes) == (True, 60)


async def test_a_failure_of_the_task_is_an_answer():
    failure = ecs.Failure(arn=STATE.arn, reason="TASK_NOT_VALID")
    link = FakeLink(ecs.GetTaskProtectionResponse(protected_tasks=[], failures=[failure]))
    answer = await answer_protection(link, STATE, "default", None)  # type: ignore[arg-type]
    assert answer == {"failure": {"Arn": STATE.arn, "Reason": "TASK_NOT_VALID"}}


@pytest.mark.parametrize(
    "body", [b"", b"{", b"{}", b'{"ProtectionEnabled": 1}', b'{"ProtectionEnabled":true,"X":1}']
)
async def test_a_body_that_makes_no_sense_is_refused(body: bytes):
    link = FakeLink(PROTECTED)
    with pytest.raises(ProtectionFailure) as failed:
        await answer_protection(link, STATE, "default", body)  # type: ignore[arg-type]
    assert failed.value.http_status == 400
    assert failed.value.content["error"]["Code"] == "InvalidParameterException"
    assert link.calls == []


@pytest.mark.parametrize(
    ("trouble", "http_status", "code"),
    [
        (ControlPlaneUnavailable("away"), 504, "RequestCanceled"),
        (ControlPlaneRefusal("AccessDeniedException", "no", 400), 400, "AccessDeniedException"),
    ],
)
async def test_trouble_with_the_control_plane_is_told(
    trouble: Exception, http_status: int, code: str
):
    with pytest.raises(ProtectionFailure) as failed:
        await answer_protection(FakeLink(trouble), STATE, "default", None)  # type: ignore[arg-type]
    assert failed.value.http_status == http_status
    assert failed.value.content["error"]["Code"] == code
    assert failed.value.content["requestID"]


async def test_a_task_of_no_service_is_told_so_without_a_call():
    link = FakeLink(PROTECTED)
    with pytest.raises(ProtectionFailure) as failed:
        await answer_protection(link, make_state(""), "default", None)  # type: ignore[arg-type]
    assert failed.value.http_status == 400
    assert link.calls == []
