"""The systemd unit that `homeport agent install` makes."""

import shlex
from pathlib import Path

from typer.testing import CliRunner

from homeport.cli.agent import app
from homeport.cli.agent_unit import ENVIRONMENT_FILE, find_program, render_unit


def command_of(unit: str) -> list[str]:
    [line] = [line for line in unit.splitlines() if line.startswith("ExecStart=")]
    return shlex.split(line.removeprefix("ExecStart="))


def test_the_unit_runs_the_agent_with_its_flags():
    unit = render_unit(["--attribute", "a=b c"], program=["/bin/homeport"])
    assert command_of(unit) == ["/bin/homeport", "agent", "--attribute", "a=b c"]
    assert f"EnvironmentFile=-{ENVIRONMENT_FILE}" in unit
    assert "Restart=always" in unit


def test_what_systemd_would_read_as_its_own_is_kept_from_it():
    assert "50%%-$$x" in render_unit(["--attribute", "a=50%-$x"], program=["/bin/homeport"])


def test_the_program_is_named_by_an_absolute_path():
    assert Path(find_program()[0]).is_absolute()


def test_flags_before_install_go_into_the_unit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "agent.service"
    arguments = ["--cluster", "prod", "--data-dir", "/data", "install", "--unit-file", str(file)]
    done = CliRunner().invoke(app, arguments, env={"HOME": str(tmp_path)})
    assert done.exit_code == 0, done.output
    assert "systemctl enable --now" in done.output
    command = command_of(file.read_text())
    assert command[command.index("--cluster") + 1] == "prod"
    assert command[command.index("--data-dir") + 1] == "/data"


def test_the_unit_can_be_printed_only(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["install", "--print"], env={"HOME": str(tmp_path)})
    assert done.exit_code == 0
    assert "[Service]" in done.output
