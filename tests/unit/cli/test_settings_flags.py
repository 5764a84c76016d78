"""Flags made from settings, and settings handed on as flags."""

import pytest
import typer
from typer.testing import CliRunner

from homeport.cli.local_instances import setting_flags
from homeport.cli.settings_flags import ConfigFile, with_settings
from homeport.config import AgentConfig, Config, load_agent_config, load_config


def capture_flags(record, arguments: list[str]) -> dict[str, object]:
    """What a command with the flags of `record` receives."""
    received: dict[str, object] = {}
    app = typer.Typer()

    @app.command()
    @with_settings(record)
    def command(*, config: ConfigFile = None, **flags: object) -> None:
        received.update(flags)

    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return received


def test_a_flag_that_is_not_given_is_none_so_that_weaker_sources_count():
    received = capture_flags(Config, ["--port", "7"])
    assert received.pop("port") == 7
    assert set(received) == set(Config.__struct_fields__) - {"port"}
    assert set(received.values()) == {None}


def test_attributes_may_be_repeated():
    received = capture_flags(AgentConfig, ["--attribute", "a=1", "--attribute", "b=2"])
    assert received["attributes"] == ["a=1", "b=2"]


def test_agent_settings_handed_on_as_flags_arrive_unchanged(tmp_path):
    sent = AgentConfig(
        endpoint="http://127.0.0.1:99",
        attributes={"stack": "x=y", "rack": ""},
        availability_zone="eu-west-1b",
        cpu_units=512,
        memory_mib=300,
        bind_address="127.0.1.2",
        data_dir=str(tmp_path),
        image_pull_behavior="once",
    )
    flags = capture_flags(AgentConfig, setting_flags(sent))
    assert load_agent_config(flags, environ={"HOME": "/nowhere"}) == sent


@pytest.mark.parametrize("ephemeral", [True, False])
def test_server_settings_handed_on_as_flags_beat_the_environment(tmp_path, ephemeral):
    sent = Config(
        port=0,
        ephemeral=ephemeral,
        data_dir=str(tmp_path),
        request_timeout_s=1.5,
        event_webhooks=("http://127.0.0.1:1/a", "http://127.0.0.1:2/b"),
    )
    flags = capture_flags(Config, setting_flags(sent))
    environ = {"HOME": "/nowhere", "HOMEPORT_EPHEMERAL": str(not ephemeral).lower()}
    assert load_config(flags, environ=environ) == sent
