"""The container instances of `homeport up`: one machine cut into N, and the flags of their agents.

Pure but for reading how much the machine has. Starting the agents is `up`'s work.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from homeport.config import AgentConfig, flag_name

CPU_UNITS_PER_CORE = 1024
INSTANCE_LIMIT = 64
ZONE_LETTERS = "abcdef"
# The local name of an instance, as a custom attribute that constraints can use.
NAME_ATTRIBUTE = "homeport.instance"
LOCAL_INSTANCE_TYPE = "homeport.local"


class MachineSize(msgspec.Struct, frozen=True):
    """What this machine has to offer."""

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
    count: int, template: AgentConfig, machine: MachineSize, data_dir: Path
) -> list[LocalInstance]:
    """Cut `machine` into `count` equal instances, each with its own zone and bind address.

    Addresses are 127.0.1.1, 127.0.1.2, … so that several instances can each own host port 80;
    together they offer what the machine has, so that placement tells the truth.
    """
    return [
        LocalInstance(
            name=f"local-{number}",
            settings=msgspec.structs.replace(
                template,
                attributes={**template.attributes, NAME_ATTRIBUTE: f"local-{number}"},
                availability_zone=template.region + ZONE_LETTERS[(number - 1) % len(ZONE_LETTERS)],
                instance_type=template.instance_type or LOCAL_INSTANCE_TYPE,
                cpu_units=template.cpu_units or machine.cpu_units // count,
                memory_mib=template.memory_mib or machine.memory_mib // count,
                bind_address=f"127.0.1.{number}",
                data_dir=str(data_dir / "instances" / f"local-{number}"),
            ),
        )
        for number in range(1, count + 1)
    ]


def setting_flags(settings: msgspec.Struct) -> list[str]:
    """The flags that hand `settings`, all of them, to another `homeport` process."""
    flags: list[str] = []
    for name in settings.__struct_fields__:
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
