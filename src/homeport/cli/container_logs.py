"""What containers print, read from the Docker Engine of this machine: lines with their times.

Which containers are wanted is the command's business. The Engine frames the output of containers
without a terminal: docs.docker.com/reference/api/engine/version/v1.43/#tag/Container/operation/
ContainerAttach, "Stream format".
"""

import json
from collections.abc import Iterator, Mapping
from http.client import HTTPResponse
from typing import NamedTuple
from urllib.parse import urlencode

from homeport.agent.container_spec import CONTAINER_LABEL, TASK_LABEL
from homeport.cli.engine_api import EngineApi

LINE_LIMIT_BYTES = 64 * 1024  # a longer line is shown in pieces
_FRAME_HEADER_BYTES = 8
_READ_BYTES = 32 * 1024


class LogSource(NamedTuple):
    """One container of a task."""

    container_id: str
    task_arn: str
    container_name: str


class LogLine(NamedTuple):
    """One line of output; `time` is RFC 3339 in UTC with nanoseconds, so it sorts as text."""

    time: str
    text: str


def list_sources(engine: EngineApi) -> list[LogSource]:
    """Every container of an ECS task that this machine's Engine holds, running or not."""
    filters = {"label": [TASK_LABEL]}
    query = urlencode({"all": "true", "filters": json.dumps(filters)})
    return [
        make_source(each["Id"], each.get("Labels") or {})
        for each in engine.read_json(f"/containers/json?{query}")
    ]


def watch_started(engine: EngineApi) -> Iterator[LogSource]:
    """Containers of ECS tasks as they start, without end."""
    filters = {"type": ["container"], "event": ["start"], "label": [TASK_LABEL]}
    with engine.open_stream(f"/events?{urlencode({'filters': json.dumps(filters)})}") as response:
        for raw in response:
            actor = json.loads(raw)["Actor"]
            yield make_source(actor["ID"], actor["Attributes"])


def make_source(container_id: str, labels: Mapping[str, str]) -> LogSource:
    """A container by its id and labels."""
    return LogSource(container_id, labels[TASK_LABEL], labels.get(CONTAINER_LABEL, ""))


def read_lines(
    engine: EngineApi, source: LogSource, *, follow: bool, tail: int | None
) -> Iterator[LogLine]:
    """A container's lines, the newest `tail` or all, and with `follow` until it ends.

    Raises CommandFailure when the Engine can't read them back, as with a remote log driver.
    """
    query = {
        "stdout": "true",
        "stderr": "true",
        "timestamps": "true",
        "follow": "true" if follow else "false",
        "tail": "all" if tail is None else str(tail),
    }
    path = f"/containers/{source.container_id}"
    # Engines before 23.0 don't say in the answer's type whether it is framed.
    has_terminal = engine.read_json(f"{path}/json")["Config"]["Tty"]
    with engine.open_stream(f"{path}/logs?{urlencode(query)}") as response:
        chunks = _read_plain(response) if has_terminal else _unframe(response)
        for line in _split_lines(chunks):
            time, _, text = line.decode(errors="replace").partition(" ")
            yield LogLine(time, text.rstrip("\r"))


def _unframe(response: HTTPResponse) -> Iterator[bytes]:
    while header := _read_exactly(response, _FRAME_HEADER_BYTES):
        yield _read_exactly(response, int.from_bytes(header[4:], "big"))


def _read_exactly(response: HTTPResponse, size: int) -> bytes:
    """Read `size` bytes, nothing at the end of the stream."""
    data = b""
    while len(data) < size:
        more = response.read1(min(size - len(data), _READ_BYTES))
        if not more:
            return b""
        data += more
    return data


def _read_plain(response: HTTPResponse) -> Iterator[bytes]:
    while data := response.read1(_READ_BYTES):
        yield data


def _split_lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
        if len(rest) > LINE_LIMIT_BYTES:
            yield rest
            rest = b""
    if rest:
        yield rest
