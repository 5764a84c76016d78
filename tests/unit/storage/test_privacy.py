"""Who may read what is kept on disk: records and events hold containers' environment variables."""

import stat
from pathlib import Path

from homeport.agent.state_file import StateFile
from homeport.storage.outbox import Outbox
from journal_writers import opened_storage


def test_nobody_else_may_read_the_state_in_a_folder_that_everybody_may_enter(tmp_path: Path):
    tmp_path.chmod(0o755)
    storage = opened_storage(tmp_path)
    outbox = Outbox(tmp_path, ["http://127.0.0.1:1/"], known_through=0)
    state = StateFile(tmp_path)
    kept = [path for path in tmp_path.iterdir() if path.name != "homeport.lock"]
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in kept}
    state.close()
    outbox.close()
    storage.close()
    assert {"homeport.sqlite3", "homeport.sqlite3-wal", "outbox.sqlite"} <= modes.keys()
    assert set(modes.values()) == {0o600}, modes


def test_a_folder_that_is_made_is_its_owners_alone(tmp_path: Path):
    opened_storage(tmp_path / "data").close()
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
