"""`homeport bench`: measurements beside their peers; what is measured lives in `homeport.bench`."""

import sys
import tempfile
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from homeport.cli import bench_scale, bench_services
from homeport.cli.bench_scale import Profile

if TYPE_CHECKING:
    from homeport.bench.report import Line

app = typer.Typer(
    help="Measure Homeport beside moto and plain Docker.",
    invoke_without_command=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Seconds = Annotated[float, typer.Option(min=0.1, help="Seconds of load per figure.")]

DEFAULT_SECONDS = 4.0


@app.callback()
def everything(
    context: typer.Context, as_json: AsJson = False, seconds: Seconds = DEFAULT_SECONDS
) -> None:
    """Measure Homeport beside moto and plain Docker.

    Without a command: tasks, the API, placement and instances.
    """
    if context.invoked_subcommand is None:
        _report(as_json=as_json, seconds=seconds, with_everything=True)


@app.command("api")
def api(as_json: AsJson = False, seconds: Seconds = DEFAULT_SECONDS) -> None:
    """Measure calls a second, beside moto's server."""
    _report(as_json=as_json, seconds=seconds, with_api=True)


@app.command("tasks")
def tasks(as_json: AsJson = False) -> None:
    """Measure how tasks start and heal, beside Docker and Swarm."""
    _report(as_json=as_json, with_tasks=True)


@app.command("instances")
def instances(
    as_json: AsJson = False,
    instances: Annotated[
        int, typer.Option(min=1, max=4_000, help="Agents to connect, with two sockets each.")
    ] = 1_000,
    seconds: Annotated[
        float, typer.Option(min=1, help="Seconds of heartbeats, and as many with telemetry.")
    ] = 60.0,
) -> None:
    """Measure what agents cost, and how they survive a SIGKILL."""
    import msgspec
    import uvloop
    from rich.console import Console

    from homeport.bench.instances import measure_instances
    from homeport.bench.report import instance_lines, print_lines

    progress = Console(stderr=True)
    result = uvloop.run(measure_instances(instances, progress.print, seconds=seconds))
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(result)).decode() + "\n")
    else:
        print_lines(Console(), instance_lines(result))


@app.command("placement")
def placement(
    *,
    as_json: AsJson = False,
    instances: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Container instances of the fleet.")
    ] = 10_000,
    tasks: Annotated[int, typer.Option(min=1, max=10_000_000, help="Tasks to place.")] = 100_000,
    mix: Annotated[
        str,
        typer.Option(
            help="spread-zone, binpack-memory, member-of, distinct, ports, single, full, churn; "
            "or all of them."
        ),
    ] = "spread-zone",
    with_baseline: Annotated[
        bool, typer.Option("--baseline/--no-baseline", help="Measure a plain loop beside it.")
    ] = True,
    with_memory: Annotated[
        bool, typer.Option("--memory", help="Weigh what the engine keeps, instead of timing it.")
    ] = False,
    profile: Profile = None,
) -> None:
    """Measure the placement engine alone, beside a plain loop."""
    import msgspec
    from rich.console import Console

    from homeport.bench.flame_graph import profiled
    from homeport.bench.placement import measure_memory, measure_placement
    from homeport.bench.placement_mixes import MIXES

    if mix != "all" and mix not in MIXES:
        raise typer.BadParameter(f"choose one of {', '.join(MIXES)} or all", param_hint="--mix")
    results: list[msgspec.Struct] = []
    for each in MIXES.values() if mix == "all" else (MIXES[mix],):
        if with_memory:
            results.append(measure_memory(each, instances=instances, tasks=tasks))
            continue
        with profiled(profile, f"placement-{each.name}", f"bench placement, {each.name}"):
            results.append(
                measure_placement(
                    each, instances=instances, tasks=tasks, with_baseline=with_baseline
                )
            )
    if as_json:
        answer = results if mix == "all" else results[0]
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(answer)).decode() + "\n")
    else:
        for result in results:
            Console().print(msgspec.to_builtins(result))


app.command("rolling")(bench_services.rolling)
app.command("services")(bench_services.services)
app.command("fleet")(bench_scale.fleet)
app.command("scale")(bench_scale.scale)
app.command("commits")(bench_scale.commits)
app.command("restart")(bench_scale.restart)


def _report(
    *,
    as_json: bool,
    seconds: float = DEFAULT_SECONDS,
    with_tasks: bool = False,
    with_api: bool = False,
    with_everything: bool = False,
) -> None:
    import uvloop
    from rich.console import Console

    from homeport.bench.report import lines_as_json, print_lines

    show = Console(stderr=True).print

    async def measure() -> "list[Line]":
        lines: list[Line] = []
        if with_tasks or with_everything:
            lines += await _measure_tasks(show)
        if with_api or with_everything:
            lines += await _measure_api(seconds, show)
        if with_everything:
            lines += await _measure_the_rest(show)
        return lines

    lines = uvloop.run(measure())
    if with_everything:
        lines += _measure_placement(show)
    if as_json:
        sys.stdout.write(lines_as_json(lines) + "\n")
    else:
        print_lines(Console(), lines)


async def _measure_tasks(show: Callable[[str], None]) -> "list[Line]":
    from homeport.bench.engine_peer import docker_engine
    from homeport.bench.report import task_lines
    from homeport.bench.tasks import measure_tasks

    with tempfile.TemporaryDirectory(prefix="homeport-bench-") as folder:
        async with docker_engine() as docker:
            return task_lines(await measure_tasks(docker, folder, show))


async def _measure_api(seconds: float, show: Callable[[str], None]) -> "list[Line]":
    from homeport.bench.api import measure_api
    from homeport.bench.report import api_lines

    return api_lines(await measure_api(seconds, show))


async def _measure_the_rest(show: Callable[[str], None]) -> "list[Line]":
    from homeport.bench.instances import DEFAULT_INSTANCES, measure_instances
    from homeport.bench.report import instance_lines, rolling_lines

    return [
        *rolling_lines(await bench_services.measure_rolling_here()),
        *await bench_services.measure_services_here(),
        *instance_lines(await measure_instances(DEFAULT_INSTANCES, show)),
    ]


def _measure_placement(show: Callable[[str], None]) -> "list[Line]":
    from homeport.bench.placement import DEFAULT_INSTANCES, DEFAULT_TASKS, measure_placement
    from homeport.bench.placement_mixes import MIXES
    from homeport.bench.report import placement_lines

    lines: list[Line] = []
    for mix in MIXES.values():
        show(f"placement: {mix.name}")
        found = measure_placement(
            mix, instances=DEFAULT_INSTANCES, tasks=DEFAULT_TASKS, with_baseline=True
        )
        lines += placement_lines([found])
    return lines
