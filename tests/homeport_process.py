"""A real `homeport` process for tests: started, waited for by its ready line, stopped."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence

READY_LIMIT_S = 30
STOP_LIMIT_S = 30

# A developer's own settings must not leak into a test's processes or clients.
LEAKING_VARIABLES = (
    *("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_PROFILE", "AWS_REGION"),
    *("AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"),
    *("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"),
)


class HomeportProcess:
    """`homeport ARGUMENTS`; its output, both streams, is kept in `lines`."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        cwd: str | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith("HOMEPORT_")
        }
        # Without compiled modules on disk every process would compile them anew, for seconds.
        for name in (*LEAKING_VARIABLES, "PYTHONDONTWRITEBYTECODE"):
            inherited.pop(name, None)
        self.lines: list[str] = []
        self._arrived = threading.Condition()
        self._has_ended = False
        self.process = subprocess.Popen(
            [sys.executable, "-m", "homeport", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=cwd,
            env={**inherited, **(environ or {}), "PYTHONUNBUFFERED": "1", "COLUMNS": "200"},
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_line(self, part: str, *, limit_s: float = READY_LIMIT_S) -> str:
        """The first line with `part` in it; an AssertionError with the output when none comes."""

        def find() -> str | None:
            return next((line for line in self.lines if part in line), None)

        with self._arrived:
            self._arrived.wait_for(lambda: find() is not None or self._has_ended, limit_s)
        found = find()
        assert found is not None, f"no line with {part!r} in:\n" + "\n".join(self.lines)
        return found

    def wait_endpoint(self) -> str:
        """Where a `homeport server` listens, once it does."""
        return "http://" + self.wait_line("listening on http://").rpartition("http://")[2].strip()

    def wait(self, *, limit_s: float = STOP_LIMIT_S) -> int:
        """The exit status, once the process has ended and its output is read."""
        status = self.process.wait(limit_s)
        self._reader.join(limit_s)
        return status

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process itself, not to its children."""
        self.process.send_signal(number)

    def stop(self) -> int:
        """SIGTERM and wait; SIGKILL, and a failed test, when that does not end it."""
        if self.process.poll() is None:
            self.send(signal.SIGTERM)
        try:
            return self.wait()
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.wait()
            raise AssertionError("did not stop:\n" + "\n".join(self.lines)) from None

    def kill(self) -> None:
        """SIGKILL and wait: what was not durable is lost."""
        self.process.kill()
        self.wait()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stream:
            for line in stream:
                with self._arrived:
                    self.lines.append(line.rstrip("\n"))
                    self._arrived.notify_all()
        with self._arrived:
            self._has_ended = True
            self._arrived.notify_all()
