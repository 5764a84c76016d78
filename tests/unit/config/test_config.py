"""Where settings come from, which source wins, and what a bad one is told."""

from pathlib import Path

import pytest

from homeport.config import (
    AgentConfig,
    Config,
    ConfigError,
    describe_option,
    environment_name,
    load_agent_config,
    load_config,
)


def write_file(folder: Path, text: str) -> str:
    path = folder / "homeport.toml"
    path.write_text(text)
    return str(path)


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment without any setting, in a folder without a configuration file."""
    monkeypatch.chdir(tmp_path)
    return {"HOME": str(tmp_path)}


def test_without_any_source_the_defaults_hold(environ):
    config = load_config({}, environ=environ)
    assert (config.host, config.port, config.account_id) == ("127.0.0.1", 4566, "123456789012")
    assert config.data_dir == f"{environ['HOME']}/.local/share/homeport"
    assert config.stopped_task_retention_s == 3600


def test_a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default(
    environ, tmp_path
):
    file = write_file(tmp_path, "[server]\nport = 1\nregion = 'eu-west-1'\nlog_level = 'error'\n")
    environ |= {"HOMEPORT_PORT": "2", "HOMEPORT_REGION": "eu-west-2"}
    config = load_config({"port": 3, "region": None}, config_file=file, environ=environ)
    assert (config.port, config.region, config.log_level) == (3, "eu-west-2", "error")
    assert config.account_id == Config().account_id


def test_the_file_is_found_in_the_working_folder_then_in_the_users_configuration(environ, tmp_path):
    own = tmp_path / "xdg" / "homeport"
    own.mkdir(parents=True)
    write_file(own, "[server]\nport = 7001\n")
    environ["XDG_CONFIG_HOME"] = str(tmp_path / "xdg")
    assert load_config({}, environ=environ).port == 7001
    write_file(tmp_path, "[server]\nport = 7002\n")
    assert load_config({}, environ=environ).port == 7002
    named = tmp_path / "named.toml"
    named.write_text("[server]\nport = 7003\n")
    assert load_config({}, environ=environ | {"HOMEPORT_CONFIG": str(named)}).port == 7003


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[server]\nprot = 1\n", "[server] has no setting 'prot' (did you mean 'port'?)"),
        ("port = 1\n", "unknown table or key outside a table 'port'"),
        ("[server]\nport = 'x'\n", "[server] port: Expected `int`, got `str`, got 'x'"),
        ("[server]\nport = 99999\n", "[server] port: Expected `int` <= 65535, got 99999"),
        ("[server\n", "not TOML"),
        ("server = 1\n", "'server' must be a table"),
    ],
)
def test_a_bad_file_is_refused_in_one_line_that_names_it(environ, tmp_path, text, complaint):
    file = write_file(tmp_path, text)
    with pytest.raises(ConfigError) as refusal:
        load_config({}, config_file=file, environ=environ)
    assert str(refusal.value).startswith(file)
    assert complaint in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_named_file_that_is_missing_is_refused(environ):
    with pytest.raises(ConfigError, match=r"^nowhere.toml: No such file or directory$"):
        load_config({}, config_file="nowhere.toml", environ=environ)


@pytest.mark.parametrize(
    ("variable", "value", "complaint"),
    [
        ("HOMEPORT_PORT", "http", "environment variable HOMEPORT_PORT: Expected `int`"),
        ("HOMEPORT_EPHEMERAL", "maybe", "environment variable HOMEPORT_EPHEMERAL: Expected `bool`"),
        ("HOMEPORT_ACCOUNT_ID", "42", "environment variable HOMEPORT_ACCOUNT_ID: Expected `str`"),
        ("HOMEPORT_LOG_LEVEL", "loud", "environment variable HOMEPORT_LOG_LEVEL: Invalid enum"),
    ],
)
def test_a_bad_environment_variable_is_named(environ, variable, value, complaint):
    with pytest.raises(ConfigError) as refusal:
        load_config({}, environ=environ | {variable: value})
    assert str(refusal.value).startswith(complaint)


def test_a_bad_flag_is_named_as_it_is_typed(environ):
    with pytest.raises(ConfigError, match=r"^--account-id: .* got 'abc'$"):
        load_config({"account_id": "abc"}, environ=environ)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.4", "::", "example.com"])
def test_any_host_that_is_not_loopback_is_refused(environ, host):
    with pytest.raises(ConfigError, match="not a loopback address"):
        load_config({"host": host}, environ=environ)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.3.9", "::1", "localhost"])
def test_loopback_hosts_are_accepted(environ, host):
    assert load_config({"host": host}, environ=environ).host == host


def test_text_from_the_environment_becomes_the_settings_type(environ):
    environ |= {"HOMEPORT_EPHEMERAL": "true", "HOMEPORT_REQUEST_TIMEOUT_S": "2.5"}
    config = load_config({}, environ=environ)
    assert (config.ephemeral, config.request_timeout_s) == (True, 2.5)


def test_the_agents_attributes_come_as_pairs_from_flags_environment_or_table(environ, tmp_path):
    flags = {"attributes": ["stack=prod", "empty"]}
    assert load_agent_config(flags, environ=environ).attributes == {"stack": "prod", "empty": ""}
    variable = {"HOMEPORT_AGENT_ATTRIBUTES": "a=1,b=x=y"}
    assert load_agent_config({}, environ=environ | variable).attributes == {"a": "1", "b": "x=y"}
    file = write_file(tmp_path, "[agent.attributes]\nrack = '7'\n")
    config = load_agent_config({}, config_file=file, environ=environ)
    assert config.attributes == {"rack": "7"}
    with pytest.raises(ConfigError, match=r"^--attribute: expected NAME=VALUE, got '=x'$"):
        load_agent_config({"attributes": ["=x"]}, environ=environ)


def test_docker_host_is_honoured_below_homeports_own_variable(environ):
    environ["DOCKER_HOST"] = "tcp://127.0.0.1:2375"
    assert load_agent_config({}, environ=environ).docker_host == "tcp://127.0.0.1:2375"
    environ["HOMEPORT_AGENT_DOCKER_HOST"] = "unix:///run/podman.sock"
    assert load_agent_config({}, environ=environ).docker_host == "unix:///run/podman.sock"


def test_a_docker_host_that_is_no_address_is_refused_under_the_name_it_was_given_by(environ):
    environ["DOCKER_HOST"] = "ssh://me@there"
    why = r"^environment variable DOCKER_HOST: .*'ssh://me@there'$"
    with pytest.raises(ConfigError, match=why):
        load_agent_config({}, environ=environ)
    environ["HOMEPORT_AGENT_DOCKER_HOST"] = "unix:///run/podman.sock"
    assert load_agent_config({}, environ=environ).docker_host == "unix:///run/podman.sock"


def test_a_bind_address_must_be_an_address(environ):
    with pytest.raises(ConfigError, match="bind address 'eth0': not an IP address"):
        load_agent_config({"bind_address": "eth0"}, environ=environ)


def test_agents_of_two_clusters_keep_their_state_apart(environ):
    folders = {
        load_agent_config({"cluster": name}, environ=environ).data_dir for name in ("blue", "green")
    }
    assert len(folders) == 2


@pytest.mark.parametrize("record", [Config, AgentConfig])
def test_every_setting_has_a_help_text(record):
    for name in record.__struct_fields__:
        assert describe_option(record, name).endswith(".")


def test_environment_names_never_clash_between_server_and_agent():
    server = {environment_name(Config, name) for name in Config.__struct_fields__}
    agent = {environment_name(AgentConfig, name) for name in AgentConfig.__struct_fields__}
    assert not server & agent


def test_webhooks_come_as_a_list_or_as_text_with_commas(environ, tmp_path):
    both = ("http://127.0.0.1:1/a", "https://example.com")
    file = write_file(tmp_path, f"[server]\nevent_webhooks = {list(both)}\n")
    assert load_config({}, config_file=file, environ=environ).event_webhooks == both
    environ["HOMEPORT_EVENT_WEBHOOKS"] = " http://127.0.0.1:1/a, https://example.com"
    assert load_config({}, environ=environ).event_webhooks == both
    assert load_config({"event_webhooks": [both[1]]}, environ=environ).event_webhooks == both[1:]
    with pytest.raises(ConfigError, match="--event-webhook: "):
        load_config({"event_webhooks": ["ftp://x"]}, environ=environ)


def test_a_refused_webhook_is_not_repeated_since_its_url_may_hold_a_secret():
    with pytest.raises(ConfigError, match=r"^--event-webhook: expected up to 16 URLs") as refusal:
        load_config({"event_webhooks": ["htp://example.com/hook?key=s3cret"]}, environ={})
    assert "s3cret" not in str(refusal.value)
