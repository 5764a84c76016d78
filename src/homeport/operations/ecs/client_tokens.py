"""Idempotency by clientToken: the same call again gets the answer of the first.

Source: docs.aws.amazon.com/AmazonECS/latest/APIReference/ECS_Idempotency.html.
"""

import hashlib
import re

import msgspec

from homeport.api import ecs
from homeport.api.shapes import Shape
from homeport.model.client_token import ClientToken
from homeport.operations.context import CallContext
from homeport.state.changes import Change, Put, delete_of
from homeport.state.view import View

FINGERPRINT_SIZE_BYTES = 16
CLIENT_TOKENS_KEPT = 50_000  # of all accounts; beyond it the next to expire is forgotten

_is_visible_ascii = re.compile(r"[!-~]+").fullmatch


def check_token(token: str | None, most_characters: int) -> str | None:
    """Return a request's clientToken, None for none, or refuse it.

    RunTask's has at most 64 characters of ASCII 33 to 126, CreateService's 36.
    """
    if not token:
        return None
    if len(token) > most_characters:
        raise ecs.InvalidParameterException(f"idempotency token longer than {most_characters}.")
    if _is_visible_ascii(token) is None:
        raise ecs.InvalidParameterException(
            "The idempotency token may hold visible ASCII characters only."
        )
    return token


def find_token(
    view: View, key: str, request_without_token: Shape, context: CallContext
) -> ClientToken | None:
    """Return what the token stood for, None if it is new, or raise ConflictException.

    It conflicts when it came with other parameters before.
    """
    known = view.client_token(key)
    if known is None or known.expires_at_ms <= context.moment.now_ms:
        return None
    if known.fingerprint != fingerprint_of(request_without_token):
        raise ecs.ConflictException(
            "The clientToken was used before with different parameters. Use a new one.",
            resource_ids=known.resource_arns,
        )
    return known


def keep_token(view: View, token: ClientToken) -> tuple[Change, ...]:
    """Make the changes that keep a token, and forget the oldest when there are too many."""
    if view.count_client_tokens() < CLIENT_TOKENS_KEPT:
        return (Put(token),)
    oldest = next(view.expiring_tokens())
    return (delete_of(oldest), Put(token))


def token_key(operation: str, cluster_arn: str, token: str) -> str:
    """Return the key of a token's record: tokens are scoped to an operation and a cluster."""
    return f"{operation}/{cluster_arn}/{token}"


def fingerprint_of(request: Shape) -> bytes:
    """Digest a request's parameters; `request` has no token in it any more."""
    encoded = msgspec.json.encode(request)
    return hashlib.blake2b(encoded, digest_size=FINGERPRINT_SIZE_BYTES).digest()
