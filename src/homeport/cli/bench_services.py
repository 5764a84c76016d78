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
    """Measure a rolling update of real tasks, beside Docker Swarm's on the same Engine."""
    import uvloop

    from homeport.bench.report import rolling_lines

    found = uvloop.run(measure_rolling_here(tasks, rounds))
    _show(rolling_lines(found), as_json=as_json)


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
