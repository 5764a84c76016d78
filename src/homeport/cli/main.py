"""The `homeport` program: its commands, and the one place where failures become exit statuses.

Commands import what they need when they run, so that `homeport --help` is quick and the server
does not carry the demo's libraries in its memory. What a command does lives in its own module.
"""

import sys
from typing import Annotated

import typer

import homeport
from homeport.cli import (
    agent,
    bench,
    demo,
    deploy,
    events,
    history,
    instances,
    logs_command,
    plan,
    replay,
    server,
    simulate,
    stats,
    status,
    up,
    why,
)
from homeport.cli.failure import CommandFailure
from homeport.config import ConfigError

EXIT_FAILURE = 1
EXIT_INTERRUPTED = 130

SUMMARY = "Amazon ECS that you run yourself: the same API and agent protocol, real containers."

app = typer.Typer(
    name="homeport",
    help=SUMMARY,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    # Plain help: no flag name is cut off, and Rich is not imported for it.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("up")(up.up)
app.command("server")(server.server)
app.add_typer(agent.app, name="agent")
app.command("status")(status.status)
app.command("deploy")(deploy.deploy)
app.command("events")(events.events)
app.command("history")(history.history)
app.command("why")(why.why)
app.command("plan")(plan.plan)
app.command("stats")(stats.stats)
app.command("logs")(logs_command.logs)
app.command("demo")(demo.demo)
app.command("simulate")(simulate.simulate)
app.command("replay")(replay.replay)
app.add_typer(instances.app, name="instances")
app.add_typer(bench.app, name="bench")


def _print_version(*, is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"homeport {homeport.__version__}")
        raise typer.Exit


@app.callback(help=SUMMARY)
def _options(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the version.",
            is_eager=True,
            callback=lambda value: _print_version(is_wanted=value),
        ),
    ] = False,
) -> None:
    """Amazon ECS that you run yourself."""


def main() -> None:
    """Run the command named by the arguments; failures it foresaw are one line on stderr."""
    try:
        app()
    except (CommandFailure, ConfigError) as failure:
        print(f"homeport: error: {failure}", file=sys.stderr)
        sys.exit(EXIT_FAILURE)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
