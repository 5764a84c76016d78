"""Journals on disk for tests: written as a server does, from commits or a simulated world."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from homeport.state.changes import Commit
from homeport.storage.database import DATABASE_FILE_NAME, Database, JournalLimits
from homeport.storage.encoding import decode_changes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from homeport.sim.world import World

COMMITS_PER_WRITE = 500


def write_journal(folder: Path, commits: Sequence[Commit], *, first: int = 1) -> Path:
    """Write a data directory with these commits; those before `first` are pruned."""
    folder.mkdir(parents=True, exist_ok=True)
    database = Database(folder, JournalLimits())
    database.load()
    for start in range(0, len(commits), COMMITS_PER_WRITE):
        database.write(list(commits[start : start + COMMITS_PER_WRITE]))
    while database.can_fold:
        database.fold()
    database.close()
    if first > 1:
        connection = sqlite3.connect(folder / DATABASE_FILE_NAME, isolation_level=None)
        connection.execute("DELETE FROM journal WHERE sequence < ?", (first,))
        connection.close()
    return folder


def commits_of(world: World) -> list[Commit]:
    """Return every commit that became durable in a simulated world's run."""
    return [
        Commit(sequence, at_ms, cause, decode_changes(body))
        for sequence, at_ms, cause, body in world._disk.journal
    ]
