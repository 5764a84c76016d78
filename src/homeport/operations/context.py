"""What an operation knows beside its request: who asks, where, when, and the configured limits."""

import msgspec

from homeport.core.decision import Moment
from homeport.model.arn import Scope


class OperationSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The configured values that operations and expiry use; the defaults are AWS's."""

    stopped_task_retention_s: int = 3_600
    deregistered_instance_retention_s: int = 3_600
    inactive_service_retention_s: int = 86_400
    client_token_retention_s: int = 86_400
    instance_loss_window_s: int = 300  # 0: an instance is never given up
    strict_failures: bool = False  # count only those failures of tasks that ECS counts


class CallContext(msgspec.Struct, frozen=True, kw_only=True):
    """One call's surroundings; `endpoint` is the URL by which the caller reached the server."""

    scope: Scope
    moment: Moment
    endpoint: str
    settings: OperationSettings = OperationSettings()

    @property
    def principal_arn(self) -> str:
        """The caller: the account's root user until IAM exists."""
        return f"arn:aws:iam::{self.scope.account_id}:root"
