"""One service of a compose file as a task definition and an ECS service.

Each member that is taken has a function; every other is refused by name, so that nothing of a file
is silently left out. docs/cli.md lists them. Not here: the file itself (`compose`).
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from homeport.cli.compose_values import (
    Where,
    read_command,
    read_count,
    read_cpu_units,
    read_duration_s,
    read_flag,
    read_list,
    read_map,
    read_pairs,
    read_port,
    read_size_mib,
    read_text,
    read_texts,
)
from homeport.cli.deploy_wish import WantedService

# ECS wants a memory figure of each container; a soft one leaves room to grow, as Compose does.
DEFAULT_MEMORY_RESERVATION_MIB = 128
_ALWAYS = ("always", "unless-stopped")
_STARTED = ("service_started", "service_healthy")


class ComposeFile(NamedTuple):
    """What a service needs to know of the file around it."""

    project: str
    folder: Path
    volumes: Mapping[str, Mapping[str, Any]]
    environ: Mapping[str, str]


class _Draft:
    """A service while its members are read."""

    def __init__(self, file: ComposeFile) -> None:
        self.file = file
        self.container: dict[str, Any] = {}
        self.linux: dict[str, Any] = {}
        self.volumes: dict[str, dict[str, Any]] = {}
        self.environment: dict[str, str] = {}
        self.environment_from_files: dict[str, str] = {}
        self.desired_count: int | None = None
        self.after: list[str] = []


Reader = Callable[[_Draft, Any, Where], None]


def read_service(file: ComposeFile, name: str, members: Any, where: Where) -> WantedService:
    """Read one service; raises CommandFailure that names the member that cannot be taken."""
    draft = _Draft(file)
    for member, value in read_map(members, where).items():
        reader = _READERS.get(member)
        if member.startswith("x-"):
            continue
        if reader is None:
            hint = REFUSED.get(member, NOT_TAKEN)
            raise where.below(member).refuse(hint)
        reader(draft, value, where.below(member))
    if "image" not in draft.container:
        raise where.refuse("image is missing")
    full_name = f"{file.project}-{name}"
    return WantedService(
        name=full_name,
        definition=_definition(draft, full_name, name),
        desired_count=draft.desired_count,
        after=tuple(f"{file.project}-{each}" for each in draft.after),
    )


def _definition(draft: _Draft, family: str, name: str) -> dict[str, Any]:
    container = {"name": name, "essential": True, **draft.container}
    if "memory" not in container and "memoryReservation" not in container:
        container["memoryReservation"] = DEFAULT_MEMORY_RESERVATION_MIB
    environment = {**draft.environment_from_files, **draft.environment}
    if environment:
        container["environment"] = [
            {"name": key, "value": value} for key, value in environment.items()
        ]
    if draft.linux:
        container["linuxParameters"] = draft.linux
    definition: dict[str, Any] = {"family": family, "containerDefinitions": [container]}
    if draft.volumes:
        definition["volumes"] = list(draft.volumes.values())
    return definition


# --- members -------------------------------------------------------------------------------


def _plain(member: str, read: Callable[[Any, Where], Any]) -> Reader:
    """A member that ECS has, too, under another name."""

    def reader(draft: _Draft, value: Any, where: Where) -> None:
        draft.container[member] = read(value, where)

    return reader


def _linux(member: str, read: Callable[[Any, Where], Any]) -> Reader:
    def reader(draft: _Draft, value: Any, where: Where) -> None:
        draft.linux[member] = read(value, where)

    return reader


def _capability(member: str) -> Reader:
    def reader(draft: _Draft, value: Any, where: Where) -> None:
        draft.linux.setdefault("capabilities", {})[member] = read_texts(value, where)

    return reader


def _environment(draft: _Draft, value: Any, where: Where) -> None:
    for name, text in read_pairs(value, where).items():
        # A name alone is passed on from the caller's environment, if it is set there.
        found = draft.file.environ.get(name) if text is None else text
        if found is not None:
            draft.environment[name] = found


def _env_file(draft: _Draft, value: Any, where: Where) -> None:
    for text in read_texts(value, where):
        path = draft.file.folder / text
        try:
            lines = path.read_text().splitlines()
        except (OSError, UnicodeDecodeError) as trouble:
            raise where.refuse(f"{path} cannot be read: {trouble}") from None
        for line in lines:
            name, sign, content = line.strip().partition("=")
            if name and not name.startswith("#") and sign:
                draft.environment_from_files[name.strip()] = content.strip().strip("'\"")


def _labels(value: Any, where: Where) -> dict[str, str]:
    return {name: text or "" for name, text in read_pairs(value, where).items()}


def _ports(value: Any, where: Where) -> list[dict[str, Any]]:
    ports = read_list(value, where)
    return [read_port(each, where.below(number)) for number, each in enumerate(ports)]


def _health_check(draft: _Draft, value: Any, where: Where) -> None:
    check = read_map(value, where)
    if check.pop("disable", False):
        return  # ECS never looks at the image's own check
    readers = {
        "interval": ("interval", read_duration_s),
        "timeout": ("timeout", read_duration_s),
        "retries": ("retries", read_count),
        "start_period": ("startPeriod", read_duration_s),
    }
    test = check.pop("test", None)
    if test is None:
        raise where.refuse("test is missing")
    words = ["CMD-SHELL", test] if isinstance(test, str) else read_texts(test, where.below("test"))
    if words == ["NONE"]:
        return
    made: dict[str, Any] = {"command": words}
    for member, each in check.items():
        if member not in readers:
            raise where.below(member).refuse("is not taken by homeport deploy")
        name, read = readers[member]
        made[name] = read(each, where.below(member))
    draft.container["healthCheck"] = made


def _volumes(draft: _Draft, value: Any, where: Where) -> None:
    points = []
    for number, each in enumerate(read_list(value, where)):
        points.append(_mount(draft, each, where.below(number)))
    draft.container["mountPoints"] = points


def _mount(draft: _Draft, value: Any, where: Where) -> dict[str, Any]:
    source, target, is_read_only = _split_mount(value, where)
    if source is None:
        name = f"anonymous-{len(draft.volumes)}"
        draft.volumes[name] = {"name": name}
    elif source.startswith(("/", ".")):
        path = str((draft.file.folder / source).resolve())
        name = f"bind-{len(draft.volumes)}"
        draft.volumes[name] = {"name": name, "host": {"sourcePath": path}}
    else:
        name = _named_volume(draft, source, where)
    return {"sourceVolume": name, "containerPath": target, "readOnly": is_read_only}


def _split_mount(value: Any, where: Where) -> tuple[str | None, str, bool]:
    if isinstance(value, Mapping):
        mount = read_map(value, where)
        for member in mount:
            if member not in ("type", "source", "target", "read_only"):
                raise where.below(member).refuse("is not taken by homeport deploy")
        if mount.get("type") not in ("bind", "volume"):
            raise where.below("type").refuse("expected bind or volume")
        if "target" not in mount:
            raise where.refuse("target is missing")
        source = mount.get("source")
        is_read_only = read_flag(mount.get("read_only", False), where.below("read_only"))
        return source, read_text(mount["target"], where.below("target")), is_read_only
    parts = read_text(value, where).split(":")
    if len(parts) == 1:
        return None, parts[0], False
    if len(parts) > 3 or (len(parts) == 3 and parts[2] not in ("ro", "rw")):
        raise where.refuse(f"expected SOURCE:TARGET with :ro or :rw, got {value!r}")
    return parts[0], parts[1], parts[2:] == ["ro"]


def _named_volume(draft: _Draft, source: str, where: Where) -> str:
    """A volume of the file's own `volumes`: one for all tasks of an instance, as in Compose."""
    if source not in draft.file.volumes:
        raise where.refuse(f"volume {source!r} is not in the file's volumes")
    settings = draft.file.volumes[source]
    is_external = bool(settings.get("external", False))
    own_name = source if is_external else f"{draft.file.project}_{source}"
    name = str(settings.get("name") or own_name)
    draft.volumes[name] = {
        "name": name,
        "dockerVolumeConfiguration": {
            "scope": "shared",
            "autoprovision": not is_external,
            "driver": str(settings.get("driver", "local")),
        },
    }
    return name


def _extra_hosts(value: Any, where: Where) -> list[dict[str, str]]:
    if isinstance(value, list):
        pairs = [each.replace("=", ":", 1).partition(":") for each in read_texts(value, where)]
        return [{"hostname": host, "ipAddress": address} for host, _, address in pairs]
    return [
        {"hostname": host, "ipAddress": read_text(address, where.below(host))}
        for host, address in read_map(value, where).items()
    ]


def _ulimits(value: Any, where: Where) -> list[dict[str, Any]]:
    made = []
    for name, limit in read_map(value, where).items():
        place = where.below(name)
        both = read_map(limit, place) if isinstance(limit, Mapping) else None
        soft = read_count(limit if both is None else both.get("soft"), place)
        hard = soft if both is None else read_count(both.get("hard"), place)
        made.append({"name": name, "softLimit": soft, "hardLimit": hard})
    return made


def _sysctls(value: Any, where: Where) -> list[dict[str, str]]:
    pairs = read_pairs(value, where).items()
    return [{"namespace": name, "value": text or ""} for name, text in pairs]


def _logging(value: Any, where: Where) -> dict[str, Any]:
    settings = read_map(value, where)
    options = read_pairs(settings.get("options"), where.below("options"))
    return {
        "logDriver": read_text(settings.get("driver", "json-file"), where.below("driver")),
        "options": {name: text or "" for name, text in options.items()},
    }


def _depends_on(draft: _Draft, value: Any, where: Where) -> None:
    if isinstance(value, list):
        draft.after += read_texts(value, where)
        return
    for name, settings in read_map(value, where).items():
        condition = read_map(settings, where.below(name)).get("condition", "service_started")
        if condition not in _STARTED:
            raise where.below(name).refuse(
                f"condition {condition} is not taken: a service of ECS is never complete"
            )
        draft.after.append(name)


def _restart(draft: _Draft, value: Any, where: Where) -> None:
    if value not in _ALWAYS:
        raise where.refuse(
            f"{value!r} is not taken: ECS always replaces a task that ends; say unless-stopped"
        )


def _scale(draft: _Draft, value: Any, where: Where) -> None:
    draft.desired_count = read_count(value, where)


def _deploy(draft: _Draft, value: Any, where: Where) -> None:
    for member, each in read_map(value, where).items():
        place = where.below(member)
        if member == "replicas":
            _scale(draft, each, place)
        elif member == "resources":
            _resources(draft, each, place)
        elif member != "mode" or each != "replicated":
            raise place.refuse("is not taken by homeport deploy")


def _resources(draft: _Draft, value: Any, where: Where) -> None:
    readers: dict[tuple[str, str], tuple[str, Callable[[Any, Where], int]]] = {
        ("limits", "memory"): ("memory", read_size_mib),
        ("reservations", "memory"): ("memoryReservation", read_size_mib),
        ("reservations", "cpus"): ("cpu", read_cpu_units),
    }
    for kind, figures in read_map(value, where).items():
        for member, each in read_map(figures, where.below(kind)).items():
            place = where.below(kind).below(member)
            if (kind, member) not in readers:
                raise place.refuse(REFUSED["cpus"] if member == "cpus" else "is not taken")
            name, read = readers[kind, member]
            draft.container[name] = read(each, place)


def _nothing(draft: _Draft, value: Any, where: Where) -> None:
    """A member that only tells people something, in Compose as well."""


_READERS: dict[str, Reader] = {
    "cap_add": _capability("add"),
    "cap_drop": _capability("drop"),
    "command": _plain("command", read_command),
    "depends_on": _depends_on,
    "deploy": _deploy,
    "dns": _plain("dnsServers", read_texts),
    "dns_search": _plain("dnsSearchDomains", read_texts),
    "entrypoint": _plain("entryPoint", read_command),
    "env_file": _env_file,
    "environment": _environment,
    "expose": _nothing,
    "extra_hosts": _plain("extraHosts", _extra_hosts),
    "healthcheck": _health_check,
    "hostname": _plain("hostname", read_text),
    "image": _plain("image", read_text),
    "init": _linux("initProcessEnabled", read_flag),
    "labels": _plain("dockerLabels", _labels),
    "logging": _plain("logConfiguration", _logging),
    "mem_limit": _plain("memory", read_size_mib),
    "mem_reservation": _plain("memoryReservation", read_size_mib),
    "ports": _plain("portMappings", _ports),
    "privileged": _plain("privileged", read_flag),
    "read_only": _plain("readonlyRootFilesystem", read_flag),
    "restart": _restart,
    "scale": _scale,
    "security_opt": _plain("dockerSecurityOptions", read_texts),
    "shm_size": _linux("sharedMemorySize", read_size_mib),
    "stdin_open": _plain("interactive", read_flag),
    "stop_grace_period": _plain("stopTimeout", read_duration_s),
    "sysctls": _plain("systemControls", _sysctls),
    "tty": _plain("pseudoTerminal", read_flag),
    "ulimits": _plain("ulimits", _ulimits),
    "user": _plain("user", read_text),
    "volumes": _volumes,
    "working_dir": _plain("workingDirectory", read_text),
}
NOT_TAKEN = "is not taken by homeport deploy"
# Where more can be said than that.
REFUSED = {
    "build": "homeport deploy builds nothing: build the image first and name it with image",
    "container_name": "tasks name their containers, since there may be several; leave it out",
    "cpus": "ECS shares the CPU by weight: say deploy.resources.reservations.cpus",
    "links": "services don't reach each other by name yet; publish a port",
    "networks": "tasks have the container instance's bridge network; leave networks out",
    "profiles": "is not taken: every service of the file is deployed",
}
