"""Idempotency tokens of calls that were answered."""

from homeport.model.record import Record


class ClientToken(Record, frozen=True, kw_only=True, tag="client_token"):
    """What a token stood for: same parameters, same answer (reference: task-lifecycle §8)."""

    key: str  # f"{operation}/{cluster_arn}/{token}"
    fingerprint: bytes  # digest of the request's parameters
    resource_arns: tuple[str, ...]
    document: bytes = b""  # JSON of the answer's part that can't be derived, e.g. failures
    expires_at_ms: int
