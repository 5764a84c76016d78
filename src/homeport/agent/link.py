"""Signed calls of the ECS API, as the agent makes them.

JSON 1.1 over HTTP with AWS Signature Version 4. Not here: the websockets (`sessions`), which calls
are made when (`registration`, `reporter`).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TypeVar

import aiohttp
import msgspec

from homeport.api.ecs import TARGET_PREFIX
from homeport.wire.signing import sign_headers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from homeport.agent.settings import AgentSettings
    from homeport.api.shapes import Shape

CALL_TIMEOUT_S: Final = 30
CONNECT_TIMEOUT_S: Final = 5
CONCURRENT_CALLS: Final = 16
REPLY_LIMIT_BYTES: Final = 4 * 1024 * 1024
HTTP_OK: Final = 200
HTTP_SERVER_ERROR: Final = 500

RETRYABLE_CODES: Final = (
    "ThrottlingException",
    "ServerException",
    "LimitExceededException",
    "ServiceUnavailable",
    "RequestTimeoutException",
    "RequestExpired",
)

Reply = TypeVar("Reply", bound="Shape")


class ControlPlaneUnavailable(Exception):
    """The control plane can't be reached, or answers nonsense; trying again is right."""


class ControlPlaneRefusal(Exception):
    """The control plane answered with an error."""

    def __init__(self, code: str, message: str, http_status: int) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.http_status = code, message, http_status

    @property
    def is_retryable(self) -> bool:
        """Whether the same call may well succeed later."""
        return self.http_status >= HTTP_SERVER_ERROR or self.code in RETRYABLE_CODES


class _ErrorBody(msgspec.Struct):
    type: str = msgspec.field(default="UnknownError", name="__type")
    message: str | None = None
    capital_message: str | None = msgspec.field(default=None, name="Message")


class Link:
    """A keep-alive HTTP session with one control plane."""

    def __init__(self, settings: AgentSettings) -> None:
        self._settings = settings
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONCURRENT_CALLS + 2),
            timeout=aiohttp.ClientTimeout(total=CALL_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            headers={"User-Agent": "homeport-agent"},
        )

    async def close(self) -> None:
        """Close all connections."""
        await self.session.close()

    def sign(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes = b""
    ) -> dict[str, str]:
        """The headers of a signed request sent now."""
        return sign_headers(
            method=method,
            url=url,
            headers=headers,
            body=body,
            credentials=self._settings.credentials,
            region=self._settings.region,
            signed_at=datetime.now(UTC),
        )

    async def call(self, operation: str, request: Shape, reply_type: type[Reply]) -> Reply:
        """Call an operation; raises ControlPlaneRefusal or ControlPlaneUnavailable."""
        text = await self.call_raw(operation, msgspec.json.encode(request))
        try:
            return msgspec.json.decode(text, type=reply_type)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ControlPlaneUnavailable(f"{operation} answered nonsense: {error}") from error

    async def call_raw(self, operation: str, body: bytes) -> bytes:
        """Call an operation with a body that is JSON already; answers the reply's body."""
        url = f"{self._settings.endpoint}/"
        headers = {
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": f"{TARGET_PREFIX}.{operation}",
        }
        try:
            async with self.session.post(
                url, data=body, headers=self.sign("POST", url, headers, body)
            ) as response:
                text = await response.content.read(REPLY_LIMIT_BYTES)
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = str(error) or type(error).__name__
            raise ControlPlaneUnavailable(f"{operation} at {url}: {reason}") from error
        if status != HTTP_OK:
            raise _read_refusal(status, text)
        return text


def _read_refusal(status: int, body: bytes) -> ControlPlaneRefusal:
    try:
        error = msgspec.json.decode(body, type=_ErrorBody)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ControlPlaneRefusal("UnknownError", f"HTTP status {status}", status)
    message = error.message or error.capital_message or ""
    return ControlPlaneRefusal(error.type.rpartition("#")[2], message, status)
