"""The variables of Amazon's agent mean the same to ours."""

import pytest

from homeport.config import AgentConfig, ConfigError, environment_name, load_agent_config
from homeport.ecs_variables import list_variables


def load(tmp_path, flags=None, **variables):
    return load_agent_config(flags or {}, environ={"HOME": str(tmp_path), **variables})


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("variable", "text", "setting", "value"),
    [
        ("ECS_CLUSTER", "prod", "cluster", "prod"),
        ("ECS_BACKEND_HOST", "http://10.0.0.1:4566", "endpoint", "http://10.0.0.1:4566"),
        ("ECS_BACKEND_HOST", "ecs.example", "endpoint", "https://ecs.example"),
        ("AWS_DEFAULT_REGION", "eu-west-1", "region", "eu-west-1"),
        ("ECS_DATADIR", "/data", "data_dir", "/data"),
        ("ECS_LOGLEVEL", "warn", "log_level", "warning"),
        (
            "ECS_INSTANCE_ATTRIBUTES",
            '{"stack":"a","x":"b"}',
            "attributes",
            {"stack": "a", "x": "b"},
        ),
        ("ECS_CONTAINER_INSTANCE_TAGS", '{"team":"a"}', "instance_tags", {"team": "a"}),
        ("ECS_RESERVED_MEMORY", "32", "reserved_memory_mib", 32),
        ("ECS_RESERVED_PORTS", "[22, 80]", "reserved_ports", (22, 80)),
        ("ECS_RESERVED_PORTS_UDP", "[53]", "reserved_ports_udp", (53,)),
        ("ECS_IMAGE_PULL_BEHAVIOR", "once", "image_pull_behavior", "once"),
        ("ECS_CONTAINER_STOP_TIMEOUT", "1m30s", "container_stop_timeout_s", 90),
        ("ECS_CONTAINER_CREATE_TIMEOUT", "5m", "container_create_timeout_s", 300),
        ("ECS_IMAGE_PULL_TIMEOUT", "1h", "image_pull_timeout_s", 3_600),
        (
            "ECS_AVAILABLE_LOGGING_DRIVERS",
            '["json-file","none"]',
            "logging_drivers",
            ("json-file", "none"),
        ),
        ("ECS_DISABLE_PRIVILEGED", "true", "disable_privileged", True),
        ("ECS_ENABLE_TASK_CPU_MEM_LIMIT", "false", "task_cpu_mem_limit", False),
        ("ECS_NVIDIA_RUNTIME", "nvidia-legacy", "nvidia_runtime", "nvidia-legacy"),
        ("ECS_CONTAINER_START_TIMEOUT", "10s", "container_start_timeout_s", 10),
        ("ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION", "1h", "task_cleanup_wait_s", 3_600),
        ("ECS_ENABLE_CONTAINER_METADATA", "true", "metadata_file", True),
        ("ECS_DISABLE_IMAGE_CLEANUP", "true", "image_cleanup", False),
        ("ECS_IMAGE_CLEANUP_INTERVAL", "15m", "image_cleanup_interval_s", 900),
        ("ECS_IMAGE_MINIMUM_CLEANUP_AGE", "2h", "image_minimum_age_s", 7_200),
        ("ECS_NUM_IMAGES_DELETE_PER_CYCLE", "9", "images_per_cleanup", 9),
    ],
)
def test_a_variable_of_amazons_agent_sets_what_it_always_set(
    tmp_path, variable, text, setting, value
):
    assert getattr(load(tmp_path, **{variable: text}), setting) == value


def test_every_translated_variable_stands_for_a_setting():
    own = {environment_name(AgentConfig, name) for name in AgentConfig.__struct_fields__}
    assert set(list_variables().values()) <= own


def test_homeports_own_variable_and_flags_win(tmp_path):
    both = {"ECS_CLUSTER": "theirs", "HOMEPORT_AGENT_CLUSTER": "ours"}
    assert load(tmp_path, **both).cluster == "ours"
    assert load(tmp_path, {"cluster": "flag"}, **both).cluster == "flag"


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("ECS_INSTANCE_ATTRIBUTES", "stack=a"),
        ("ECS_INSTANCE_ATTRIBUTES", '{"a":"x,y"}'),
        ("ECS_INSTANCE_ATTRIBUTES", "[]"),
        ("ECS_RESERVED_PORTS", "22"),
        ("ECS_RESERVED_PORTS", '["a"]'),
        ("ECS_AVAILABLE_LOGGING_DRIVERS", "json-file"),
        ("ECS_AVAILABLE_LOGGING_DRIVERS", "[1]"),
        ("ECS_CONTAINER_STOP_TIMEOUT", "30"),
        ("ECS_CONTAINER_STOP_TIMEOUT", "soon"),
    ],
)
def test_a_value_that_cannot_be_read_is_named(tmp_path, variable, text):
    with pytest.raises(ConfigError, match=f"environment variable {variable}"):
        load(tmp_path, **{variable: text})


def test_repeatable_flags_of_numbers_are_read(tmp_path):
    assert load(tmp_path, {"reserved_ports": ["22", "80"]}).reserved_ports == (22, 80)
