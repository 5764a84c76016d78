"""The load generator against servers that answer as they are told to."""

import contextlib
import itertools
import socket
import threading

import pytest

from homeport.bench.http_load import LoadFailed, make_request, run_load

KEPT = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
CLOSED = b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nServer: Werkzeug\r\n\r\n{}"
REFUSED = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{}"


class ScriptedServer:
    """Answers every request with the pieces it was given, each in a write of its own."""

    def __init__(self, *pieces, closes=False):
        self._pieces, self._closes = pieces, closes
        self.bodies, self.connections = [], 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self._listening.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer):
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with peer:
            while request := peer.recv(65_536):
                self.bodies.append(request.partition(b"\r\n\r\n")[2])
                for piece in self._pieces:
                    peer.sendall(piece)
                if self._closes:
                    return

    def close(self):
        self._listening.close()


@pytest.fixture
def serve():
    with contextlib.ExitStack() as stack:

        def start(*pieces, closes=False):
            server = ScriptedServer(*pieces, closes=closes)
            stack.callback(server.close)
            return server

        yield start


def numbered(connection):
    for call in itertools.count():
        yield make_request("127.0.0.1", "ListClusters", b"%d/%d" % (connection, call))


def load(server, *, connections=1, seconds=0.02):
    return run_load(server.url, numbered, connections=connections, seconds=seconds)


def test_every_answered_call_counts_once(serve):
    server = serve(KEPT)
    found = load(server, connections=3)
    assert found.calls == len(server.bodies) > 3
    assert found.failures == 0
    assert server.connections == 3


def test_each_connection_makes_its_own_calls_in_order(serve):
    server = serve(KEPT)
    load(server, connections=2)
    for connection in (b"0/", b"1/"):
        own = [body for body in server.bodies if body.startswith(connection)]
        assert own == [connection + b"%d" % number for number in range(len(own))]


def test_an_answer_in_pieces_is_waited_for(serve):
    server = serve(KEPT[:20], KEPT[20:-2], b"{", b"}")
    found = load(server)
    assert found.calls == len(server.bodies) > 0


def test_a_server_that_closes_after_each_answer_gets_a_new_connection_for_each_call(serve):
    server = serve(CLOSED, closes=True)
    found = load(server, connections=2)
    assert found.calls == len(server.bodies) == server.connections > 2


def test_whatever_is_not_200_is_a_failure(serve):
    server = serve(REFUSED)
    found = load(server)
    assert found.calls == 0
    assert found.failures == len(server.bodies) > 0


def test_latency_and_processor_time_are_of_this_load(serve):
    found = load(serve(KEPT))
    assert 0 < found.median_ms <= found.p99_ms <= found.seconds * 1_000
    assert 0 < found.client_cpu_s <= found.seconds
    assert found.client_us_per_call > 0


def test_a_server_that_hangs_up_in_an_answer_fails_the_load(serve):
    with pytest.raises(LoadFailed, match="hung up"):
        load(serve(KEPT[:-1], closes=True))


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n{}", KEPT + b"?"]
)
def test_what_is_not_one_whole_http_answer_fails_the_load(serve, answer):
    with pytest.raises(LoadFailed):
        load(serve(answer))
