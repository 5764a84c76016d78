"""What an agent is told at start, and the one error that keeps it from starting.

Reading environment and files is `config`'s; this is the record that the agent's parts work with.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from homeport.wire.signing import Credentials

if TYPE_CHECKING:
    from homeport.config import AgentConfig

DEFAULT_RESERVED_PORTS: Final = (22, 2375, 2376, 51678, 51679)
"""What the ECS agent keeps for itself and the Engine (ECS_RESERVED_PORTS)."""

DEFAULT_CLUSTER: Final = "default"
DEFAULT_CONCURRENT_STARTS: Final = 8
ANY_ACCESS_KEY: Final = "homeport-agent"
"""A control plane on loopback takes any credentials; twelve digits would pick an account."""


class AgentStartError(Exception):
    """The agent can't start; the text is one line that says what to do."""


class AgentSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything an agent may be told (CPU in units, memory in MiB, times in seconds)."""

    endpoint: str
    data_dir: Path
    cluster: str = DEFAULT_CLUSTER
    region: str = "us-east-1"
    credentials: Credentials = Credentials(ANY_ACCESS_KEY, ANY_ACCESS_KEY)
    attributes: dict[str, str] = msgspec.field(default_factory=dict)
    availability_zone: str | None = None
    instance_type: str | None = None
    cpu_units: int | None = None
    memory_mib: int | None = None
    reserved_memory_mib: int = 0
    gpu_count: int | None = None
    gpu_ids: tuple[str, ...] = ()
    nvidia_runtime: str = "nvidia"
    logging_drivers: tuple[str, ...] = ()
    disable_privileged: bool = False
    instance_tags: dict[str, str] = msgspec.field(default_factory=dict)
    bind_address: str = "0.0.0.0"
    docker_host: str = "unix:///var/run/docker.sock"
    image_pull_behavior: str = "default"
    reserved_ports: tuple[int, ...] = DEFAULT_RESERVED_PORTS
    reserved_ports_udp: tuple[int, ...] = ()
    container_stop_timeout_s: int = 30
    container_create_timeout_s: int = 240
    container_start_timeout_s: int = 180
    image_pull_timeout_s: int = 7200
    task_cleanup_wait_s: int = 3 * 3600
    concurrent_starts: int = DEFAULT_CONCURRENT_STARTS
    task_endpoint: str = "auto"  # auto | off
    task_cpu_mem_limit: bool = True
    metadata_file: bool = False
    introspection_port: int = 0
    image_cleanup: bool = False
    image_cleanup_interval_s: int = 30 * 60
    image_minimum_age_s: int = 60 * 60
    images_per_cleanup: int = 5


def make_settings(config: AgentConfig) -> AgentSettings:
    """The agent's settings from the configuration record."""
    return AgentSettings(
        endpoint=config.endpoint.rstrip("/"),
        data_dir=Path(config.data_dir),
        cluster=config.cluster,
        region=config.region,
        attributes=config.attributes,
        availability_zone=config.availability_zone,
        instance_type=config.instance_type,
        cpu_units=config.cpu_units,
        memory_mib=config.memory_mib,
        reserved_memory_mib=config.reserved_memory_mib,
        reserved_ports=config.reserved_ports,
        reserved_ports_udp=config.reserved_ports_udp,
        gpu_count=config.gpu_count,
        gpu_ids=config.gpu_ids,
        nvidia_runtime=config.nvidia_runtime,
        logging_drivers=config.logging_drivers,
        disable_privileged=config.disable_privileged,
        instance_tags=config.instance_tags,
        bind_address=config.bind_address,
        docker_host=config.docker_host,
        image_pull_behavior=config.image_pull_behavior,
        container_stop_timeout_s=config.container_stop_timeout_s,
        container_create_timeout_s=config.container_create_timeout_s,
        container_start_timeout_s=config.container_start_timeout_s,
        image_pull_timeout_s=config.image_pull_timeout_s,
        task_cleanup_wait_s=config.task_cleanup_wait_s,
        task_endpoint=config.task_endpoint,
        task_cpu_mem_limit=config.task_cpu_mem_limit,
        metadata_file=config.metadata_file,
        introspection_port=config.introspection_port,
        image_cleanup=config.image_cleanup,
        image_cleanup_interval_s=config.image_cleanup_interval_s,
        image_minimum_age_s=config.image_minimum_age_s,
        images_per_cleanup=config.images_per_cleanup,
    )
