"""The few Docker Engine calls the command line itself makes: is it there, load an image.

The standard library over the engine's socket, since the agent's driver (`agent.docker`) belongs to
an agent's event loop and takes a third of a second to import.
"""

import contextlib
import json
import socket
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from homeport.cli.failure import CommandFailure

CALL_TIMEOUT_S = 60
DEFAULT_TCP_PORT = 2375
HTTP_NOT_FOUND = 404


class EngineApi:
    """A Docker Engine at `unix:///path` or `tcp://host:port`; one connection a call."""

    def __init__(self, docker_host: str) -> None:
        self.docker_host = docker_host
        self._address = urlsplit(docker_host)

    def check(self) -> str:
        """The engine's version; a CommandFailure that says what to do when it does not answer."""
        try:
            return str(self._call("GET", "/version")["Version"])
        except PermissionError:
            raise CommandFailure(
                f"no permission on the Docker socket {self._address.path}: add your user to its "
                "group (sudo usermod -aG docker $USER, then log in again) or run as root"
            ) from None
        except (OSError, HTTPException) as trouble:
            raise CommandFailure(
                f"no Docker Engine answers at {self.docker_host} ({trouble}): start it "
                "(sudo systemctl start docker, or tools/start_docker.sh) or set DOCKER_HOST"
            ) from None

    def kill_container(self, container_id: str) -> None:
        """SIGKILL to a container, which the engine then shows as exited."""
        self._call("POST", f"/containers/{quote(container_id)}/kill")

    def remove_network(self, name: str) -> None:
        """Remove a network; gone already is fine."""
        path = f"/networks/{quote(name)}"
        status, answer = self._status("DELETE", path)
        if status >= 400 and status != HTTP_NOT_FOUND:
            raise _refused(path, status, answer)

    def import_image(self, tar: bytes, *, repository: str, tag: str) -> None:
        """Make an image of one layer from the files in `tar`."""
        query = urlencode({"fromSrc": "-", "repo": repository, "tag": tag})
        self._call("POST", f"/images/create?{query}", tar)

    def has_image(self, name: str) -> bool:
        """Whether the engine holds an image of this name."""
        return self._status("GET", f"/images/{quote(name)}/json")[0] == 200

    def read_json(self, path: str) -> Any:
        """What a GET of `path` answers, as JSON."""
        return self._call("GET", path)

    @contextlib.contextmanager
    def open_stream(self, path: str) -> Iterator[HTTPResponse]:
        """The answer to a GET that may go on for ever; nothing limits how long it is silent."""
        connection = self.connect()
        try:
            connection.request("GET", path)
            if connection.sock is not None:
                connection.sock.settimeout(None)
            response = connection.getresponse()
            if response.status >= 400:
                raise _refused(path, response.status, response.read())
            yield response
        finally:
            connection.close()

    def _call(self, method: str, path: str, body: bytes | None = None) -> Any:
        status, answer = self._status(method, path, body)
        if status >= 400:
            raise _refused(path, status, answer)
        # Progress comes as one JSON object a line, and errors in it with status 200.
        lines = [json.loads(line) for line in answer.splitlines() if line.strip()]
        for line in lines:
            if isinstance(line, dict) and "error" in line:
                raise CommandFailure(f"the Docker Engine refused {path}: {line['error']}")
        return lines[-1] if lines else None

    def _status(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        connection = self.connect()
        try:
            headers = {"Content-Type": "application/x-tar"} if body is not None else {}
            connection.request(method, path, body=body, headers=headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def connect(self) -> HTTPConnection:
        """An HTTP connection to the engine; the caller closes it. Raises OSError."""
        if self._address.scheme != "unix":
            host = self._address.hostname or "localhost"
            return HTTPConnection(
                host, self._address.port or DEFAULT_TCP_PORT, timeout=CALL_TIMEOUT_S
            )
        connection = HTTPConnection("docker", timeout=CALL_TIMEOUT_S)
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.settimeout(CALL_TIMEOUT_S)
        try:
            connection.sock.connect(self._address.path)
        except OSError:
            connection.close()
            raise
        return connection


def _refused(path: str, status: int, body: bytes) -> CommandFailure:
    try:
        message = json.loads(body)["message"]
    except (ValueError, KeyError, TypeError):
        message = body.decode(errors="replace").strip()
    return CommandFailure(f"the Docker Engine answered {status} to {path}: {message}")
