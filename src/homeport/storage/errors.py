"""What may go wrong with storage, each as one line that says what to do.

StorageError
├── StorageUnavailable     the data directory can't be made, opened or read
├── StorageInUse           another server owns the data directory
├── StorageVersionUnknown  a newer Homeport wrote it
├── StorageCorrupt         it doesn't hold what a Homeport wrote
└── StorageRefused         a commit couldn't be written: the process must stop
    └── LeaseLost          another server has the journal now, or it was moved away
"""

from typing import ClassVar


class StorageError(Exception):
    """Trouble at the edge between Homeport and its disk."""

    is_retryable: ClassVar[bool] = False


class StorageUnavailable(StorageError):
    """The data directory can't be made, opened or read."""


class StorageInUse(StorageError):
    """Another server owns the data directory."""


class StorageVersionUnknown(StorageError):
    """The data directory was written by a Homeport that this one doesn't know."""


class StorageCorrupt(StorageError):
    """The data directory doesn't hold what a Homeport wrote."""


class StorageRefused(StorageError):
    """A commit couldn't be written; nothing after it may be answered."""


class LeaseLost(StorageRefused):
    """The journal is another server's now, or gone: this one may write and answer nothing more."""
