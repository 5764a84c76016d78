"""The program as typed: help, versions, and failures in one line."""

import sys

import pytest

from homeport import __version__
from homeport.cli import main as program


def run(monkeypatch, capsys, *arguments: str) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of `homeport ARGUMENTS`."""
    monkeypatch.setattr(sys, "argv", ["homeport", *arguments])
    with pytest.raises(SystemExit) as ended:
        program.main()
    out, err = capsys.readouterr()
    code = ended.value.code
    return (code if isinstance(code, int) else int(code is not None)), out, err


@pytest.fixture(autouse=True)
def _empty_home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))


def test_help_names_every_command(monkeypatch, capsys):
    status, out, _ = run(monkeypatch, capsys, "--help")
    assert status == 0
    commands = (
        "up server agent status deploy events history logs why plan stats instances simulate "
        "replay bench demo"
    )
    for command in commands.split():
        assert f"\n  {command} " in out


@pytest.mark.parametrize("group", [(), ("instances",), ("bench",), ("agent",)])
def test_no_commands_summary_is_cut_off(monkeypatch, capsys, group):
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = run(monkeypatch, capsys, *group, "--help")
    assert "..." not in out.partition("\nCommands:\n")[2]


@pytest.mark.parametrize(
    ("command", "flags"),
    [
        ("up", "--instances --port --data-dir --ephemeral"),
        ("server", "--host --port --data-dir --ephemeral --account-id --stopped-task-retention-s"),
        (
            "agent",
            "--endpoint --cluster --attribute --availability-zone --instance-type --cpu --memory "
            "--bind-address --data-dir",
        ),
        ("status", "--json"),
        ("deploy", "--service --image --desired-count --force --plan --timeout --json --cluster"),
        ("events", "--tail --cluster --service --json"),
        ("history", "--limit --json --cluster"),
        ("logs", "--tail --container --cluster"),
        ("why", "--limit --json --cluster"),
        ("plan", "--service --task-definition --count --json --cluster"),
        ("stats", "--part --minutes --period --json --cluster"),
        ("simulate", "--seed --seeds --scenario --until --trace --minimise --json"),
        ("replay", "--strategy --circuit-breaker --instances --plot --json"),
    ],
)
def test_every_flag_of_the_contract_is_there(monkeypatch, capsys, command, flags):
    status, out, _ = run(monkeypatch, capsys, command, "--help")
    assert status == 0
    for flag in flags.split():
        assert f"  {flag} " in out


def test_the_version_is_the_packages(monkeypatch, capsys):
    assert run(monkeypatch, capsys, "--version") == (0, f"homeport {__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["server", "--host", "0.0.0.0"], "not a loopback address"),
        (["server", "--port", "70000"], "--port: Expected `int` <= 65535"),
        (["server", "--account-id", "1"], "--account-id: "),
        (["server", "--config", "none.toml"], "none.toml: No such file or directory"),
        (["agent", "--attribute", "=x"], "--attribute: expected NAME=VALUE"),
        (["agent", "--endpoint", "localhost"], "--endpoint: "),
        (["agent", "--bind-address", "lo"], "not an IP address"),
        (["up", "--region", "Paris"], "--region: "),
        (["status", "--endpoint", "http://127.0.0.1:1"], "no Homeport server answers at"),
        (["events", "--endpoint", "http://127.0.0.1:1"], "no Homeport server answers at"),
        (["history", "web", "--endpoint", "http://127.0.0.1:1"], "no Homeport server answers"),
        (["deploy"], "nothing to deploy: name a task definition"),
        (["deploy", "none.json"], "none.json: No such file or directory"),
        (["deploy", "none.yaml", "--image", "x"], "--image does not go with a compose file"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(monkeypatch, capsys, arguments, complaint):
    status, out, err = run(monkeypatch, capsys, *arguments)
    assert (status, out) == (1, "")
    assert err.startswith("homeport: error: ")
    assert complaint in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", ["up", "demo"])
def test_without_a_docker_engine_one_line_says_how_to_start_it(monkeypatch, capsys, command):
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    status, _, err = run(monkeypatch, capsys, command)
    assert status == 1
    assert err.startswith("homeport: error: no Docker Engine answers at unix:///nowhere/")
    assert "start it" in err
    assert err.count("\n") == 1


def test_a_flag_of_the_wrong_type_is_a_usage_error(monkeypatch, capsys):
    status, _, err = run(monkeypatch, capsys, "server", "--port", "http")
    assert status == 2
    assert "'--port'" in err
