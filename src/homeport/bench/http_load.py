"""A load of AWS JSON calls from one process over a fixed number of kept connections.

Works against any server that speaks HTTP/1.1 or closes after each answer; what the calls are and
which servers are compared is `api.py`'s business. No event loop here: one thread waits for all
connections at once and asks again where an answer is whole, since what the client takes of the
machine its server lacks.
"""

import contextlib
import select
import socket
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import msgspec

READ_CHUNK_BYTES = 256 * 1024
ANSWER_LIMIT_S = 60.0  # a server that is silent for so long is stuck
TARGET_PREFIX = "AmazonEC2ContainerServiceV20141113"

OK = 200
_LENGTH_HEADER = b"\r\ncontent-length:"


class LoadResult(msgspec.Struct, frozen=True, kw_only=True):
    """What one load did: calls answered with 200 in `seconds`, and how long each took.

    `client_cpu_s` is the processor time that asking took, which is none of the server's.
    """

    calls: int
    failures: int
    seconds: float
    median_ms: float
    p99_ms: float
    client_cpu_s: float

    @property
    def calls_per_second(self) -> float:
        """Answered calls a second."""
        return self.calls / self.seconds if self.seconds else 0.0

    @property
    def client_us_per_call(self) -> float:
        """What a call costs the client, whatever it is answered."""
        asked = self.calls + self.failures
        return self.client_cpu_s * 1e6 / asked if asked else 0.0


class LoadFailed(Exception):
    """The server under load answered something that isn't HTTP, hung up, or fell silent."""


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
    """One kept connection that makes its calls one after the other."""

    def __init__(
        self, address: tuple[str, int], requests: Iterator[bytes], poll: select.epoll
    ) -> None:
        self._address = address
        self._requests = requests
        self._poll = poll
        self._socket: socket.socket | None = None
        self._answer = b""
        self._whole_bytes = 0  # how long the answer is, once its head has said so
        self._asked_at_s = 0.0
        self._is_last = False  # the server closes after this answer

    def ask(self) -> int:
        """Send the next request; returns the descriptor at which its answer arrives."""
        request = next(self._requests)
        self._asked_at_s = time.perf_counter()
        if self._socket is None:
            self._socket = socket.create_connection(self._address, ANSWER_LIMIT_S)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._poll.register(self._socket, select.EPOLLIN)
        self._socket.sendall(request)
        return self._socket.fileno()

    def read(self) -> tuple[int, float] | None:
        """Take in what has arrived; returns status and seconds when the answer is whole."""
        assert self._socket is not None
        arrived = self._socket.recv(READ_CHUNK_BYTES)
        if not arrived:
            raise LoadFailed("the server hung up before its answer was whole")
        answer = self._answer = self._answer + arrived
        if not self._whole_bytes:
            self._read_head(answer)
        if not self._whole_bytes or len(answer) < self._whole_bytes:
            return None
        took_s = time.perf_counter() - self._asked_at_s
        if len(answer) > self._whole_bytes:
            raise LoadFailed("more was answered than was asked")
        self._answer, self._whole_bytes = b"", 0
        if self._is_last:
            self.close()
        return int(answer[9:12]), took_s

    def _read_head(self, answer: bytes) -> None:
        end = answer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = answer[: end + 2].lower()
        start = head.find(_LENGTH_HEADER)
        if start < 0 or not head.startswith(b"http/"):
            raise LoadFailed(f"not HTTP, or without Content-Length: {answer[:80]!r}")
        start += len(_LENGTH_HEADER)
        self._whole_bytes = end + 4 + int(head[start : head.index(b"\r\n", start)])
        self._is_last = head.startswith(b"http/1.0") or b"\r\nconnection: close" in head

    def close(self) -> None:
        """Give the connection up."""
        if self._socket is not None:
            self._socket.close()  # which the poll notices
        self._socket = None


def run_load(
    url: str, make_calls: Callable[[int], Iterator[bytes]], *, connections: int, seconds: float
) -> LoadResult:
    """Keep `connections` calls in flight for `seconds`; `make_calls` gives each its requests.

    Blocks. The last call of each connection is waited for, and counts.
    """
    parts = urlsplit(url)
    address = (parts.hostname or "127.0.0.1", parts.port or 80)
    times_s: list[float] = []
    failures = 0
    cpu_begun_s, begun_s = time.thread_time(), time.perf_counter()
    with select.epoll() as poll, contextlib.ExitStack() as stack:
        asked: dict[int, _Connection] = {}
        for number in range(connections):
            connection = _Connection(address, make_calls(number), poll)
            stack.callback(connection.close)
            asked[connection.ask()] = connection
        while asked:
            ready = poll.poll(ANSWER_LIMIT_S)
            if not ready:
                raise LoadFailed(f"no answer for {ANSWER_LIMIT_S:.0f} s")
            for descriptor, _ in ready:
                answered = asked[descriptor].read()
                if answered is None:
                    continue
                connection = asked.pop(descriptor)
                failures += answered[0] != OK
                times_s.append(answered[1])
                if time.perf_counter() - begun_s < seconds:
                    asked[connection.ask()] = connection
    took_s, client_cpu_s = time.perf_counter() - begun_s, time.thread_time() - cpu_begun_s
    times_s.sort()
    return LoadResult(
        calls=len(times_s) - failures,
        failures=failures,
        seconds=took_s,
        median_ms=_quantile(times_s, 0.5) * 1_000,
        p99_ms=_quantile(times_s, 0.99) * 1_000,
        client_cpu_s=client_cpu_s,
    )


def _quantile(ordered: list[float], share: float) -> float:
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0
