"""From the Engine's statistics of a container to ECS's metrics. Pure.

One sample an interval: a stats set then holds one value. Not here: when samples are taken and sent
(`telemetry`).
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from homeport.wire.agent_messages import tcs

BYTES_PER_MIB: Final = 1024 * 1024
NANOSECONDS_PER_SECOND: Final = 1_000_000_000

_NETWORK_MEMBERS: Final = (
    "rx_bytes",
    "rx_dropped",
    "rx_errors",
    "rx_packets",
    "tx_bytes",
    "tx_dropped",
    "tx_errors",
    "tx_packets",
)


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """What a container has used up to one moment."""

    at_ns: int
    cpu_ns: int
    cpus: int
    memory_bytes: int
    network: dict[str, int] | None
    read_bytes: int
    written_bytes: int


def read_sample(stats: dict[str, Any], at_ns: int) -> Sample:
    """The Engine's one-shot statistics as a sample; what isn't there counts as zero."""
    cpu = stats.get("cpu_stats") or {}
    usage = cpu.get("cpu_usage") or {}
    memory = stats.get("memory_stats") or {}
    details = memory.get("stats") or {}
    # Page cache that can be dropped at any time isn't counted, as `docker stats` does it.
    droppable = details.get("total_inactive_file", details.get("inactive_file", 0))
    networks = stats.get("networks")
    totals = None
    if networks:
        totals = {
            member: sum(int(interface.get(member, 0)) for interface in networks.values())
            for member in _NETWORK_MEMBERS
        }
    blocks = (stats.get("blkio_stats") or {}).get("io_service_bytes_recursive") or []
    return Sample(
        at_ns=at_ns,
        cpu_ns=int(usage.get("total_usage") or 0),
        cpus=int(cpu.get("online_cpus") or len(usage.get("percpu_usage") or [0])),
        memory_bytes=max(0, int(memory.get("usage") or 0) - int(droppable or 0)),
        network=totals,
        read_bytes=_sum_blocks(blocks, "read"),
        written_bytes=_sum_blocks(blocks, "write"),
    )


def make_metric(
    name: str, before: Sample | None, now: Sample, restart_count: int | None
) -> tcs.ContainerMetric:
    """One container's metrics; rates need an earlier sample."""
    return tcs.ContainerMetric(
        container_name=name,
        cpu_stats_set=None if before is None else _one(_cpu_percent(before, now)),
        memory_stats_set=_one(now.memory_bytes // BYTES_PER_MIB),
        network_stats_set=_network(before, now),
        storage_stats_set=tcs.StorageStatsSet(
            read_size_bytes=_one_long(now.read_bytes), write_size_bytes=_one_long(now.written_bytes)
        ),
        restart_stats_set=(
            None if restart_count is None else tcs.RestartStatsSet(restart_count=restart_count)
        ),
    )


def _cpu_percent(before: Sample, now: Sample) -> float:
    """Percent of all the instance's CPUs, as Amazon's agent counts it."""
    elapsed_ns = max(now.at_ns - before.at_ns, 1)
    return 100.0 * max(now.cpu_ns - before.cpu_ns, 0) / elapsed_ns / max(now.cpus, 1)


def _network(before: Sample | None, now: Sample) -> tcs.NetworkStatsSet | None:
    if now.network is None:
        return None
    counts = {member: _one_long(value) for member, value in now.network.items()}
    rates: dict[str, tcs.StatsSet] = {}
    if before is not None and before.network is not None:
        elapsed_s = max(now.at_ns - before.at_ns, 1) / NANOSECONDS_PER_SECOND
        for member in ("rx_bytes", "tx_bytes"):
            grown = max(now.network[member] - before.network[member], 0)
            rates[f"{member}_per_second"] = _one(grown / elapsed_s)
    return tcs.NetworkStatsSet(**counts, **rates)  # type: ignore[arg-type]


def _sum_blocks(blocks: list[dict[str, Any]], operation: str) -> int:
    return sum(int(b.get("value", 0)) for b in blocks if str(b.get("op")).lower() == operation)


def _one(value: float) -> tcs.StatsSet:
    return tcs.StatsSet(min=value, max=value, sample_count=1, sum=value)


def _one_long(value: int) -> tcs.LongStatsSet:
    return tcs.LongStatsSet(min=value, max=value, sample_count=1, sum=value)
