"""`homeport plan`: where the next tasks would go, without starting any."""

import json
from typing import Annotated

import typer

from homeport.cli.api_client import ApiRefusal
from homeport.cli.failure import CommandFailure
from homeport.cli.server_options import DEFAULT_CLUSTER, Cluster, Endpoint, Region, make_client
from homeport.cli.settings_flags import ConfigFile

TASKS_MAX = 1_000


def plan(
    *,
    service: Annotated[
        str | None, typer.Option(metavar="NAME", help="The service whose next tasks these are.")
    ] = None,
    task_definition: Annotated[
        str | None,
        typer.Option(
            metavar="FAMILY[:REVISION]",
            help="Tasks of this revision; with --service, instead of the service's own.",
        ),
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=TASKS_MAX, help="How many tasks.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    cluster: Cluster = DEFAULT_CLUSTER,
    endpoint: Endpoint = None,
    region: Region = None,
    config: ConfigFile = None,
) -> None:
    """Show where the next tasks would go right now, and start none."""
    if service is None and task_definition is None:
        raise typer.BadParameter("name a --service, a --task-definition, or both")
    client = make_client(endpoint, region, config)
    request = {
        "cluster": cluster,
        "count": count,
        **({"service": service} if service is not None else {}),
        **({"taskDefinition": task_definition} if task_definition is not None else {}),
    }
    try:
        found = client.call_homeport("PlanPlacement", request)
    except ApiRefusal as refusal:
        raise CommandFailure(str(refusal)) from None
    if as_json:
        print(json.dumps(found, indent=2))
        return
    from homeport.cli.overview import make_console
    from homeport.cli.placement_views import plan_parts

    console = make_console()
    for part in plan_parts(found):
        console.print(part)
