"""`homeport bench`: measurements beside their peers; what is measured lives in `homeport.bench`."""

import sys
import tempfile
from typing import Annotated

import typer

app = typer.Typer(
    help="Measure Homeport beside moto and plain Docker; all of it without a command.",
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
    """Measure everything: the API beside moto, tasks beside plain Docker and Swarm."""
    if context.invoked_subcommand is None:
        _report(as_json=as_json, seconds=seconds, with_tasks=True, with_api=True)


@app.command("api")
def api(as_json: AsJson = False, seconds: Seconds = DEFAULT_SECONDS) -> None:
    """Measure calls a second, beside moto's server."""
    _report(as_json=as_json, seconds=seconds, with_tasks=False, with_api=True)


@app.command("tasks")
def tasks(as_json: AsJson = False) -> None:
    """Measure how tasks start and heal, beside plain Docker and Swarm."""
    _report(as_json=as_json, seconds=DEFAULT_SECONDS, with_tasks=True, with_api=False)


def _report(*, as_json: bool, seconds: float, with_tasks: bool, with_api: bool) -> None:
    import uvloop
    from rich.console import Console

    from homeport.bench.report import Line, api_lines, lines_as_json, print_lines, task_lines

    progress = Console(stderr=True)

    async def measure() -> list[Line]:
        lines: list[Line] = []
        if with_tasks:
            from homeport.bench.engine_peer import docker_engine
            from homeport.bench.tasks import measure_tasks

            with tempfile.TemporaryDirectory(prefix="homeport-bench-") as folder:
                async with docker_engine() as docker:
                    lines += task_lines(await measure_tasks(docker, folder, progress.print))
        if with_api:
            from homeport.bench.api import measure_api

            lines += api_lines(await measure_api(seconds, progress.print))
        return lines

    lines = uvloop.run(measure())
    if as_json:
        sys.stdout.write(lines_as_json(lines) + "\n")
    else:
        print_lines(Console(), lines)
