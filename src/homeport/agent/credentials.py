"""The credentials of tasks' roles, in memory only: the control plane sends them again when asked.

Not here: serving them (`task_endpoint`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from homeport.wire.agent_messages import payload

MAX_CREDENTIALS: Final = 10_000
"""Two roles for each of the 5,000 tasks that one agent keeps."""


class CredentialsStore:
    """What each credentials id stands for now; the longest unrefreshed go first."""

    def __init__(self) -> None:
        self._by_id: dict[str, payload.IamRoleCredentials] = {}

    def put(self, credentials: payload.IamRoleCredentials) -> None:
        """Keep these instead of what their id stood for."""
        self._by_id.pop(credentials.credentials_id, None)
        if len(self._by_id) >= MAX_CREDENTIALS:
            del self._by_id[next(iter(self._by_id))]
        self._by_id[credentials.credentials_id] = credentials

    def get(self, credentials_id: str) -> payload.IamRoleCredentials | None:
        """The newest credentials of this id."""
        return self._by_id.get(credentials_id)


def without_secrets(
    credentials: payload.IamRoleCredentials | None,
) -> payload.IamRoleCredentials | None:
    """What may be kept on disk: which role, and under which id."""
    if credentials is None:
        return None
    return msgspec.structs.replace(
        credentials, access_key_id="", secret_access_key="", session_token="", expiration=""
    )


def render_credentials(credentials: payload.IamRoleCredentials) -> dict[str, Any]:
    """The answer that AWS SDKs read.

    docs.aws.amazon.com/AmazonECS/latest/developerguide/task-iam-roles.html
    """
    return {
        "RoleArn": credentials.role_arn,
        "AccessKeyId": credentials.access_key_id,
        "SecretAccessKey": credentials.secret_access_key,
        "Token": credentials.session_token,
        "Expiration": credentials.expiration,
    }
