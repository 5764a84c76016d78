"""`homeport replay`: what would have happened to a real server's workload, had something differed.

The replay itself is `sim.replay`'s; here are its flags. How a report is shown lives in
`replay_view`.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from homeport.cli.failure import CommandFailure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from homeport.sim.replay.report import Report
    from homeport.sim.replay.what_if import WhatIf

Journal = Annotated[
    Path,
    typer.Argument(
        help="A server's data directory or database file, or a copy of one; the server may run. "
        "It is only read.",
    ),
]
ClusterName = Annotated[
    str | None, typer.Option(metavar="NAME", help="Which cluster, when the journal has several.")
]
Strategy = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[SERVICE=]TYPE:FIELD,...",
        help="Placement strategies, such as spread:attribute:ecs.availability-zone,"
        "binpack:memory; `none` takes them away. For every service, or for one by name.",
    ),
]
CircuitBreaker = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[SERVICE=]on|off|rollback",
        help="The deployment circuit breaker: on, off, or on and rolling back.",
    ),
]
DesiredCount = Annotated[
    list[str] | None,
    typer.Option(metavar="[SERVICE=]N", help="How many tasks, whatever was asked for."),
]
MinimumHealthyPercent = Annotated[
    list[str] | None, typer.Option(metavar="[SERVICE=]N", help="minimumHealthyPercent.")
]
MaximumPercent = Annotated[
    list[str] | None, typer.Option(metavar="[SERVICE=]N", help="maximumPercent.")
]
Instances = Annotated[
    int | None,
    typer.Option(min=0, help="So many container instances all the time, for the journal's."),
]
InstanceType = Annotated[
    str | None,
    typer.Option(metavar="TYPE", help="The size of all container instances: m5.large."),
]
Zones = Annotated[
    str | None,
    typer.Option(
        metavar="N|NAME,...",
        help="Spread all container instances over so many zones, or over these.",
    ),
]
RemoveInstance = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ID", help="Leave a container instance out, by its id's beginning or EC2 id."
    ),
]


def replay(
    journal: Journal,
    *,
    cluster: ClusterName = None,
    strategy: Strategy = None,
    circuit_breaker: CircuitBreaker = None,
    desired_count: DesiredCount = None,
    minimum_healthy_percent: MinimumHealthyPercent = None,
    maximum_percent: MaximumPercent = None,
    instances: Instances = None,
    instance_type: InstanceType = None,
    zones: Zones = None,
    remove_instance: RemoveInstance = None,
    seed: Annotated[int, typer.Option(min=0, help="The seed of what has to be drawn.")] = 0,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.svg", help="Draw both worlds over time.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object, with the series.")
    ] = False,
) -> None:
    """Replay a real journal in the simulator: before against after.

    Without any change it is the check of the model: the replay should agree with the journal.
    """
    # Only who replays pays for the engine and the simulator.
    from homeport.sim.replay.report import replay as replay_journal

    if plot is not None and plot.suffix != ".svg":
        raise CommandFailure(f"--plot draws SVG: name a file that ends in .svg, not {plot.name}")
    of_services = {
        "strategy": strategy,
        "circuit_breaker": circuit_breaker,
        "desired_count": desired_count,
        "minimum_healthy_percent": minimum_healthy_percent,
        "maximum_percent": maximum_percent,
    }
    fleet = {
        "instances": instances,
        "instance_type": instance_type,
        "removed_instances": tuple(remove_instance or ()),
    }
    report = _try(
        lambda: replay_journal(
            journal, cluster=cluster, what_if=_what_if(of_services, fleet, zones), seed=seed
        )
    )
    _show(report, plot, as_json=as_json)


def _try(run: "Callable[[], Report]") -> "Report":
    """Run a replay; what it foresaw as wrong becomes the command's one line."""
    from homeport.sim.replay.lives import TooManyTasks
    from homeport.sim.replay.what_if import WhatIfError
    from homeport.sim.replay.workload import WorkloadError
    from homeport.storage.errors import StorageError

    try:
        return run()
    except (StorageError, WorkloadError, WhatIfError, TooManyTasks) as error:
        raise CommandFailure(str(error)) from error


def _what_if(
    of_services: "Mapping[str, list[str] | None]",
    fleet: "Mapping[str, object]",
    zones: str | None,
) -> "WhatIf":
    """Turn options into changes; raises WhatIfError for one that can't be read."""
    from homeport.sim.replay import what_if

    parsers: dict[str, Callable[[str], object]] = {
        "strategy": what_if.parse_strategy,
        "circuit_breaker": what_if.parse_breaker,
        "desired_count": what_if.parse_count,
        "minimum_healthy_percent": what_if.parse_minimum_healthy_percent,
        "maximum_percent": what_if.parse_maximum_percent,
    }
    every, named = what_if.ServiceWish(), dict[str, what_if.ServiceWish]()
    for member, texts in of_services.items():
        given: Sequence[str] = texts or ()
        wish, wishes = what_if.parse_for_services(given, member, parsers[member])
        every = wish.over(every)
        for name, each in wishes.items():
            named[name] = each.over(named.get(name, what_if.ServiceWish()))
    changes = {
        **fleet,
        "every_service": every,
        "services": named,
        "zones": () if zones is None else what_if.parse_zones(zones),
    }
    return msgspec.convert(changes, what_if.WhatIf)


def _show(report: "Report", plot: Path | None, *, as_json: bool) -> None:
    from homeport.cli.replay_view import print_report
    from homeport.sim.replay.picture import draw_picture

    if plot is not None:
        try:
            plot.write_text(draw_picture(report), encoding="utf-8")
        except OSError as error:
            raise CommandFailure(f"cannot write {plot}: {error.strerror}") from error
    if as_json:
        typer.echo(msgspec.json.encode(report).decode())
        return
    print_report(report)
    if plot is not None:
        typer.echo(f"drawn: {plot}")
