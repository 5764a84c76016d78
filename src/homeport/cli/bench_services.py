"""`homeport bench rolling` and `homeport bench services`: services under change and under load."""

import sys
import tempfile
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from homeport.bench.report import Line
    from homeport.bench.rolling import RollingMeasurement

ROLLING_TASKS = 50
ROLLING_ROUNDS = 2
CROWD_TASKS = 100
CROWD_INSTANCES = 10
KILLS_PER_SECOND = 2
MANY_SERVICES = 1_000
MANY_INSTANCES = 100
TASKS_EACH = 10
WATCH_SECONDS = 30.0

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def rolling(
    as_json: AsJson = False,
    tasks: Annotated[
        int, typer.Option(min=1, max=500, help="Tasks of the service.")
    ] = ROLLING_TASKS,
    rounds: Annotated[
        int, typer.Option(min=1, max=20, help="Updates of each, in turns.")
    ] = ROLLING_ROUNDS,
) -> None:
    """Measure a rolling update of real tasks, beside Swarm's."""
    import uvloop

    from homeport.bench.report import rolling_lines

    found = uvloop.run(measure_rolling_here(tasks, rounds))
    _show(rolling_lines(found), as_json=as_json)


def services(
    as_json: AsJson = False,
    tasks: Annotated[
        int, typer.Option(min=1, max=1_000, help="Tasks of the healthy and the crashing service.")
    ] = CROWD_TASKS,
    many: Annotated[
        int, typer.Option(min=2, max=10_000, help="Services at rest, of ten tasks each.")
    ] = MANY_SERVICES,
    seconds: Annotated[
        float, typer.Option(min=1, max=3_600, help="Seconds to watch each.")
    ] = WATCH_SECONDS,
) -> None:
    """Measure services: beside a crashing one, and many at rest."""
    import uvloop

    _show(uvloop.run(measure_services_here(tasks, many, seconds)), as_json=as_json)


async def measure_services_here(
    tasks: int = CROWD_TASKS, many: int = MANY_SERVICES, seconds: float = WATCH_SECONDS
) -> "list[Line]":
    """Measure services beside each other with played agents, with progress on stderr."""
    from rich.console import Console

    from homeport.bench.report import crowded_lines, steady_lines
    from homeport.bench.services import measure_crowded, measure_steady

    say = Console(stderr=True).print
    crowded = await measure_crowded(
        tasks=tasks,
        instances=min(tasks, CROWD_INSTANCES),
        kills=max(1, round(seconds * KILLS_PER_SECOND)),
        seconds=seconds,
        progress=say,
    )
    steady = await measure_steady(
        services=many,
        tasks=TASKS_EACH,
        instances=min(many, MANY_INSTANCES),
        seconds=seconds,
        progress=say,
    )
    return [*crowded_lines(crowded), *steady_lines(steady)]


async def measure_rolling_here(
    tasks: int = ROLLING_TASKS, rounds: int = ROLLING_ROUNDS
) -> "RollingMeasurement":
    """Measure rolling updates on this machine's Engine, with progress on stderr."""
    from rich.console import Console

    from homeport.bench.engine_peer import docker_engine
    from homeport.bench.rolling import measure_rolling

    say = Console(stderr=True).print
    with tempfile.TemporaryDirectory(prefix="homeport-bench-") as folder:
        async with docker_engine() as docker:
            return await measure_rolling(
                docker, folder=folder, tasks=tasks, rounds=rounds, progress=say
            )


def _show(lines: "Sequence[Line]", *, as_json: bool) -> None:
    from rich.console import Console

    from homeport.bench.report import lines_as_json, print_lines

    if as_json:
        sys.stdout.write(lines_as_json([*lines]) + "\n")
    else:
        print_lines(Console(), [*lines])
