"""Credentials for tasks' roles: local stand-ins, until there is an IAM that issues real ones.

They sign requests that Homeport accepts on loopback, where any credentials do; the access key id is
the account's, which is how a caller picks its account. They are no secret and open nothing. Not
here: when they are sent (`session`).
"""

import hashlib
from datetime import UTC, datetime
from typing import Final

from homeport.model.arn import dashed_uuid, scope_of
from homeport.model.task import Task
from homeport.wire.agent_messages import acs, payload

LIFETIME_MS: Final = 6 * 60 * 60 * 1_000
"""How long credentials are good for; ECS's last six hours, too."""

REFRESH_MS: Final = 60 * 60 * 1_000
"""How often they are sent anew: AWS SDKs ask again some minutes before the end."""

TASK_ROLE: Final = "TaskApplication"
EXECUTION_ROLE: Final = "TaskExecution"
SESSION_TOKEN: Final = "homeport-local-stand-in"


def make_role_credentials(
    task: Task, role_arn: str | None, role_type: str, now_ms: int
) -> payload.IamRoleCredentials | None:
    """Make a role's credentials for one task, under an id that stays the same for the task."""
    if not role_arn:
        return None
    digest = hashlib.blake2b(f"{role_type} {task.arn} {task.created_at_ms}".encode()).hexdigest()
    expires = datetime.fromtimestamp((now_ms + LIFETIME_MS) / 1_000, UTC)
    return payload.IamRoleCredentials(
        credentials_id=dashed_uuid(digest[:32]),
        role_arn=role_arn,
        access_key_id=scope_of(task.arn).account_id,
        secret_access_key=digest[32:72],
        session_token=SESSION_TOKEN,
        expiration=expires.isoformat(timespec="seconds").replace("+00:00", "Z"),
    )


def make_refresh(
    task: Task, credentials: payload.IamRoleCredentials, role_type: str, message_id: str
) -> acs.IAMRoleCredentialsMessage:
    """Send a task's agent newer credentials."""
    return acs.IAMRoleCredentialsMessage(
        message_id=message_id,
        task_arn=task.arn,
        task_cluster_arn=task.cluster_arn,
        role_type=role_type,
        role_credentials=credentials,
    )
