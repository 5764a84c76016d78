"""A load of AWS JSON calls from one process over a fixed number of kept connections.

Works against any server that speaks HTTP/1.1 or closes after each answer; what the calls are and
which servers are compared is `api.py`'s business.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import msgspec

READ_CHUNK_BYTES = 256 * 1024
TARGET_PREFIX = "AmazonEC2ContainerServiceV20141113"


class LoadResult(msgspec.Struct, frozen=True, kw_only=True):
    """What one load did: calls answered with 200 in `seconds`, and how long each took."""

    calls: int
    failures: int
    seconds: float
    median_ms: float
    p99_ms: float

    @property
    def calls_per_second(self) -> float:
        """Answered calls a second."""
        return self.calls / self.seconds if self.seconds else 0.0


class LoadFailed(Exception):
    """The server under load answered something that isn't HTTP, or too many errors."""


def make_request(host: str, operation: str, body: bytes) -> bytes:
    """Write one signed-looking AWS JSON 1.1 request; the credentials are of no account."""
    scope = "AKIAIOSFODNN7EXAMPLE/20260101/us-east-1/ecs/aws4_request"
    head = (
        f"POST / HTTP/1.1\r\nHost: {host}\r\n"
        f"X-Amz-Target: {TARGET_PREFIX}.{operation}\r\n"
        "Content-Type: application/x-amz-json-1.1\r\n"
        f"Authorization: AWS4-HMAC-SHA256 Credential={scope}, "
        "SignedHeaders=host;x-amz-date;x-amz-target, Signature=0\r\n"
        "X-Amz-Date: 20260101T000000Z\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class _Connection:
    """One kept connection that answers calls one after the other."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def call(self, request: bytes) -> tuple[int, bytes]:
        """Send one request; returns status and body."""
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(
                self._host, self._port, limit=READ_CHUNK_BYTES
            )
        assert self._reader is not None
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        status = int(head[9:12])
        lowered = head.lower()
        start = lowered.find(b"content-length:")
        if start < 0:
            raise LoadFailed("an answer without Content-Length")
        length = int(lowered[start + 15 : lowered.index(b"\r\n", start)])
        body = await self._reader.readexactly(length)
        if lowered.startswith(b"http/1.0") or b"connection: close" in lowered:
            self.close()
        return status, body

    def close(self) -> None:
        """Give the connection up."""
        if self._writer is not None:
            self._writer.close()
        self._writer = None


async def run_load(
    url: str, make_calls: Callable[[int], Iterator[bytes]], *, connections: int, seconds: float
) -> LoadResult:
    """Keep `connections` calls in flight for `seconds`; `make_calls` gives each its requests."""
    parts = urlsplit(url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    times_s: list[float] = []
    failures = 0

    async def work(number: int) -> None:
        nonlocal failures
        connection = _Connection(host, port)
        for request in make_calls(number):
            started = time.perf_counter()
            if started >= deadline:
                break
            status, _ = await connection.call(request)
            times_s.append(time.perf_counter() - started)
            failures += status != 200
        connection.close()

    begun = time.perf_counter()
    deadline = begun + seconds
    await asyncio.gather(*(work(number) for number in range(connections)))
    took = time.perf_counter() - begun
    times_s.sort()
    return LoadResult(
        calls=len(times_s) - failures,
        failures=failures,
        seconds=took,
        median_ms=_quantile(times_s, 0.5) * 1_000,
        p99_ms=_quantile(times_s, 0.99) * 1_000,
    )


def _quantile(ordered: list[float], share: float) -> float:
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0
