"""Compose's ways of writing a value: sizes, durations, ports, lists or maps of NAME=VALUE.

Every function takes where the value stands, for the complaint. Which members there are is
`compose_service`'s work. Source: the Compose specification, docs.docker.com/reference/compose-file.
"""

import math
import re
import shlex
from collections.abc import Mapping
from typing import Any, NamedTuple

from homeport.cli.failure import CommandFailure

BYTES_PER_MIB = 1024 * 1024
CPU_UNITS_PER_CORE = 1024

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(b|k|kb|m|mb|g|gb)?", re.IGNORECASE)
_SIZE_FACTORS = {"": 1, "b": 1, "k": 2**10, "m": 2**20, "g": 2**30}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h)")
_DURATION_S = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3_600.0}
_PORT = re.compile(r"(?:(?P<host>\d+):)?(?P<container>\d+)(?:/(?P<protocol>tcp|udp))?")


class Where(NamedTuple):
    """A place in the file: `services.web.ports[0]`."""

    path: str

    def below(self, name: str | int) -> "Where":
        """The place of a member, or of an item of a list."""
        return Where(f"{self.path}[{name}]" if isinstance(name, int) else f"{self.path}.{name}")

    def refuse(self, complaint: str) -> CommandFailure:
        """Make the failure that names this place."""
        return CommandFailure(f"{self.path}: {complaint}")


def read_text(value: Any, where: Where) -> str:
    """A string, or a number as it is written."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise where.refuse(f"expected text, got {_kind(value)}")
    return str(value)


def read_flag(value: Any, where: Where) -> bool:
    """A boolean."""
    if not isinstance(value, bool):
        raise where.refuse(f"expected true or false, got {_kind(value)}")
    return value


def read_count(value: Any, where: Where) -> int:
    """A whole number, zero or more; text from a variable counts."""
    text = read_text(value, where)
    if not text.isdigit():
        raise where.refuse(f"expected a whole number, got {text!r}")
    return int(text)


def read_list(value: Any, where: Where) -> list[Any]:
    """A list."""
    if not isinstance(value, list):
        raise where.refuse(f"expected a list, got {_kind(value)}")
    return value


def read_map(value: Any, where: Where) -> dict[str, Any]:
    """A map with names as its keys; nothing at all is an empty one."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise where.refuse(f"expected a map, got {_kind(value)}")
    return {str(key): below for key, below in value.items()}


def read_texts(value: Any, where: Where) -> list[str]:
    """A list of texts, or one text alone."""
    if isinstance(value, str):
        return [value]
    items = read_list(value, where)
    return [read_text(each, where.below(number)) for number, each in enumerate(items)]


def read_command(value: Any, where: Where) -> list[str]:
    """A command as a list, or as one line that is split as a shell would."""
    if not isinstance(value, str):
        return read_texts(value, where)
    try:
        return shlex.split(value)
    except ValueError as trouble:
        raise where.refuse(f"cannot be split into words: {trouble}") from None


def read_pairs(value: Any, where: Where) -> dict[str, str | None]:
    """A map, or a list of NAME=VALUE; a name alone has None."""
    if isinstance(value, list):
        pairs: dict[str, str | None] = {}
        for item in read_texts(value, where):
            name, sign, text = item.partition("=")
            pairs[name] = text if sign else None
        return pairs
    return {
        name: None if each is None else _read_scalar(each, where.below(name))
        for name, each in read_map(value, where).items()
    }


def read_size_mib(value: Any, where: Where) -> int:
    """A size such as `512m` in MiB, rounded up."""
    found = _SIZE.fullmatch(read_text(value, where))
    if found is None:
        raise where.refuse(f"expected a size such as 512m or 1g, got {value!r}")
    number, unit = found.groups()
    size = float(number) * _SIZE_FACTORS[(unit or "").lower().removesuffix("b") or "b"]
    return math.ceil(size / BYTES_PER_MIB)


def read_cpu_units(value: Any, where: Where) -> int:
    """A number of cores such as `0.5` in CPU units."""
    text = read_text(value, where)
    try:
        return round(float(text) * CPU_UNITS_PER_CORE)
    except ValueError:
        raise where.refuse(f"expected a number of cores such as 0.5, got {text!r}") from None


def read_duration_s(value: Any, where: Where) -> int:
    """A duration such as `1m30s` in whole seconds, rounded up as ECS counts no parts."""
    text = read_text(value, where)
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise where.refuse(f"expected a duration such as 30s or 1m30s, got {text!r}")
    return math.ceil(sum(float(number) * _DURATION_S[unit] for number, unit in parts))


def read_port(value: Any, where: Where) -> dict[str, Any]:
    """A published port as ECS's port mapping: `80`, `8080:80/tcp`, or a map."""
    if isinstance(value, Mapping):
        return _read_port_map(read_map(value, where), where)
    text = read_text(value, where)
    found = _PORT.fullmatch(text)
    if found is None:
        raise where.refuse(
            f"expected CONTAINER or HOST:CONTAINER with /tcp or /udp, got {text!r}; ranges are "
            "not taken, and the address to bind is the container instance's own"
        )
    return _port_mapping(found["container"], found["host"], found["protocol"])


def _read_port_map(port: dict[str, Any], where: Where) -> dict[str, Any]:
    for name, value in port.items():
        if name not in ("target", "published", "protocol", "mode", "name", "app_protocol"):
            raise where.below(name).refuse("is not taken by homeport deploy")
        if name in ("name", "app_protocol") or (name == "mode" and value != "ingress"):
            raise where.below(name).refuse("is not taken by homeport deploy")
    if "target" not in port:
        raise where.refuse("target is missing")
    target = str(read_count(port["target"], where.below("target")))
    host = port.get("published")
    published = None if host is None else str(read_count(host, where.below("published")))
    protocol = read_text(port.get("protocol", "tcp"), where.below("protocol"))
    return _port_mapping(target, published, protocol)


def _port_mapping(container: str, host: str | None, protocol: str | None) -> dict[str, Any]:
    mapping: dict[str, Any] = {"containerPort": int(container), "protocol": protocol or "tcp"}
    return {**mapping, "hostPort": int(host or 0)}


def _read_scalar(value: Any, where: Where) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return read_text(value, where)


def _kind(value: Any) -> str:
    names = {dict: "a map", list: "a list", bool: "a boolean", type(None): "nothing"}
    return names.get(type(value), repr(value))
