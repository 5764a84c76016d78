"""The measurements as tables for people and as JSON for programs, each beside its target."""

import statistics
from collections.abc import Sequence

import msgspec
from rich.console import Console
from rich.table import Table

from homeport.bench.api import ApiMeasurement, Measured
from homeport.bench.instances import InstancesResult
from homeport.bench.placement import PlacementMeasurement
from homeport.bench.rolling import RollingMeasurement
from homeport.bench.services import CrowdedResult, SteadyResult
from homeport.bench.tasks import SERVICE_TASKS, TaskMeasurements

API_RATIO_TARGET = 20.0  # at 16 connections
START_EXTRA_TARGET_S = 0.1
SERVICE_RATIO_TARGET = 1.2
HEAL_TARGET_S = 1.0
ROLLING_RATIO_TARGET = 2.0  # times faster than Swarm
CROWDED_EXTRA_TARGET_MS = 10.0  # between two medians; a replacement's own swing is larger
CROWDED_CPU_TARGET_PERCENT = 10.0
STEADY_CPU_TARGET_PERCENT = 5.0
IDLE_TARGET_PERCENT = 2.0
PLACEMENT_TARGETS = {  # placements a second on 10,000 container instances
    "spread-zone": 100_000,
    "binpack-memory": 100_000,
    "member-of": 100_000,
    "single": 20_000,
    "full": 5_000,
}
SERVER_TARGET_MIB = 120.0
STORM_TARGET_S = 30.0  # for 1,000 agents, as the next two
HEARTBEAT_TARGET_PERCENT = 15.0
SOCKET_TARGET_KIB = 60.0


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One figure with what it is compared to."""

    what: str
    homeport: str
    beside: str
    target: str
    is_met: bool | None


def task_lines(found: TaskMeasurements) -> list[Line]:
    """Set the task measurements beside their targets."""
    ratio = found.service_s / found.engine_service_s
    extra_s = found.run_task_s - found.docker_run_s
    own_ms = found.service_cpu_s / SERVICE_TASKS * 1e3
    lines = [
        Line(
            what="RunTask to RUNNING",
            homeport=f"{found.run_task_s * 1e3:.0f} ms",
            beside=f"docker run -d {found.docker_run_s * 1e3:.0f} ms",
            target=f"at most {START_EXTRA_TARGET_S * 1e3:.0f} ms more",
            is_met=extra_s <= START_EXTRA_TARGET_S,
        ),
        Line(
            what=f"service of {SERVICE_TASKS} tasks RUNNING",
            homeport=f"{found.service_s:.2f} s ({own_ms:.0f} ms of CPU a task)",
            beside=f"Engine calls, 8 at a time {found.engine_service_s:.2f} s ({ratio:.2f} x)",
            target=f"at most {SERVICE_RATIO_TARGET} x",
            is_met=ratio <= SERVICE_RATIO_TARGET,
        ),
    ]
    if found.swarm_service_s is not None:
        lines.append(
            Line(
                what=f"service of {SERVICE_TASKS} tasks RUNNING",
                homeport=f"{found.service_s:.2f} s",
                beside=f"Docker Swarm {found.swarm_service_s:.2f} s",
                target="faster",
                is_met=found.service_s < found.swarm_service_s,
            )
        )
    return [
        *lines,
        Line(
            what="killed container's replacement RUNNING (median)",
            homeport=f"{found.heal_s:.3f} s",
            beside="",
            target=f"within {HEAL_TARGET_S} s",
            is_met=found.heal_s <= HEAL_TARGET_S,
        ),
        Line(
            what="idle: server, two agents, ten tasks",
            homeport=f"{found.idle_cpu_percent:.2f} % of a core",
            beside="",
            target=f"under {IDLE_TARGET_PERCENT} %",
            is_met=found.idle_cpu_percent < IDLE_TARGET_PERCENT,
        ),
        Line(
            what="server's resident memory",
            homeport=f"{found.server_mib:.0f} MiB",
            beside="",
            target=f"under {SERVER_TARGET_MIB:.0f} MiB",
            is_met=found.server_mib < SERVER_TARGET_MIB,
        ),
    ]


def rolling_lines(found: RollingMeasurement) -> list[Line]:
    """Set the rolling update beside Swarm's, and beside what minimumHealthyPercent promises."""
    theirs, ratio = "", found.ratio
    if ratio is not None:
        theirs = f"Docker Swarm {statistics.mean(found.swarm_s):.2f} s ({ratio:.2f} x)"
    engine_s = statistics.mean(found.engine_s)
    return [
        Line(
            what=f"rolling update of {found.tasks} tasks",
            homeport=f"{statistics.mean(found.homeport_s):.2f} s",
            beside=theirs,
            target=f"{ROLLING_RATIO_TARGET:.0f} x faster",
            is_met=None if ratio is None else ratio >= ROLLING_RATIO_TARGET,
        ),
        Line(
            what="the same by Engine calls alone",
            homeport=f"{found.engine_ratio:.2f} x as long",
            beside=f"Engine calls {engine_s:.2f} s",
            target="",
            is_met=None,
        ),
        Line(
            what="fewest containers that ran meanwhile",
            homeport=f"{found.homeport_fewest}",
            beside=f"Docker Swarm {found.swarm_fewest}" if found.swarm_s else "",
            target=f"never below {found.tasks}",
            is_met=found.homeport_fewest >= found.tasks,
        ),
    ]


def crowded_lines(found: CrowdedResult) -> list[Line]:
    """Set a healthy service beside a crash-looping one against itself alone."""
    extra_ms = found.beside_ms - found.alone_ms
    return [
        Line(
            what=f"replacement beside a crash-looping service of {found.tasks} (median)",
            homeport=f"{found.beside_ms:.0f} ms (95 %: {found.beside_p95_ms:.0f} ms)",
            beside=f"alone {found.alone_ms:.0f} ms (95 %: {found.alone_p95_ms:.0f} ms)",
            target="unchanged",
            is_met=extra_ms <= CROWDED_EXTRA_TARGET_MS,
        ),
        Line(
            what=f"server during {found.seconds:.0f} s of it, {found.crashes:,} crashes",
            homeport=f"{found.server_percent:.1f} % of a core",
            beside="",
            target=f"under {CROWDED_CPU_TARGET_PERCENT:.0f} %",
            is_met=found.server_percent < CROWDED_CPU_TARGET_PERCENT,
        ),
    ]


def steady_lines(found: SteadyResult) -> list[Line]:
    """Set many services at rest beside their target, and the change of one beside none."""
    most_percent = max(found.quiet_percent, found.telemetry_percent)
    return [
        Line(
            what=f"server, {found.services:,} services of {found.tasks_per_service} tasks at rest",
            homeport=f"{found.quiet_percent:.1f} % of a core, "
            f"{found.telemetry_percent:.1f} % with metrics of all tasks",
            beside="",
            target=f"under {STEADY_CPU_TARGET_PERCENT:.0f} %",
            is_met=most_percent < STEADY_CPU_TARGET_PERCENT,
        ),
        Line(
            what="a change of one of them, processor time",
            homeport=f"{found.change_beside_ms:.0f} ms",
            beside=f"without the others {found.change_alone_ms:.0f} ms",
            target="",
            is_met=None,
        ),
        Line(
            what=f"of its {found.change_commits:,} commits, those that touch another service",
            homeport=f"{found.others_commits}",
            beside="",
            target="none",
            is_met=found.others_commits == 0,
        ),
    ]


def api_lines(found: list[ApiMeasurement]) -> list[Line]:
    """Set the API measurements beside moto's and their targets."""
    lines = []
    for each in found:
        ratio, is_target = each.ratio, each.connections > 1
        theirs = "" if each.moto is None else f"moto {_rate(each.moto)}"
        if ratio is not None:
            of_each = ", ".join(f"{one:.1f}" for one in each.ratios)
            theirs += f" ({ratio:.1f} x" + (f" of {of_each})" if len(each.ratios) > 1 else ")")
        lines.append(
            Line(
                what=f"{each.operation}, {each.connections} connections",
                homeport=f"{_rate(each.homeport)}, median {each.homeport.load.median_ms:.2f} ms",
                beside=theirs,
                target=f"{API_RATIO_TARGET:.0f} x" if is_target else "",
                is_met=None if ratio is None or not is_target else ratio >= API_RATIO_TARGET,
            )
        )
    return lines


def _rate(found: Measured) -> str:
    return f"{found.load.calls_per_second:,.0f}/s at {found.cpu_us_per_call:,.0f} µs CPU"


def placement_lines(found: Sequence[PlacementMeasurement]) -> list[Line]:
    """Set the placement measurements beside a plain loop over all instances."""
    lines = []
    for each in found:
        target = PLACEMENT_TARGETS.get(each.mix)
        beside = ""
        if each.baseline_placements_per_second is not None and each.ratio is not None:
            rate = each.baseline_placements_per_second
            beside = f"plain loop {rate:,.0f}/s ({each.ratio:,.0f} x)"
        if each.moto_placements_per_second is not None and each.moto_ratio is not None:
            rate = each.moto_placements_per_second
            beside += f", moto {rate:,.0f}/s ({each.moto_ratio:,.0f} x with the records)"
        lines.append(
            Line(
                what=f"placements, {each.mix}, {each.instances:,} instances",
                homeport=f"{each.placements_per_second:,.0f}/s",
                beside=beside,
                target="" if target is None else f"{target:,}/s",
                is_met=None if target is None else each.placements_per_second >= target,
            )
        )
    return lines


def instance_lines(found: InstancesResult) -> list[Line]:
    """Set what connected agents cost beside its targets."""
    agents = f"{found.instances:,} agents"
    cpu = (
        f"{found.heartbeat_percent:.1f} % of a core, {found.telemetry_percent:.1f} % with telemetry"
    )
    memory = f"{found.resident_without_mib:.0f} MiB without, {found.resident_with_mib:.0f} MiB with"
    return [
        Line(
            what=f"{agents} back after SIGKILL of the server",
            homeport=f"{found.storm_seconds:.1f} s",
            beside=f"{found.restart_seconds:.1f} s of it until it listens",
            target=f"within {STORM_TARGET_S:.0f} s",
            is_met=found.storm_seconds <= STORM_TARGET_S,
        ),
        Line(
            what=f"heartbeats of {agents}",
            homeport=cpu,
            beside="",
            target=f"under {HEARTBEAT_TARGET_PERCENT:.0f} %",
            is_met=found.heartbeat_percent < HEARTBEAT_TARGET_PERCENT,
        ),
        Line(
            what=f"memory an idle connection, {found.sockets:,} of them",
            homeport=f"{found.kib_per_socket:.1f} KiB",
            beside=memory,
            target=f"under {SOCKET_TARGET_KIB:.0f} KiB",
            is_met=found.kib_per_socket < SOCKET_TARGET_KIB,
        ),
    ]


def print_lines(console: Console, lines: list[Line]) -> None:
    """Print the figures as a table."""
    table = Table(title="Homeport, measured")
    for heading in ("what", "Homeport", "beside", "target", ""):
        table.add_column(heading)
    for line in lines:
        mark = {None: "", True: "[green]met[/]", False: "[red]missed[/]"}[line.is_met]
        table.add_row(line.what, line.homeport, line.beside, line.target, mark)
    console.print(table)


def lines_as_json(lines: list[Line]) -> str:
    """Write the figures as a JSON array."""
    return msgspec.json.format(msgspec.json.encode(lines)).decode()
