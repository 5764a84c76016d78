"""Docker Engine calls when the engine is missing, forbidden, or refuses half-way."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import UnixStreamServer

import pytest

from homeport.cli.demo_image import make_tar
from homeport.cli.engine_api import EngineApi
from homeport.cli.failure import CommandFailure


class FakeEngine:
    """Answers every request with one prepared status and body."""

    def __init__(self) -> None:
        self.status = 200
        self.body = b"{}"
        self.paths: list[str] = []


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[tuple[FakeEngine, EngineApi]]:
    fake = FakeEngine()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fake.paths.append(f"{self.command} {self.path}")
            self.send_response(fake.status)
            self.send_header("Content-Length", str(len(fake.body)))
            self.end_headers()
            self.wfile.write(fake.body)

        do_GET = do_POST = do_DELETE = answer

        def address_string(self) -> str:
            return "unix"

        def log_message(self, format: str, *args: object) -> None:
            pass

    path = tmp_path / "engine.sock"
    with UnixStreamServer(str(path), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield fake, EngineApi(f"unix://{path}")
        server.shutdown()
        thread.join()


def test_the_version_is_the_engines(engine):
    fake, api = engine
    fake.body = b'{"Version": "20.10.24"}'
    assert api.check() == "20.10.24"


def test_a_missing_socket_says_how_to_start_the_engine(tmp_path):
    with pytest.raises(CommandFailure, match=r"no Docker Engine answers at .*: start it") as no:
        EngineApi(f"unix://{tmp_path}/none.sock").check()
    assert "\n" not in str(no.value)


def test_no_permission_on_the_socket_says_which_group_to_join(engine, monkeypatch):
    _, api = engine

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("socket.socket.connect", refuse)
    with pytest.raises(CommandFailure, match="usermod -aG docker"):
        api.check()


def test_an_error_in_the_middle_of_progress_is_an_error(engine):
    fake, api = engine
    fake.body = b'{"status":"Importing"}\n{"error":"no space left on device"}\n'
    with pytest.raises(CommandFailure, match="no space left on device"):
        api.import_image(b"", repository="a/b", tag="1")


def test_the_image_has_busybox_its_applets_and_the_scripts():
    tar = make_tar({"serve": "#!/bin/sh\n"})
    assert b"bin/busybox" in tar
    assert b"bin/httpd" in tar
    assert b"serve" in tar


def test_without_a_static_busybox_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda _name: None)
    with pytest.raises(CommandFailure, match="apt-get install -y busybox-static"):
        make_tar({})
