"""Frames of the Engine's log stream, lines of many containers, and containers that come later."""

import contextlib
import io
import struct
import threading
from collections.abc import Iterator
from typing import Any

from homeport.agent.container_spec import CONTAINER_LABEL, TASK_LABEL
from homeport.cli.container_logs import LINE_LIMIT_BYTES, LogSource, read_lines
from homeport.cli.failure import CommandFailure
from homeport.cli.log_reader import LogReader

ONE = "arn:aws:ecs:us-east-1:1:task/default/1111111111111111"
TWO = "arn:aws:ecs:us-east-1:1:task/default/2222222222222222"
TIME = "2026-01-01T00:00:0{}.000000000Z"


def frame(second: int, text: str, stream: int = 1) -> bytes:
    data = f"{TIME.format(second)} {text}\n".encode()
    return struct.pack(">BxxxL", stream, len(data)) + data


class FakeEngine:
    """A Docker Engine of a few containers; `started` is what its event stream says."""

    def __init__(self, logs: dict[str, list[bytes]], started: list[bytes] | None = None) -> None:
        self.logs = logs
        self.started = started or []
        self.tasks = {"a": ONE, "b": TWO}
        self.has_terminal = False
        self.listed = list(logs)
        self.silence = threading.Event()

    def read_json(self, path: str) -> Any:
        if path.startswith("/containers/json"):
            return [
                {"Id": each, "Labels": {TASK_LABEL: self.tasks[each], CONTAINER_LABEL: "web"}}
                for each in self.listed
            ]
        return {"Config": {"Tty": self.has_terminal}}

    @contextlib.contextmanager
    def open_stream(self, path: str) -> Iterator[Any]:
        if path.startswith("/events"):
            yield self._events()
            return
        chunks = self.logs[path.split("/")[2]]
        if not chunks:
            raise CommandFailure("configured logging driver does not support reading")
        yield io.BufferedReader(io.BytesIO(b"".join(chunks)))

    def _events(self) -> Iterator[bytes]:
        yield from self.started
        self.silence.wait(30)


class Only:
    """Wants some tasks, and is over from the start."""

    def __init__(self, *arns: str) -> None:
        self.arns = arns

    def covers(self, task_arn: str) -> bool:
        return task_arn in self.arns

    def is_over(self) -> bool:
        return True


def read(engine: FakeEngine, *arns: str, **options: Any) -> list[tuple[str, str]]:
    reader = make_reader(engine, *arns, **options)
    return [(line.prefix, line.text) for line in reader.read()]


def make_reader(engine: FakeEngine, *arns: str, container: str | None = None) -> LogReader:
    return LogReader(engine, Only(*arns), container=container, tail=None)  # type: ignore[arg-type]


def test_lines_of_several_containers_are_merged_by_time():
    engine = FakeEngine({"a": [frame(1, "first"), frame(3, "third")], "b": [frame(2, "second")]})
    assert read(engine, ONE, TWO) == [
        ("111111111111/web", "first"),
        ("222222222222/web", "second"),
        ("111111111111/web", "third"),
    ]
    assert read(engine, TWO) == [("222222222222/web", "second")]
    assert read(engine, ONE, container="other") == []


def test_standard_error_is_shown_as_well_and_lines_of_one_moment_all_stay():
    engine = FakeEngine({"a": [frame(1, "out"), frame(1, "err", stream=2)]})
    assert [text for _, text in read(engine, ONE)] == ["out", "err"]


def test_a_terminals_output_has_no_frames():
    engine = FakeEngine({"a": [f"{TIME.format(1)} hello\r\n{TIME.format(2)} end".encode()]})
    engine.has_terminal = True
    assert [text for _, text in read(engine, ONE)] == ["hello", "end"]


def test_an_endless_line_is_shown_in_pieces():
    engine = FakeEngine({"a": [frame(1, "x" * 3 * LINE_LIMIT_BYTES)]})
    engine.has_terminal = True
    source = LogSource("a", ONE, "web")
    lines = list(read_lines(engine, source, follow=False, tail=None))  # type: ignore[arg-type]
    assert len(lines) > 1


def test_a_log_that_cannot_be_read_is_said_and_the_others_are_shown(capsys):
    engine = FakeEngine({"a": [], "b": [frame(1, "fine")]})
    assert [text for _, text in read(engine, ONE, TWO)] == ["fine"]
    assert "the log of 111111111111/web cannot be read" in capsys.readouterr().err


def test_following_ends_with_the_last_container_of_a_task_that_is_over():
    engine = FakeEngine({"a": [frame(1, "first"), frame(2, "second")]})
    lines = [line.text for line in make_reader(engine, ONE).follow()]
    assert lines == ["first", "second"]
    engine.silence.set()


def test_a_container_that_starts_later_is_followed_and_one_that_starts_again_shown_once():
    started = b'{"Actor":{"ID":"b","Attributes":{"%s":"%s","%s":"web"}}}\n' % (
        TASK_LABEL.encode(),
        TWO.encode(),
        CONTAINER_LABEL.encode(),
    )
    engine = FakeEngine({"a": [], "b": [frame(1, "late")]}, [started, started])
    engine.listed = ["b"]
    assert [line.text for line in make_reader(engine, TWO).follow()] == ["late"]
    engine.silence.set()
