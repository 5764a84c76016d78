"""The container instances of `homeport up`: one machine cut into N, and the flags of their agents.

Pure but for reading how much the machine has, and for the sizes on disk: an instance that comes
back must have the size with which it registered, whatever the others are now. Starting the agents
is `up`'s work.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from homeport.agent.instance_types import find_instance_type
from homeport.config import AgentConfig, flag_name

CPU_UNITS_PER_CORE = 1024
INSTANCE_LIMIT = 64
ZONE_LETTERS = "abcdef"
# The local name of an instance, as a custom attribute that constraints can use.
NAME_ATTRIBUTE = "homeport.instance"
LOCAL_INSTANCE_TYPE = "homeport.local"
INSTANCES_DIR = "instances"  # in the data folder: one folder an instance, which is its agent's
SIZE_FILE_NAME = "size.json"


class MachineSize(msgspec.Struct, frozen=True):
    """What a machine, or an instance that is a part of it, has to offer."""

    cpu_units: int
    memory_mib: int


class LocalInstance(msgspec.Struct, frozen=True):
    """One local container instance: its name and its agent's settings."""

    name: str
    settings: AgentConfig


def measure_machine() -> MachineSize:
    """CPU units and memory of this machine, as an agent alone on it would report them."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return MachineSize(
        cpu_units=len(os.sched_getaffinity(0)) * CPU_UNITS_PER_CORE,
        memory_mib=memory_bytes // (1024 * 1024),
    )


def plan_instances(
    count: int,
    template: AgentConfig,
    machine: MachineSize,
    data_dir: Path,
    *,
    kept: Mapping[str, MachineSize] | None = None,
) -> list[LocalInstance]:
    """Cut `machine` into `count` equal instances, each with its own zone and bind address.

    Addresses are 127.0.1.1, 127.0.1.2, … so that several instances can each own host port 80;
    together they offer what the machine has, so that placement tells the truth, unless they pose
    as an instance type of the catalogue. Those in `kept` keep their size, by name: ECS refuses an
    instance that comes back with another.
    """
    part = MachineSize(machine.cpu_units // count, machine.memory_mib // count)
    known_type = find_instance_type(template.instance_type)
    if known_type is not None:
        part = MachineSize(known_type.cpu_units, known_type.memory_mib)
    planned = []
    for number in range(1, count + 1):
        name = f"local-{number}"
        size = part if kept is None else kept.get(name, part)
        settings = msgspec.structs.replace(
            template,
            attributes={**template.attributes, NAME_ATTRIBUTE: name},
            availability_zone=template.region + ZONE_LETTERS[(number - 1) % len(ZONE_LETTERS)],
            instance_type=template.instance_type or LOCAL_INSTANCE_TYPE,
            cpu_units=template.cpu_units or size.cpu_units,
            memory_mib=template.memory_mib or size.memory_mib,
            bind_address=f"127.0.1.{number}",
            data_dir=str(_instance_dir(data_dir, name)),
        )
        planned.append(LocalInstance(name=name, settings=settings))
    return planned


def read_sizes(data_dir: Path) -> dict[str, MachineSize]:
    """Read the sizes of the instances that were here before, by name.

    One that can't be read counts as new: its size is cut from the machine as it is now.
    """
    sizes = {}
    for path in sorted((data_dir / INSTANCES_DIR).glob(f"*/{SIZE_FILE_NAME}")):
        try:
            sizes[path.parent.name] = msgspec.json.decode(path.read_bytes(), type=MachineSize)
        except (OSError, msgspec.MsgspecError):
            continue
    return sizes


def keep_sizes(instances: Sequence[LocalInstance], data_dir: Path) -> None:
    """Write down each instance's size for the next time; raises OSError if that can't be."""
    for instance in instances:
        settings = instance.settings
        folder = _instance_dir(data_dir, instance.name)
        folder.mkdir(parents=True, exist_ok=True)
        size = MachineSize(settings.cpu_units or 0, settings.memory_mib or 0)
        (folder / SIZE_FILE_NAME).write_bytes(msgspec.json.encode(size))


def _instance_dir(data_dir: Path, name: str) -> Path:
    return data_dir / INSTANCES_DIR / name


def setting_flags(settings: msgspec.Struct, names: Iterable[str] | None = None) -> list[str]:
    """The flags that hand `settings`, all or those in `names`, to another `homeport` process."""
    flags: list[str] = []
    for name in settings.__struct_fields__ if names is None else names:
        value = getattr(settings, name)
        flag = flag_name(name)
        if value is None:
            continue
        if isinstance(value, bool):
            flags.append(flag if value else f"--no-{flag[2:]}")
        elif isinstance(value, Mapping):
            for key, text in sorted(value.items()):
                flags += [flag, f"{key}={text}"]
        elif isinstance(value, tuple):
            for each in value:
                flags += [flag, str(each)]
        else:
            flags += [flag, str(value)]
    return flags
