"""One kept connection of an agent or a client: signed AWS JSON calls, one after the other.

Small on purpose, since hundreds of them share one core with what they measure. Limits, retries and
patience are a real client's business; here a refusal ends the measurement.
"""

import asyncio
from datetime import UTC, datetime
from urllib.parse import urlsplit

import msgspec

from homeport.bench.http_load import TARGET_PREFIX
from homeport.wire.signing import Credentials, sign_headers

CREDENTIALS = Credentials("AKIAIOSFODNN7EXAMPLE", "bench")
REGION = "us-east-1"
CONTENT_TYPE = "application/x-amz-json-1.1"
_LENGTH = b"content-length:"


class CallFailed(Exception):
    """The server refused a call, or went away; the message holds what it said."""


class SignedConnection(asyncio.Protocol):
    """A connection to an ECS endpoint; `call` waits for its answer."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._url, self._netloc = f"{url}/", parts.netloc
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._transport: asyncio.WriteTransport | None = None
        self._received = b""
        self._answer: asyncio.Future[bytes] | None = None

    async def call(self, operation: str, body: object) -> bytes:
        """Carry out one call; returns the reply's JSON, raises CallFailed."""
        loop = asyncio.get_running_loop()
        if self._transport is None:
            transport, _ = await loop.create_connection(lambda: self, self._host, self._port)
            self._transport = transport
        self._answer = loop.create_future()
        self._transport.write(self._sign(operation, msgspec.json.encode(body)))
        head_and_body = await self._answer
        head, _, reply = head_and_body.partition(b"\r\n\r\n")
        if head[9:12] != b"200":
            raise CallFailed(f"{operation}: {reply.decode()}")
        return reply

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._received = b""

    def data_received(self, data: bytes) -> None:
        """Gather an answer until it is whole."""
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._received[:end].lower()
        start = head.index(_LENGTH) + len(_LENGTH)
        length = int(head[start:].partition(b"\r\n")[0])
        if len(self._received) >= end + 4 + length and self._answer is not None:
            answer, self._answer = self._answer, None
            whole, self._received = self._received, b""
            if not answer.done():
                answer.set_result(whole)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the call that waits; the next one connects again."""
        self._transport = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(CallFailed(f"{self._url} closed the connection"))

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    def _sign(self, operation: str, body: bytes) -> bytes:
        headers = {"Content-Type": CONTENT_TYPE, "X-Amz-Target": f"{TARGET_PREFIX}.{operation}"}
        signed = sign_headers(
            method="POST",
            url=self._url,
            headers=headers,
            body=body,
            credentials=CREDENTIALS,
            region=REGION,
            signed_at=datetime.now(UTC),
        )
        lines = "".join(f"{name}: {value}\r\n" for name, value in signed.items())
        host = f"Host: {self._netloc}\r\n"
        head = f"POST / HTTP/1.1\r\n{host}{lines}Content-Length: {len(body)}\r\n\r\n"
        return head.encode() + body
