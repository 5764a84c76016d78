"""What common EC2 instance types offer, so that a local instance can pose as one of them. Pure.

Nominal values of aws.amazon.com/ec2/instance-types, made by hand; an instance on EC2 registers a
little less memory than that, since its kernel keeps some. A type that isn't here can still be
named: its size then is the machine's, or what the settings say.
"""

from __future__ import annotations

from typing import Final

import msgspec

CPU_UNITS_PER_VCPU: Final = 1024
MIB_PER_GIB: Final = 1024
X86_64: Final = "x86_64"
ARM64: Final = "arm64"


class InstanceType(msgspec.Struct, frozen=True):
    """One type: CPU units, MiB, architecture, number of GPUs."""

    cpu_units: int
    memory_mib: int
    architecture: str = X86_64
    gpu_count: int = 0


_VCPUS: Final = {
    "medium": 1,
    "large": 2,
    "xlarge": 4,
    "2xlarge": 8,
    "4xlarge": 16,
    "8xlarge": 32,
    "9xlarge": 36,
    "12xlarge": 48,
    "16xlarge": 64,
    "18xlarge": 72,
    "24xlarge": 96,
}
_INTEL: Final = ("large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge")
_INTEL_24: Final = (*_INTEL, "24xlarge")
_C5: Final = ("large", "xlarge", "2xlarge", "4xlarge", "9xlarge", "12xlarge", "18xlarge")
_GRAVITON: Final = ("medium", *_INTEL)

# Family: GiB a vCPU, architecture, sizes.
_FAMILIES: Final[dict[str, tuple[int, str, tuple[str, ...]]]] = {
    "c5": (2, X86_64, (*_C5, "24xlarge")),
    "c6g": (2, ARM64, _GRAVITON),
    "c6i": (2, X86_64, _INTEL_24),
    "c7g": (2, ARM64, _GRAVITON),
    "c7i": (2, X86_64, _INTEL_24),
    "m5": (4, X86_64, _INTEL_24),
    "m5a": (4, X86_64, _INTEL_24),
    "m6g": (4, ARM64, _GRAVITON),
    "m6i": (4, X86_64, _INTEL_24),
    "m7g": (4, ARM64, _GRAVITON),
    "m7i": (4, X86_64, _INTEL_24),
    "r5": (8, X86_64, _INTEL_24),
    "r6g": (8, ARM64, _GRAVITON),
    "r6i": (8, X86_64, _INTEL_24),
    "r7g": (8, ARM64, _GRAVITON),
    "r7i": (8, X86_64, _INTEL_24),
}

# Size: vCPUs, MiB.
_T2: Final = {
    "nano": (1, 512),
    "micro": (1, 1024),
    "small": (1, 2048),
    "medium": (2, 4096),
    "large": (2, 8192),
    "xlarge": (4, 16384),
    "2xlarge": (8, 32768),
}
_T3: Final = {**_T2, "nano": (2, 512), "micro": (2, 1024), "small": (2, 2048)}
_BURSTABLE: Final = {"t2": (X86_64, _T2), "t3": (X86_64, _T3), "t3a": (X86_64, _T3)}

# Type: vCPUs, GiB, GPUs.
_WITH_GPUS: Final = {
    "g4dn.xlarge": (4, 16, 1),
    "g4dn.2xlarge": (8, 32, 1),
    "g4dn.4xlarge": (16, 64, 1),
    "g4dn.8xlarge": (32, 128, 1),
    "g4dn.12xlarge": (48, 192, 4),
    "g4dn.16xlarge": (64, 256, 1),
    "g5.xlarge": (4, 16, 1),
    "g5.2xlarge": (8, 32, 1),
    "g5.4xlarge": (16, 64, 1),
    "g5.8xlarge": (32, 128, 1),
    "g5.12xlarge": (48, 192, 4),
    "g5.16xlarge": (64, 256, 1),
    "g5.24xlarge": (96, 384, 4),
    "g5.48xlarge": (192, 768, 8),
    "p3.2xlarge": (8, 61, 1),
    "p3.8xlarge": (32, 244, 4),
    "p3.16xlarge": (64, 488, 8),
}


def find_instance_type(name: str | None) -> InstanceType | None:
    """What a type offers, or None for one that isn't in the catalogue."""
    return _CATALOGUE.get(name or "")


def list_instance_types() -> tuple[str, ...]:
    """The names of all types in the catalogue, sorted."""
    return tuple(sorted(_CATALOGUE))


def _make_catalogue() -> dict[str, InstanceType]:
    catalogue = {}
    for family, (gib_per_vcpu, architecture, sizes) in _FAMILIES.items():
        for size in sizes:
            vcpus = _VCPUS[size]
            memory_mib = vcpus * gib_per_vcpu * MIB_PER_GIB
            catalogue[f"{family}.{size}"] = InstanceType(
                vcpus * CPU_UNITS_PER_VCPU, memory_mib, architecture
            )
    for family, (architecture, burstable) in {**_BURSTABLE, "t4g": (ARM64, _T3)}.items():
        for size, (vcpus, memory_mib) in burstable.items():
            catalogue[f"{family}.{size}"] = InstanceType(
                vcpus * CPU_UNITS_PER_VCPU, memory_mib, architecture
            )
    for name, (vcpus, memory_gib, gpu_count) in _WITH_GPUS.items():
        catalogue[name] = InstanceType(
            vcpus * CPU_UNITS_PER_VCPU, memory_gib * MIB_PER_GIB, gpu_count=gpu_count
        )
    return catalogue


_CATALOGUE: Final = _make_catalogue()
