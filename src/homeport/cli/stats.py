"""`homeport stats`: CPU and memory of a cluster, service, container instance or task over time."""

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer

from homeport.cli.api_client import ApiClient, ApiRefusal
from homeport.cli.failure import CommandFailure
from homeport.cli.server_options import DEFAULT_CLUSTER, Cluster, Endpoint, Region, make_client
from homeport.cli.settings_flags import ConfigFile

PARTS = ("total", "task", "container")
MINUTES_MAX = 180
SECONDS_PER_MINUTE = 60
TASK_ID_CHARS = 12
COURSE_CHARS = 30
BARS = "▁▂▃▄▅▆▇█"

Point = Mapping[str, Any]


def stats(
    resource: Annotated[
        str | None,
        typer.Argument(
            help="A service's name, the beginning of a task's or instance's id, or an ARN; "
            "without it the whole cluster."
        ),
    ] = None,
    *,
    part: Annotated[
        str, typer.Option(help="A line for the total, each task or each container.")
    ] = "task",
    minutes: Annotated[
        int, typer.Option(min=1, max=MINUTES_MAX, help="How far to look back.")
    ] = 10,
    period: Annotated[
        int, typer.Option(min=20, max=10_800, help="Seconds of one point.")
    ] = SECONDS_PER_MINUTE,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object with every point.")
    ] = False,
    cluster: Cluster = DEFAULT_CLUSTER,
    endpoint: Endpoint = None,
    region: Region = None,
    config: ConfigFile = None,
) -> None:
    """Show the CPU and memory of tasks, as agents published them.

    CPU is in percent of a core, memory in MiB. Samples come every 20 s and are kept for three
    hours.
    """
    if part not in PARTS:
        raise CommandFailure(f"--part must be one of {', '.join(PARTS)}")
    now_s = time.time()
    asked = {
        "cluster": cluster,
        "part": part.upper(),
        "startTime": now_s - minutes * SECONDS_PER_MINUTE,
        "endTime": now_s,
        "periodSeconds": period,
        **({} if resource is None else {"resource": resource}),
    }
    client = make_client(endpoint, region, config)
    try:
        found = _read_all(client, asked)
    except ApiRefusal as refusal:
        raise CommandFailure(str(refusal)) from None
    if as_json:
        print(json.dumps(found, indent=2))
        return
    _print_table(found)


def _read_all(client: ApiClient, asked: Mapping[str, Any]) -> dict[str, Any]:
    points: list[Point] = []
    token = None
    while True:
        page = client.call_homeport("ListMetrics", {**asked, "nextToken": token})
        points += page.pop("points")
        token = page.pop("nextToken", None)
        if token is None:
            return {**page, "points": points}


def _print_table(found: Mapping[str, Any]) -> None:
    from rich.table import Table

    from homeport.cli.overview import make_console

    console = make_console()
    if not found["points"]:
        console.print(f"no metrics of {found['resourceArn']} in this time")
        return
    table = Table(title=found["resourceArn"])
    table.add_column("whose")
    for heading in ("CPU % now", "average", "maximum", "MiB now", "average", "maximum"):
        table.add_column(heading, justify="right")
    table.add_column("CPU over time")
    for row in rows_of(found["points"]):
        table.add_row(*row)
    console.print(table)


def rows_of(points: Iterable[Point]) -> Iterator[tuple[str, ...]]:
    """A row for each total, task or container: now, average and maximum, and the CPU's course."""
    parts: dict[tuple[str, str], list[Point]] = {}
    for point in points:
        key = (point.get("taskArn", ""), point.get("containerName", ""))
        parts.setdefault(key, []).append(point)
    for (task_arn, container), of_part in sorted(parts.items()):
        task = task_arn.rpartition("/")[2][:TASK_ID_CHARS]
        name = " ".join(word for word in (task, container) if word)
        cpu = _known(of_part, "cpuAverage")
        yield (
            name or f"all, {of_part[-1]['tasks']} tasks now",
            *_figures(cpu, _known(of_part, "cpuMaximum")),
            *_figures(_known(of_part, "memoryAverage"), _known(of_part, "memoryMaximum")),
            draw_course(cpu[-COURSE_CHARS:]),
        )


def draw_course(values: Sequence[float]) -> str:
    """Bars as high as the values, the highest of which is full."""
    highest = max(values, default=0.0)
    if highest <= 0:
        return BARS[0] * len(values)
    return "".join(BARS[round(value / highest * (len(BARS) - 1))] for value in values)


def _known(points: Iterable[Point], member: str) -> list[float]:
    return [point[member] for point in points if point.get(member) is not None]


def _figures(averages: Sequence[float], maxima: Sequence[float]) -> tuple[str, str, str]:
    if not averages:
        return "-", "-", "-"
    mean = sum(averages) / len(averages)
    return f"{averages[-1]:.1f}", f"{mean:.1f}", f"{max(maxima, default=0.0):.1f}"
