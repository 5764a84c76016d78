"""What `homeport replay` shows on a terminal: a table before and after, and plots of blocks."""

from collections.abc import Iterator
from datetime import datetime

from rich.console import Console
from rich.table import Table

from homeport.cli.overview import make_console
from homeport.sim.replay.report import DeploymentPair, Report, Side
from homeport.sim.replay.series import Series

BLOCKS = " ▁▂▃▄▅▆▇█"
PLOT_WIDTH_CHARS = 60
DEPLOYMENT_ROWS = 20
REFUSAL_ROWS = 5
NOTABLE_S = 1.0
NOTABLE_PART = 0.1
PLOTTED = (
    ("running", "running tasks"),
    ("memory_percent", "memory %"),
    ("zone_imbalance", "zone imbalance"),
)
_GAUGES = (
    ("running", "Running tasks", "{:.1f}"),
    ("cpu_percent", "CPU reserved", "{:.1f} %"),
    ("memory_percent", "Memory reserved", "{:.1f} %"),
    ("zone_imbalance", "Zone imbalance (most less fewest tasks)", "{:.1f}"),
    ("instances_used", "Container instances in use", "{:.1f}"),
    ("instances", "Container instances registered", "{:.1f}"),
    ("unplaced", "Tasks wanted, without a place", "{:.1f}"),
)


def print_report(report: Report) -> None:
    """Print a report for a person."""
    console = make_console()
    begins = datetime.fromtimestamp(report.begins_ms / 1_000).astimezone()
    seconds = (report.ends_ms - report.begins_ms) / 1_000
    console.print(
        f"{report.journal}: cluster {report.cluster}, commits {report.first_commit} to "
        f"{report.last_commit}, {seconds:.0f} s from {begins:%Y-%m-%d %H:%M:%S}",
        soft_wrap=True,
    )
    console.print(_figures(report))
    pairs = [pair for pair in report.deployments if _differs(pair)]
    if pairs:
        console.print(_deployments(pairs[:DEPLOYMENT_ROWS]))
    if len(pairs) > DEPLOYMENT_ROWS:
        console.print(f"and {len(pairs) - DEPLOYMENT_ROWS} more; --json has them")
    for line in plot_lines(report):
        console.print(line, soft_wrap=True)
    _print_notes(console, report)


def plot_lines(report: Report) -> Iterator[str]:
    """Write gauges over time as blocks; before and after share one scale."""
    for gauge, name in PLOTTED:
        before, after = report.before.series[gauge], report.after.series[gauge]
        most = max(*before.points, *after.points, 1e-9)
        yield f"{name:>15}  before {_blocks(before, most)} {before.peak:.0f} at most"
        yield f"{'':>15}  after  {_blocks(after, most)} {after.peak:.0f} at most"


def _blocks(series: Series, most: float) -> str:
    """Write a series in so many characters; what isn't zero is seen."""
    points, drawn = series.points, []
    for column in range(PLOT_WIDTH_CHARS):
        first = column * len(points) // PLOT_WIDTH_CHARS
        last = max(first + 1, (column + 1) * len(points) // PLOT_WIDTH_CHARS)
        part = points[first:last] or points[-1:]
        value = sum(part) / len(part)
        level = round(value / most * (len(BLOCKS) - 1))
        drawn.append(BLOCKS[max(level, 1) if value > 0 else 0])
    return "".join(drawn)


def _figures(report: Report) -> Table:
    table = Table(header_style="bold")
    for name, is_number in (
        ("", False),
        ("before: mean", True),
        ("peak", True),
        ("after: mean", True),
        ("peak", True),
    ):
        table.add_column(name, justify="right" if is_number else "left")
    for gauge, name, form in _GAUGES:
        pair = (report.before.series[gauge], report.after.series[gauge])
        table.add_row(name, *(form.format(x) for each in pair for x in (each.mean, each.peak)))
    table.add_section()
    for name, before, after in _totals(report.before, report.after):
        table.add_row(name, before, "", after, "")
    return table


def _totals(before: Side, after: Side) -> Iterator[tuple[str, str, str]]:
    sides = (before, after)

    def row(name: str, *texts: str) -> tuple[str, str, str]:
        return (name, texts[0], texts[1])

    unplaced = (f"{side.unplaced_task_seconds:.0f} s" for side in sides)
    yield row("Task-seconds without a place", *unplaced)
    yield row("Tasks created", *(str(side.tasks) for side in sides))
    for kind in sorted({*before.failures, *after.failures}):
        yield row(f"Tasks that {_verb(kind)}", *(str(s.failures.get(kind, 0)) for s in sides))
    completed = (f"{side.deployments_completed} of {side.deployments}" for side in sides)
    yield row("Deployments completed", *completed)
    yield row("Time to steady, mean", *(_seconds(side.steady_s_mean) for side in sides))
    yield row("Time to steady, longest", *(_seconds(side.steady_s_longest) for side in sides))


def _verb(kind: str) -> str:
    return f"were {kind}" if kind.startswith(("unhealthy", "lost")) else kind


def _deployments(pairs: list[DeploymentPair]) -> Table:
    table = Table(title="Deployments that differ", title_justify="left", header_style="bold")
    table.add_column("service")
    table.add_column("begun at", justify="right")
    for name in ("before", "after"):
        table.add_column(name)
        table.add_column("took", justify="right")
    for pair in pairs:
        table.add_row(
            pair.service,
            f"{pair.at_s:.0f} s",
            pair.before_status or "none",
            _seconds(pair.before_s),
            pair.after_status or "none",
            _seconds(pair.after_s),
        )
    return table


def _differs(pair: DeploymentPair) -> bool:
    """Whether a deployment ended otherwise, or took notably longer or shorter."""
    if pair.before_status != pair.after_status:
        return True
    before_s, after_s = pair.before_s or 0.0, pair.after_s or 0.0
    return abs(before_s - after_s) > max(NOTABLE_S, NOTABLE_PART * before_s)


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f} s"


def _print_notes(console: Console, report: Report) -> None:
    agreement = report.agreement
    if agreement is not None:
        console.print(
            "nothing was changed: running tasks differ from the journal by "
            f"{agreement.running_difference_mean:.2f} on average "
            f"({agreement.running_difference_percent:.1f} %), at the end by "
            f"{agreement.running_difference_at_end:+.0f}",
            soft_wrap=True,
        )
    if report.first_commit > 1:
        console.print(
            f"the journal begins at commit {report.first_commit}: what was there before is derived",
            soft_wrap=True,
        )
    for cause, count in sorted(report.left_out.items()):
        console.print(f"not replayed: {count} x {cause}", soft_wrap=True)
    for text, count in list(report.refused.items())[:REFUSAL_ROWS]:
        console.print(f"refused in the replay: {count} x {text}", soft_wrap=True, markup=False)
