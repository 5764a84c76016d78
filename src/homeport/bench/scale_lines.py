"""The measurements of scale as a table's lines, each beside its target (issue 6)."""

from collections.abc import Iterator

from homeport.bench.commits import CommitCosts
from homeport.bench.fleet import FleetResult
from homeport.bench.report import Line
from homeport.bench.restart import RestartResult
from homeport.sim.scale import ScaleReport

RUNNING_TARGET_PER_SECOND = 1_500
SCHEDULED_TARGET_PER_SECOND = 3_750
SCALE_TARGET_S = 300.0
BYTES_PER_TASK_TARGET = 2_048
LAST_TO_FIRST_TARGET = 0.8
RESTART_TARGET_S = 5.0
MS_PER_S = 1_000
GROWTH_TARGET = 1.25  # from the smallest world to the largest: as good as flat


def fleet_lines(found: FleetResult) -> list[Line]:
    """Set what the fleet measured beside its targets, then how long tasks took to RUNNING."""
    of = f"{found.tasks:,} tasks on {found.instances:,} instances"
    return [
        Line(
            what=f"{of}: scheduled",
            homeport=f"{found.scheduled_per_second:,.0f}/s",
            beside=f"all after {found.scheduled_seconds:.1f} s",
            target=f"{SCHEDULED_TARGET_PER_SECOND:,}/s",
            is_met=found.scheduled_per_second >= SCHEDULED_TARGET_PER_SECOND,
        ),
        Line(
            what=f"{of}: RUNNING",
            homeport=f"{found.running_per_second:,.0f}/s",
            beside=f"all after {found.seconds:.1f} s",
            target=f"{RUNNING_TARGET_PER_SECOND:,}/s",
            is_met=found.running_per_second >= RUNNING_TARGET_PER_SECOND,
        ),
        _plain("agents connected", f"{found.connect_seconds:.1f} s"),
        _plain(
            "server's processor time",
            f"{found.server_cpu_seconds:.1f} s, {found.server_cpu_us_per_task:.0f} µs a task",
        ),
        _plain("server's most memory", f"{found.server_peak_rss_mib:.0f} MiB"),
        _plain(
            "CreateService to RUNNING",
            f"median {found.latency_median_ms / MS_PER_S:.1f} s, "
            f"99 in 100 within {found.latency_p99_ms / MS_PER_S:.1f} s",
        ),
        _plain(
            "a report's acknowledgement",
            f"median {found.report_median_ms:,.0f} ms, "
            f"99 in 100 within {found.report_p99_ms:,.0f} ms",
        ),
        *_latency_lines(found.latency_ms),
    ]


def scale_lines(found: ScaleReport) -> list[Line]:
    """Set a run of the control plane alone beside its targets, then its rate part by part."""
    part = found.tasks // len(found.rates_per_second)
    return [
        Line(
            what=f"{found.tasks:,} tasks, {found.services:,} services, "
            f"{found.instances:,} instances",
            homeport=f"{found.seconds:.1f} s",
            beside=f"{found.cpu_seconds:.1f} s of processor time",
            target=f"under {SCALE_TARGET_S:.0f} s",
            is_met=found.seconds < SCALE_TARGET_S,
        ),
        Line(
            what="memory of a task",
            homeport=f"{found.bytes_per_task:,.0f} B",
            beside=f"{found.peak_rss_mib:,.0f} MiB in all",
            target=f"under {BYTES_PER_TASK_TARGET:,} B",
            is_met=found.bytes_per_task < BYTES_PER_TASK_TARGET,
        ),
        Line(
            what="rate of the last part by the first's",
            homeport=f"{found.last_to_first:.2f}",
            beside="",
            target=f"at least {LAST_TO_FIRST_TARGET}",
            is_met=found.last_to_first >= LAST_TO_FIRST_TARGET,
        ),
        *(
            _plain(f"tasks {number * part:,} to {(number + 1) * part:,}", f"{rate:,.0f}/s of CPU")
            for number, rate in enumerate(found.rates_per_second)
        ),
    ]


def commit_lines(found: CommitCosts) -> list[Line]:
    """Give each change a line: its processor time by the number of tasks beside it."""
    lines = []
    for change, growth in found.growth.items():
        costs = [cost for cost in found.costs if cost.change == change]
        at_sizes = ", ".join(f"{cost.cpu_us:.0f} µs at {cost.tasks:,}" for cost in costs)
        lines.append(
            Line(
                what=change,
                homeport=f"{growth:.2f} x",
                beside=at_sizes,
                target=f"at most {GROWTH_TARGET} x",
                is_met=growth <= GROWTH_TARGET,
            )
        )
    on_disk = found.on_disk_cpu_us
    at_sizes = ", ".join(f"{cpu_us:.0f} µs at {tasks:,}" for tasks, cpu_us in on_disk.items())
    ratio = on_disk[max(on_disk)] / on_disk[min(on_disk)]
    return [
        *lines,
        Line(
            what="one task changed, on disk: journal and records",
            homeport=f"{ratio:.2f} x",
            beside=at_sizes,
            target="",
            is_met=None,
        ),
    ]


def restart_lines(found: RestartResult) -> list[Line]:
    """Set a restart beside its target."""
    each = ", ".join(f"{seconds:.2f}" for seconds in found.seconds_to_answer)
    return [
        Line(
            what=f"killed with {found.tasks:,} tasks, to its first answer",
            homeport=f"{found.median_seconds:.2f} s",
            beside=f"each time: {each} s",
            target=f"under {RESTART_TARGET_S:.0f} s",
            is_met=found.median_seconds < RESTART_TARGET_S,
        ),
        _plain("what it read", f"{found.data_mib:.0f} MiB"),
        _plain("its most memory", f"{found.server_peak_rss_mib:.0f} MiB"),
    ]


def _latency_lines(latency_ms: dict[str, int]) -> Iterator[Line]:
    """Say how many tasks were RUNNING within each bound; bounds that nobody met are left out."""
    for bound, count in latency_ms.items():
        if count:
            within = "later" if bound == "more" else f"within {int(bound) / MS_PER_S:g} s"
            yield _plain(f"RUNNING {within}, not before", f"{count:,} tasks")


def _plain(what: str, homeport: str) -> Line:
    return Line(what=what, homeport=homeport, beside="", target="", is_met=None)
