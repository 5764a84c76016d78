"""The data directory: made when missing, owned by one server at a time."""

import fcntl
import os
from pathlib import Path
from typing import IO

from homeport.storage.errors import StorageInUse, StorageUnavailable

LOCK_FILE_NAME = "homeport.lock"
DIRECTORY_MODE = 0o700  # records hold environment variables of containers
FILE_MODE = 0o600  # likewise, where somebody else has made the folder


class DataDirectory:
    """A folder that this process owns until `release`, or until it dies."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
            self._lock: IO[str] = (path / LOCK_FILE_NAME).open("a+", encoding="ascii")
        except OSError as error:
            raise StorageUnavailable(
                f"cannot use the data directory {path}: {error.strerror}; "
                "choose another with --data-dir, or keep nothing with --ephemeral"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.seek(0)
            owner = self._lock.read().strip()
            self._lock.close()
            who = f"process {owner}" if owner else "another process"
            raise StorageInUse(
                f"the data directory {path} is in use by {who}; "
                "stop that server, or choose another directory with --data-dir"
            ) from error
        self._note_owner()

    def release(self) -> None:
        """Let another process have the directory."""
        self._lock.close()

    def _note_owner(self) -> None:
        try:
            self._lock.seek(0)
            self._lock.truncate()
            self._lock.write(str(os.getpid()))
            self._lock.flush()
        except OSError as error:
            self._lock.close()
            raise StorageUnavailable(
                f"cannot write to the data directory {self.path}: {error.strerror}"
            ) from error
