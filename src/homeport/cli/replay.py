"""`homeport replay`: what would have happened to a real server's workload, had something differed.

The replay itself is `sim.replay`'s; here are its flags. How a report is shown lives in
`replay_view`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from homeport.cli.failure import CommandFailure

if TYPE_CHECKING:
    from homeport.sim.replay.what_if import WhatIf


def replay(
    journal: Annotated[
        Path,
        typer.Argument(
            help="A server's data directory or database file, or a copy of one; the server may "
            "run. It is only read.",
        ),
    ],
    *,
    cluster: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Which cluster, when the journal has several."),
    ] = None,
    strategy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[SERVICE=]TYPE:FIELD,...",
            help="Placement strategies, such as spread:attribute:ecs.availability-zone,"
            "binpack:memory; `none` takes them away. For every service, or for one by name.",
        ),
    ] = None,
    circuit_breaker: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[SERVICE=]on|off|rollback",
            help="The deployment circuit breaker: on, off, or on and rolling back.",
        ),
    ] = None,
    desired_count: Annotated[
        list[str] | None,
        typer.Option(metavar="[SERVICE=]N", help="How many tasks, whatever was asked for."),
    ] = None,
    minimum_healthy_percent: Annotated[
        list[str] | None, typer.Option(metavar="[SERVICE=]N", help="minimumHealthyPercent.")
    ] = None,
    maximum_percent: Annotated[
        list[str] | None, typer.Option(metavar="[SERVICE=]N", help="maximumPercent.")
    ] = None,
    instances: Annotated[
        int | None,
        typer.Option(min=0, help="So many container instances all the time, for the journal's."),
    ] = None,
    instance_type: Annotated[
        str | None,
        typer.Option(metavar="TYPE", help="The size of all container instances: m5.large."),
    ] = None,
    zones: Annotated[
        str | None,
        typer.Option(
            metavar="N|NAME,...",
            help="Spread all container instances over so many zones, or over these.",
        ),
    ] = None,
    remove_instance: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID", help="Leave a container instance out, by its id's beginning or EC2 id."
        ),
    ] = None,
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
    from homeport.cli.replay_view import print_report
    from homeport.sim.replay.lives import TooManyTasks
    from homeport.sim.replay.picture import draw_picture
    from homeport.sim.replay.report import replay as replay_journal
    from homeport.sim.replay.what_if import WhatIfError
    from homeport.sim.replay.workload import WorkloadError
    from homeport.storage.errors import StorageError

    if plot is not None and plot.suffix != ".svg":
        raise CommandFailure(f"--plot draws SVG: name a file that ends in .svg, not {plot.name}")
    try:
        what_if = _read_options(
            {
                "strategy": strategy or (),
                "circuit_breaker": circuit_breaker or (),
                "desired_count": desired_count or (),
                "minimum_healthy_percent": minimum_healthy_percent or (),
                "maximum_percent": maximum_percent or (),
            },
            fleet={
                "instances": instances,
                "instance_type": instance_type,
                "removed_instances": tuple(remove_instance or ()),
            },
            zones=zones,
        )
        report = replay_journal(journal, cluster=cluster, what_if=what_if, seed=seed)
    except (StorageError, WorkloadError, WhatIfError, TooManyTasks) as error:
        raise CommandFailure(str(error)) from error
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


def _read_options(
    of_services: dict[str, Sequence[str]], *, fleet: dict[str, object], zones: str | None
) -> "WhatIf":
    """Turn options into changes; raises WhatIfError for one that can't be read."""
    from homeport.sim.replay.what_if import (
        ServiceWish,
        WhatIf,
        parse_breaker,
        parse_count,
        parse_for_services,
        parse_percent,
        parse_strategy,
        parse_zones,
    )

    parsers = {
        "strategy": parse_strategy,
        "circuit_breaker": parse_breaker,
        "desired_count": parse_count,
        "minimum_healthy_percent": parse_percent,
        "maximum_percent": parse_percent,
    }
    every, named = ServiceWish(), dict[str, ServiceWish]()
    for member, texts in of_services.items():
        wish, wishes = parse_for_services(texts, member, parsers[member])
        every = wish.over(every)
        for name, each in wishes.items():
            named[name] = each.over(named.get(name, ServiceWish()))
    return msgspec.convert(
        {
            **fleet,
            "every_service": every,
            "services": named,
            "zones": () if zones is None else parse_zones(zones),
        },
        WhatIf,
    )
