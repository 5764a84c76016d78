"""Task protection as a task asks for it: $ECS_AGENT_URI/task-protection/v1/state.

docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection-endpoint.html. The call
to the control plane is the agent's own. Not here: what protection does.
"""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from homeport.agent.link import ControlPlaneRefusal, ControlPlaneUnavailable
from homeport.api import ecs

if TYPE_CHECKING:
    from homeport.agent.link import Link
    from homeport.agent.task_state import TaskState

CALL_TIMEOUT_S: Final = 5
HTTP_BAD_REQUEST: Final = 400
HTTP_SERVER_ERROR: Final = 500
HTTP_GATEWAY_TIMEOUT: Final = 504


class ProtectionFailure(Exception):
    """The request can't be met; `content` is the body that says so."""

    def __init__(self, http_status: int, content: dict[str, Any]) -> None:
        super().__init__(str(content))
        self.http_status, self.content = http_status, content


class _Wish(msgspec.Struct, forbid_unknown_fields=True, rename="pascal"):
    protection_enabled: bool
    expires_in_minutes: int | None = None


async def answer_protection(
    link: Link, state: TaskState, cluster: str, body: bytes | None
) -> dict[str, Any]:
    """Read a task's protection, or set it as `body` says; raises ProtectionFailure."""
    if not state.task.service_name:
        message = "This task is not part of a service: it can't be protected."
        raise _fail(HTTP_BAD_REQUEST, "InvalidParameterException", message, state)
    operation, request = _make_call(state, cluster, body)
    try:
        async with asyncio.timeout(CALL_TIMEOUT_S):
            reply = await link.call(operation, request, ecs.GetTaskProtectionResponse)
    except (TimeoutError, ControlPlaneUnavailable) as trouble:
        message = f"Timed out calling ECS Task Protection API: {trouble}".rstrip(": ")
        raise _fail(HTTP_GATEWAY_TIMEOUT, "RequestCanceled", message, state) from trouble
    except ControlPlaneRefusal as refusal:
        status = refusal.http_status
        raise _fail(status, refusal.code, refusal.message, state) from refusal
    for failure in reply.failures or ():
        content = {"Arn": failure.arn, "Reason": failure.reason, "Detail": failure.detail}
        return {"failure": {name: value for name, value in content.items() if value is not None}}
    if not reply.protected_tasks:
        message = "The control plane said nothing of this task."
        raise _fail(HTTP_SERVER_ERROR, "ServerException", message, state)
    return {"protection": _render(reply.protected_tasks[0])}


def _make_call(state: TaskState, cluster: str, body: bytes | None) -> tuple[str, Any]:
    cluster = state.task.task_cluster_arn or cluster
    if body is None:
        return "GetTaskProtection", ecs.GetTaskProtectionRequest(cluster=cluster, tasks=[state.arn])
    try:
        wish = msgspec.json.decode(body, type=_Wish)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        message = f"UpdateTaskProtection: failed to decode request: {error}"
        code = "InvalidParameterException"
        raise _fail(HTTP_BAD_REQUEST, code, message, state) from error
    return "UpdateTaskProtection", ecs.UpdateTaskProtectionRequest(
        cluster=cluster,
        tasks=[state.arn],
        protection_enabled=wish.protection_enabled,
        expires_in_minutes=wish.expires_in_minutes,
    )


def _render(protected: ecs.ProtectedTask) -> dict[str, Any]:
    rendered: dict[str, Any] = {
        "ProtectionEnabled": bool(protected.protection_enabled),
        "TaskArn": protected.task_arn,
    }
    if protected.expiration_date is not None:
        moment = datetime.fromtimestamp(protected.expiration_date, UTC)
        rendered["ExpirationDate"] = moment.isoformat(timespec="seconds").replace("+00:00", "Z")
    return rendered


def _fail(http_status: int, code: str, message: str, state: TaskState) -> ProtectionFailure:
    error = {"Arn": state.arn, "Code": code, "Message": message}
    return ProtectionFailure(http_status, {"requestID": str(uuid.uuid4()), "error": error})
