"""`homeport bench fleet|scale|commits|restart`: how much of everything Homeport can carry.

What is measured lives in `homeport.bench` and `homeport.sim.scale`.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    import msgspec

    from homeport.bench.report import Line

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Profile = Annotated[
    Path | None,
    typer.Option(
        "--profile",
        help="Sample where processor time goes; flame graph and stacks go into this folder.",
        file_okay=False,
    ),
]
Instances = Annotated[int, typer.Option(min=1, max=5_000, help="Agents to play.")]

Result = TypeVar("Result", bound="msgspec.Struct")


def fleet(
    *,
    as_json: AsJson = False,
    instances: Instances = 100,
    tasks: Annotated[int, typer.Option(min=1, max=1_000_000, help="Tasks to run.")] = 10_000,
    profile: Profile = None,
) -> None:
    """Measure a played fleet over real sockets on a real server."""
    import uvloop

    from homeport.bench.fleet import measure_fleet
    from homeport.bench.scale_lines import fleet_lines

    result = uvloop.run(measure_fleet(instances, tasks, _progress(), profile=profile))
    _show(result, fleet_lines, as_json=as_json)


def scale(
    *,
    as_json: AsJson = False,
    instances: Annotated[int, typer.Option(min=1, max=10_000, help="Container instances.")] = 5_000,
    services: Annotated[int, typer.Option(min=1, max=10_000, help="Services.")] = 1_000,
    tasks: Annotated[int, typer.Option(min=1, max=5_000_000, help="Tasks.")] = 1_000_000,
    profile: Profile = None,
) -> None:
    """Measure the control plane alone: a million tasks to RUNNING."""
    from homeport.bench.flame_graph import profiled
    from homeport.bench.scale_lines import scale_lines
    from homeport.sim.scale import ScaleRun

    run = ScaleRun(instances=instances, services=services, tasks=tasks)
    with profiled(profile, "scale", f"{tasks:,} tasks in one process"):
        result = run.run(_progress())
    _show(result, scale_lines, as_json=as_json)


def commits(
    *,
    as_json: AsJson = False,
    instances: Annotated[int, typer.Option(min=1, max=10_000, help="Container instances.")] = 5_000,
    tasks: Annotated[
        list[int] | None,
        typer.Option(min=1, max=5_000_000, help="Tasks of a world; give it once a world."),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, max=10_000, help="How often each change.")] = 200,
) -> None:
    """Measure what one change costs beside 1,000 to 1,000,000 tasks."""
    from homeport.bench.commits import SIZES, measure_commits
    from homeport.bench.scale_lines import commit_lines

    result = measure_commits(
        _progress(), sizes=tasks or SIZES, instances=instances, rounds=rounds
    )
    _show(result, commit_lines, as_json=as_json)


def restart(
    *,
    as_json: AsJson = False,
    instances: Instances = 500,
    tasks: Annotated[int, typer.Option(min=1, max=1_000_000, help="Tasks to run.")] = 100_000,
) -> None:
    """Measure how soon a server that was killed answers again."""
    import uvloop

    from homeport.bench.restart import measure_restart
    from homeport.bench.scale_lines import restart_lines

    result = uvloop.run(measure_restart(instances, tasks, _progress()))
    _show(result, restart_lines, as_json=as_json)


def _progress() -> Callable[[str], None]:
    from rich.console import Console

    return Console(stderr=True).print


def _show(result: Result, lines: Callable[[Result], "list[Line]"], *, as_json: bool) -> None:
    import msgspec
    from rich.console import Console

    from homeport.bench.report import print_lines

    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(result)).decode() + "\n")
    else:
        print_lines(Console(), lines(result))
