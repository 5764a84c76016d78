"""Children of `homeport up`: their lines, their ends, and that none is left behind."""

import pytest

from homeport.cli.failure import CommandFailure
from homeport.cli.processes import start_child

pytestmark = pytest.mark.slow

READY_LIMIT_S = 30


async def test_lines_are_relayed_with_the_childs_name_and_the_awaited_one_is_found():
    shown: list[str] = []
    child = await start_child("server", ["server", "--ephemeral", "--port", "0"], shown.append)
    line = await child.wait_line("listening on ", timeout_s=READY_LIMIT_S)
    # Found again when it has come already.
    assert await child.wait_line("listening on ", timeout_s=READY_LIMIT_S) == line
    await child.stop()
    assert child.process.returncode == 0
    assert f"server  | {line}" in shown


async def test_a_child_that_ends_before_its_line_is_explained_in_its_own_words():
    child = await start_child("server", ["server", "--host", "0.0.0.0"], lambda _line: None)
    with pytest.raises(CommandFailure, match=r"^host '0\.0\.0\.0': not a loopback address"):
        await child.wait_line("listening on ", timeout_s=READY_LIMIT_S)


async def test_the_error_that_ends_a_child_is_kept_back_until_it_is_explained():
    shown: list[str] = []
    arguments = ["server", "--host", "0.0.0.0"]
    child = await start_child("server", arguments, shown.append, is_explained=True)
    await child.wait()
    assert shown == []
    assert child.untold_error is not None
    assert child.untold_error.endswith(child.explain_end())
    assert child.untold_error is None


async def test_a_child_that_says_nothing_of_an_error_is_explained_by_its_status_and_last_line():
    child = await start_child("agent 1", ["--version"], lambda _line: None)
    assert await child.wait() == 0
    assert child.explain_end().startswith("the agent 1 ended with status 0: homeport ")


async def test_a_line_that_does_not_come_in_time_is_a_failure():
    child = await start_child("server", ["server", "--ephemeral", "--port", "0"], lambda _: None)
    with pytest.raises(CommandFailure, match="was not ready within 0 s"):
        await child.wait_line("never said", timeout_s=0.01)
    await child.stop()
    assert child.process.returncode is not None


async def test_stopping_a_child_that_has_ended_is_harmless():
    child = await start_child("agent 1", ["--version"], lambda _line: None)
    await child.wait()
    await child.stop()
    assert child.process.returncode == 0
