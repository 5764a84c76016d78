"""Flags made from settings, and settings handed on as flags."""

import json

import msgspec
import pytest
import typer
from typer.testing import CliRunner

from homeport.cli.local_instances import setting_flags
from homeport.cli.settings_flags import ConfigFile, with_settings
from homeport.config import (
    AgentConfig,
    Config,
    environment_name,
    flag_name,
    load_agent_config,
    load_config,
)


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


# A value of each setting that isn't its default, as it is typed.
TYPED = {
    "host": "127.0.0.2",
    "port": "4567",
    "data_dir": "/elsewhere",
    "ephemeral": "true",
    "account_id": "210987654321",
    "region": "eu-west-1",
    "event_webhooks": "http://127.0.0.1:1/a",
    "log_level": "warning",
    "endpoint": "http://127.0.0.1:99",
    "cluster": "blue",
    "attributes": "stack=prod",
    "availability_zone": "eu-west-1b",
    "instance_type": "m5.large",
    "nvidia_runtime": "other",
    "instance_tags": "owner=me",
    "bind_address": "127.0.1.9",
    "docker_host": "tcp://127.0.0.1:2375",
    "image_pull_behavior": "once",
    "logging_drivers": "json-file",
    "gpu_ids": "GPU-1",
    "task_endpoint": "off",
    "heartbeat_interval_s": "12.0",
    "gpu_count": "2",
    "images_per_cleanup": "7",
}
A_NUMBER = "1042"
LOADERS = {Config: load_config, AgentConfig: load_agent_config}
EVERY_SETTING = [(record, name) for record in LOADERS for name in record.__struct_fields__]


def typed_value(record, name: str) -> str:
    """The text of a value that isn't the default."""
    default = getattr(record(), name)
    if isinstance(default, bool):
        return str(not default).lower()
    return TYPED.get(name, A_NUMBER)


def toml_value(text: str, value: object) -> str:
    """The value as TOML writes it; in JSON's form, which TOML reads, but for tables."""
    if isinstance(value, dict):
        pairs = (f"{json.dumps(key)} = {json.dumps(each)}" for key, each in value.items())
        return f"{{ {', '.join(pairs)} }}"
    return json.dumps(msgspec.to_builtins(value))


@pytest.mark.parametrize(
    ("record", "name"), EVERY_SETTING, ids=[f"{r.__name__}.{n}" for r, n in EVERY_SETTING]
)
def test_every_setting_means_the_same_as_flag_as_variable_and_in_the_file(record, name, tmp_path):
    text, load, home = typed_value(record, name), LOADERS[record], {"HOME": str(tmp_path)}
    is_flag = isinstance(getattr(record(), name), bool)
    flag = flag_name(name)
    flags = [flag if text == "true" else f"--no-{flag[2:]}"] if is_flag else [flag, text]
    by_flag = load(capture_flags(record, flags), environ=home)
    changed = {
        each
        for each in record.__struct_fields__
        if getattr(by_flag, each) != getattr(load({}, environ=home), each)
    }
    assert name in changed
    assert load({}, environ={**home, environment_name(record, name): text}) == by_flag
    table = "server" if record is Config else "agent"
    file = tmp_path / "homeport.toml"
    file.write_text(f"[{table}]\n{name} = {toml_value(text, getattr(by_flag, name))}\n")
    assert load({}, environ=home, config_file=str(file)) == by_flag
