"""The simulated network: calls, sockets, cuts, and what a dead process never hears."""

import pytest

from homeport.sim.chance import Stream
from homeport.sim.clock import Life, Timeline
from homeport.sim.network import CALL_TIMEOUT_MS, Network, Reply


class Server:
    """Answers every call with its operation; remembers what reached it."""

    def __init__(self) -> None:
        self.is_up = True
        self.process = Life()
        self.is_silent = False
        self.seen: list[str] = []
        self.peer = Peer()

    def answer(self, operation, body, reply):
        if not self.is_up:
            return None
        self.seen.append(operation)
        if not self.is_silent:
            reply(Reply(200, body))
        return self.process

    def accept(self, url, to_agent):
        self.to_agent = to_agent
        return (self.peer, Life()) if self.is_up else None


class Peer:
    """Remembers what it hears."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    def frame_arrived(self, text):
        self.heard.append(text)

    def socket_ended(self, is_clean):
        self.heard.append(is_clean)


class Link:
    """A network with one server and one machine."""

    def __init__(self) -> None:
        self.timeline = Timeline()
        self.server = Server()
        self.network = Network(self.timeline, Stream(1, "network"), self.server)
        self.life = Life()
        self.replies: list[Reply | None] = []

    def call(self, body: bytes = b"{}") -> None:
        self.network.call("machine-1", "Op", body, on_reply=self.replies.append, owner=self.life)

    def pass_time(self, ms: int = 100) -> None:
        until_ms = self.timeline.now_ms + ms
        while self.timeline.step(until_ms):
            pass


@pytest.fixture
def link() -> Link:
    return Link()


def test_a_call_is_answered_once(link):
    link.call(b"hello")
    link.pass_time(CALL_TIMEOUT_MS + 1)
    assert link.replies == [Reply(200, b"hello")]


def test_a_call_to_nobody_comes_back_unknown(link):
    link.server.is_up = False
    link.call()
    link.pass_time()
    assert link.replies == [None]


def test_a_call_over_a_cut_link_times_out_and_still_arrives_when_it_heals(link):
    link.network.cut_off("machine-1", link.timeline.now_ms + 60_000)
    link.call()
    link.pass_time(CALL_TIMEOUT_MS)
    assert link.replies == [None]
    assert link.server.seen == []
    link.pass_time(60_000)
    assert link.server.seen == ["Op"]
    assert link.replies == [None]


def test_a_lost_reply_leaves_the_caller_unsure(link):
    link.network.weather.loses_reply = 1.0
    link.call()
    link.pass_time(CALL_TIMEOUT_MS)
    assert link.server.seen == ["Op"]
    assert link.replies == [None]


def test_who_waits_for_a_killed_server_hears_of_it(link):
    link.server.is_silent = True
    link.call()
    link.pass_time()
    assert link.replies == []
    link.network.reset_calls(link.server.process)
    link.pass_time()
    assert link.replies == [None]


def test_a_dead_caller_hears_nothing(link):
    link.call()
    link.life.end()
    link.pass_time(CALL_TIMEOUT_MS)
    assert link.server.seen == ["Op"]
    assert link.replies == []


def open_socket(link: Link) -> tuple[Peer, list[object]]:
    agent, opened = Peer(), []
    link.network.connect("machine-1", "ws://x", peer=agent, on_open=opened.append, owner=link.life)
    link.pass_time()
    return agent, opened


def test_frames_arrive_in_the_order_of_sending(link):
    agent, (way,) = open_socket(link)
    link.network.weather.latency_s = (0.0, 0.5)
    for number in range(20):
        link.server.to_agent.send(f"down {number}")
        way.send(f"up {number}")
    link.pass_time(1_000)
    assert agent.heard == [f"down {number}" for number in range(20)]
    assert link.server.peer.heard == [f"up {number}" for number in range(20)]


def test_frames_of_a_cut_socket_arrive_when_it_heals(link):
    agent, _ = open_socket(link)
    link.network.cut_off("machine-1", link.timeline.now_ms + 5_000)
    link.server.to_agent.send("late")
    link.server.to_agent.end(is_clean=True)
    link.pass_time(4_000)
    assert agent.heard == []
    link.pass_time(2_000)
    assert agent.heard == ["late", True]


def test_a_socket_to_nobody_does_not_open(link):
    link.server.is_up = False
    agent, opened = open_socket(link)
    assert opened == [None]
    assert agent.heard == []


def test_a_doubled_call_arrives_twice_and_is_answered_once(link):
    link.network.weather.doubles_call = 1.0
    link.call()
    link.pass_time(CALL_TIMEOUT_MS * 4)
    assert link.server.seen == ["Op", "Op"]
    assert len(link.replies) == 1
