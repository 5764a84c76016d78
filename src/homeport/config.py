"""The settings of the control plane and of the agent: the records, and how they are read.

Here alone are the environment and the configuration file read. A setting comes from, strongest
first: a flag, an environment variable (`HOMEPORT_PORT`, `HOMEPORT_AGENT_CLUSTER`), the TOML file
(tables `[server]` and `[agent]`), its default. Not here: flags themselves (`cli`), and what a
setting does (the room that uses it).
"""

import difflib
import ipaddress
import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from homeport.ecs_variables import VariableError, translate_variables

CONFIG_FILE_NAME = "homeport.toml"
CONFIG_FILE_LIMIT_BYTES = 1024 * 1024

LogLevel = Literal["debug", "info", "warning", "error"]
TaskEndpointMode = Literal["auto", "off"]
ImagePullBehavior = Literal["default", "prefer-cached", "once", "always"]

_DAY_S = 24 * 60 * 60
_Port = Annotated[int, Meta(ge=1, le=65535)]


class ConfigError(Exception):
    """A setting that cannot be used; one line that names where the value came from."""


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """What the control plane may be told; every field's description is its help text."""

    host: Annotated[str, Meta(min_length=1, description="Loopback address to listen on.")] = (
        "127.0.0.1"
    )
    port: Annotated[
        int, Meta(ge=0, le=65535, description="TCP port to listen on; 0 picks a free one.")
    ] = 4566
    data_dir: Annotated[
        str, Meta(description="Folder for the durable state; made when it is missing.")
    ] = ""
    ephemeral: Annotated[
        bool, Meta(description="Keep nothing on disk: the state ends with the process.")
    ] = False
    account_id: Annotated[
        str,
        Meta(
            pattern=r"^\d{12}$",
            description="AWS account of callers whose access key does not itself name one.",
        ),
    ] = "123456789012"
    region: Annotated[
        str,
        Meta(
            pattern=r"^[a-z]{2}(-[a-z]+)+-\d{1,2}$",
            description="AWS region of requests that carry no signature.",
        ),
    ] = "us-east-1"
    stopped_task_retention_s: Annotated[
        int,
        Meta(ge=1, le=365 * _DAY_S, description="Seconds a stopped task stays describable."),
    ] = 3600
    deregistered_instance_retention_s: Annotated[
        int,
        Meta(
            ge=1,
            le=365 * _DAY_S,
            description="Seconds a deregistered container instance stays describable.",
        ),
    ] = 3600
    journal_retention_s: Annotated[
        int, Meta(ge=60, description="Seconds the history of changes is kept.")
    ] = 7 * _DAY_S
    journal_limit_mib: Annotated[
        int, Meta(ge=1, description="Size in MiB above which the oldest history is dropped.")
    ] = 256
    body_limit_bytes: Annotated[
        int,
        Meta(ge=1024, le=64 * 1024 * 1024, description="Largest request body in bytes."),
    ] = 1024 * 1024
    request_timeout_s: Annotated[
        float, Meta(gt=0, le=3600, description="Seconds a client may take to send a request.")
    ] = 20.0
    connection_limit: Annotated[
        int, Meta(ge=1, le=100_000, description="Connections served at the same time.")
    ] = 20_000
    heartbeat_interval_s: Annotated[
        float,
        Meta(gt=0, le=30, description="Seconds between the heartbeats sent to an agent."),
    ] = 30.0
    agent_disconnect_window_s: Annotated[
        float,
        Meta(
            gt=0,
            le=3600,
            description="Seconds without a word from an agent until it counts as disconnected.",
        ),
    ] = 90.0
    instance_loss_window_s: Annotated[
        int,
        Meta(
            ge=0,
            le=7 * _DAY_S,
            description="Seconds an agent may stay disconnected until the tasks of its container "
            "instance are stopped and replaced elsewhere; 0: never.",
        ),
    ] = 300
    strict_failures: Annotated[
        bool,
        Meta(
            description="Count only those failures of tasks that ECS counts, not tasks that exit "
            "by themselves after they ran."
        ),
    ] = False
    event_webhooks: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^https?://[^\s/]+(/\S*)?$")], ...],
        Meta(max_length=16, description="URL that every event is POSTed to; repeatable."),
    ] = ()
    log_level: Annotated[LogLevel, Meta(description="Least severe log lines to print.")] = "info"


class AgentConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the agent of one container instance may be told."""

    endpoint: Annotated[
        str,
        Meta(pattern=r"^https?://[^\s/]+/?$", description="URL of the control plane."),
    ] = "http://127.0.0.1:4566"
    cluster: Annotated[
        str, Meta(min_length=1, max_length=255, description="Cluster to register into.")
    ] = "default"
    region: Annotated[str, Meta(min_length=1, description="AWS region of the cluster.")] = (
        "us-east-1"
    )
    attributes: Annotated[
        dict[str, str],
        Meta(description="Custom attribute of the container instance, NAME=VALUE; repeatable."),
    ] = {}
    availability_zone: Annotated[
        str | None, Meta(description="Availability zone to report, for example us-east-1a.")
    ] = None
    instance_type: Annotated[
        str | None, Meta(description="EC2 instance type to report, for example m5.large.")
    ] = None
    cpu_units: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="CPU units to offer, 1024 a core; default: the type's or the machine's."),
    ] = None
    memory_mib: Annotated[
        Annotated[int, Meta(ge=4)] | None,
        Meta(description="Memory to offer in MiB; default: the type's or the machine's."),
    ] = None
    reserved_memory_mib: Annotated[
        int, Meta(ge=0, description="Memory in MiB that is kept from tasks.")
    ] = 0
    reserved_ports: Annotated[
        tuple[_Port, ...], Meta(max_length=100, description="TCP host ports kept from tasks.")
    ] = (22, 2375, 2376, 51678, 51679)
    reserved_ports_udp: Annotated[
        tuple[_Port, ...], Meta(max_length=100, description="UDP host ports kept from tasks.")
    ] = ()
    gpu_count: Annotated[
        Annotated[int, Meta(ge=0, le=64)] | None,
        Meta(description="GPUs to declare; default: the instance type's."),
    ] = None
    gpu_ids: Annotated[
        tuple[str, ...],
        Meta(max_length=64, description="GPU to declare, as nvidia-smi -L names it; repeatable."),
    ] = ()
    nvidia_runtime: Annotated[
        str, Meta(description="The Engine's runtime for containers with GPUs, where it has one.")
    ] = "nvidia"
    instance_tags: Annotated[
        dict[str, str], Meta(description="Tag of the container instance, KEY=VALUE; repeatable.")
    ] = {}
    bind_address: Annotated[
        str, Meta(description="Host address that published container ports are bound to.")
    ] = "0.0.0.0"
    data_dir: Annotated[
        str, Meta(description="Folder for the agent's state; made when it is missing.")
    ] = ""
    docker_host: Annotated[
        str,
        Meta(
            pattern=r"^(unix|tcp|http|https)://\S+$",
            description="Docker Engine, unix:///path or tcp://host:port; default: DOCKER_HOST.",
        ),
    ] = "unix:///var/run/docker.sock"
    image_pull_behavior: Annotated[
        ImagePullBehavior, Meta(description="When to pull an image, as in Amazon's agent.")
    ] = "default"
    container_stop_timeout_s: Annotated[
        int, Meta(ge=1, le=3600, description="Seconds from SIGTERM to SIGKILL by default.")
    ] = 30
    container_create_timeout_s: Annotated[
        int, Meta(ge=1, le=3600, description="Seconds a container may take to be created.")
    ] = 240
    container_start_timeout_s: Annotated[
        int, Meta(ge=1, le=3600, description="Seconds a container may take to start.")
    ] = 180
    image_pull_timeout_s: Annotated[
        int, Meta(ge=1, le=_DAY_S, description="Seconds an image may take to be pulled.")
    ] = 2 * 60 * 60
    logging_drivers: Annotated[
        tuple[str, ...],
        Meta(max_length=100, description="Log driver to offer; repeatable; default: all."),
    ] = ()
    disable_privileged: Annotated[
        bool, Meta(description="Take no tasks with privileged containers.")
    ] = False
    task_cleanup_wait_s: Annotated[
        int,
        Meta(ge=1, le=365 * _DAY_S, description="Seconds a stopped task's containers are kept."),
    ] = 3 * 60 * 60
    metadata_file: Annotated[
        bool, Meta(description="Put a file with its metadata into every container.")
    ] = False
    introspection_port: Annotated[
        int,
        Meta(ge=0, le=65535, description="Local port of the introspection API; 0: none."),
    ] = 51678
    image_cleanup: Annotated[
        bool, Meta(description="Remove images that the agent pulled and nothing uses any more.")
    ] = True
    image_cleanup_interval_s: Annotated[
        int, Meta(ge=10, le=_DAY_S, description="Seconds between two clean-ups of images.")
    ] = 30 * 60
    image_minimum_age_s: Annotated[
        int, Meta(ge=0, description="Seconds since an image was last used until it may go.")
    ] = 60 * 60
    images_per_cleanup: Annotated[
        int, Meta(ge=1, le=1000, description="Images removed in one clean-up at most.")
    ] = 5
    task_endpoint: Annotated[
        TaskEndpointMode,
        Meta(
            description="Whether containers get a metadata and credentials endpoint: auto (at "
            "169.254.170.2 as root, else metadata only) or off."
        ),
    ] = "auto"
    task_cpu_mem_limit: Annotated[
        bool,
        Meta(
            description="Bound a task's containers together by a cgroup of the task, where the "
            "agent may make one; else by the same limits on each container."
        ),
    ] = True
    log_level: Annotated[LogLevel, Meta(description="Least severe log lines to print.")] = "info"


Settings = TypeVar("Settings", Config, AgentConfig)

# Flags that are not simply the setting's name.
_SHORT_FLAGS = {
    "attributes": "--attribute",
    "instance_tags": "--instance-tag",
    "reserved_ports": "--reserved-port",
    "reserved_ports_udp": "--reserved-port-udp",
    "cpu_units": "--cpu",
    "gpu_ids": "--gpu-id",
    "logging_drivers": "--logging-driver",
    "event_webhooks": "--event-webhook",
    "memory_mib": "--memory",
}


def load_config(
    flags: Mapping[str, object],
    *,
    config_file: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Config:
    """The control plane's settings from flags (None = not given), environment and file.

    Raises ConfigError for a value that cannot be used.
    """
    config = _load(Config(), "server", flags, config_file=config_file, environ=environ)
    if not _is_loopback(config.host):
        raise ConfigError(
            f"host {config.host!r}: not a loopback address. Homeport accepts any credentials, "
            "so it listens on loopback only (127.0.0.1, ::1, localhost)"
        )
    if not config.data_dir:
        config = msgspec.structs.replace(config, data_dir=str(default_data_dir(environ)))
    return config


def load_agent_config(
    flags: Mapping[str, object],
    *,
    config_file: str | None = None,
    environ: Mapping[str, str] = os.environ,
    defaults: AgentConfig | None = None,
) -> AgentConfig:
    """The agent's settings from flags (None = not given), environment and file.

    `attributes` may be a list of NAME=VALUE texts; `defaults` stand in for the record's own.
    Raises ConfigError like `load_config`.
    """
    try:
        environ = {**translate_variables(environ), **environ}
    except VariableError as trouble:
        raise ConfigError(str(trouble)) from None
    if environ.get("DOCKER_HOST") and "HOMEPORT_AGENT_DOCKER_HOST" not in environ:
        docker_host = environ["DOCKER_HOST"]
        origin = "environment variable DOCKER_HOST"
        _checked(AgentConfig, "docker_host", docker_host, origin, is_text=True)
        environ = {"HOMEPORT_AGENT_DOCKER_HOST": docker_host, **environ}
    config = _load(
        defaults or AgentConfig(), "agent", flags, config_file=config_file, environ=environ
    )
    try:
        ipaddress.ip_address(config.bind_address)
    except ValueError:
        raise ConfigError(f"bind address {config.bind_address!r}: not an IP address") from None
    if not config.data_dir:
        folder = default_data_dir(environ) / "agents" / config.cluster.rpartition("/")[2]
        config = msgspec.structs.replace(config, data_dir=str(folder))
    return config


def default_data_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Where state goes when nobody says: `$XDG_DATA_HOME/homeport`, or under the home folder."""
    return _user_folder(environ, "XDG_DATA_HOME", ".local/share") / "homeport"


def describe_option(record: type[Config] | type[AgentConfig], name: str) -> str:
    """The help text of the setting `name`."""
    hint = get_type_hints(record, include_extras=True)[name]
    return next(
        meta.description
        for meta in get_args(hint)[1:]
        if isinstance(meta, Meta) and meta.description is not None
    )


def flag_name(name: str) -> str:
    """The command-line flag that sets `name`."""
    return _SHORT_FLAGS.get(name) or "--" + name.replace("_", "-")


def environment_name(record: type[Config] | type[AgentConfig], name: str) -> str:
    """The environment variable that sets `name`."""
    prefix = "HOMEPORT_" if record is Config else "HOMEPORT_AGENT_"
    return prefix + name.upper()


# --- reading --------------------------------------------------------------------------------


def _load(
    defaults: Settings,
    table: str,
    flags: Mapping[str, object],
    *,
    config_file: str | None,
    environ: Mapping[str, str],
) -> Settings:
    """Lay the sources over one another, weakest first, checking each value as it is met."""
    record = type(defaults)
    values: dict[str, Any] = {}
    path = _find_file(config_file, environ)
    if path is not None:
        for name, value in _read_table(path, table, record).items():
            origin = f"{path}: [{table}] {name}"
            values[name] = _checked(record, name, value, origin, is_text=False)
    for name in record.__struct_fields__:
        variable = environment_name(record, name)
        if variable in environ:
            origin = f"environment variable {variable}"
            values[name] = _checked(record, name, environ[variable], origin, is_text=True)
    for name, value in flags.items():
        if value is not None:
            origin = flag_name(name)
            is_text = isinstance(value, list)  # of texts, where a flag is repeatable
            values[name] = _checked(record, name, value, origin, is_text=is_text)
    return msgspec.structs.replace(defaults, **values)


def _checked(
    record: type[Settings], name: str, value: object, origin: str, *, is_text: bool
) -> object:
    """`value` in the type of the setting, or a ConfigError that names its origin."""
    hint: Any = get_type_hints(record, include_extras=True)[name]
    if _bare_type(hint) is dict and not isinstance(value, dict):
        pairs = value.split(",") if isinstance(value, str) else value
        value = _parse_pairs(pairs, origin)
    if _bare_type(hint) is tuple and isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    try:
        return msgspec.convert(value, type=hint, strict=not is_text)
    except msgspec.ValidationError as trouble:
        if name == "event_webhooks":  # the path or the query may be a secret
            raise ConfigError(
                f"{origin}: expected up to 16 URLs like https://example.com/hook, without blanks"
            ) from None
        raise ConfigError(f"{origin}: {trouble}, got {value!r}") from None


def _bare_type(hint: Any) -> Any:
    inner = get_args(hint)[0]
    return get_origin(inner) or inner


def _parse_pairs(pairs: object, origin: str) -> dict[str, str]:
    """NAME=VALUE texts as a mapping; a name alone has an empty value."""
    if not isinstance(pairs, Iterable):
        raise ConfigError(f"{origin}: expected NAME=VALUE, got {pairs!r}")
    parsed: dict[str, str] = {}
    for pair in pairs:
        name, _, value = str(pair).strip().partition("=")
        if not name:
            raise ConfigError(f"{origin}: expected NAME=VALUE, got {str(pair)!r}")
        parsed[name] = value
    return parsed


def _find_file(config_file: str | None, environ: Mapping[str, str]) -> Path | None:
    """The configuration file: the one named, else the first of the usual places that exists."""
    named = config_file or environ.get("HOMEPORT_CONFIG")
    if named:
        return Path(named)
    usual = (
        Path(CONFIG_FILE_NAME),
        _user_folder(environ, "XDG_CONFIG_HOME", ".config") / "homeport" / CONFIG_FILE_NAME,
    )
    return next((path for path in usual if path.is_file()), None)


def _user_folder(environ: Mapping[str, str], variable: str, below_home: str) -> Path:
    if environ.get(variable):
        return Path(environ[variable])
    home = environ.get("HOME")
    return (Path(home) if home else Path.home()) / below_home


def _read_table(path: Path, table: str, record: type[Settings]) -> dict[str, object]:
    """One table of the file; a name that is no setting is an error, never passed over."""
    try:
        with path.open("rb") as file:
            text = file.read(CONFIG_FILE_LIMIT_BYTES + 1)
        if len(text) > CONFIG_FILE_LIMIT_BYTES:
            raise ConfigError(f"{path}: larger than {CONFIG_FILE_LIMIT_BYTES} bytes")
        content = tomllib.loads(text.decode())
    except OSError as trouble:
        raise ConfigError(f"{path}: {trouble.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as trouble:
        raise ConfigError(f"{path}: not TOML: {trouble}") from None
    _refuse_unknown(content, ("server", "agent"), f"{path}: unknown table or key outside a table")
    values = content.get(table, {})
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: {table!r} must be a table")
    _refuse_unknown(values, record.__struct_fields__, f"{path}: [{table}] has no setting")
    return values


def _refuse_unknown(given: Iterable[str], known: Iterable[str], complaint: str) -> None:
    choices = list(known)
    for name in given:
        if name not in choices:
            close = difflib.get_close_matches(name, choices, n=1)
            hint = f" (did you mean {close[0]!r}?)" if close else f"; known: {', '.join(choices)}"
            raise ConfigError(f"{complaint} {name!r}{hint}")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
