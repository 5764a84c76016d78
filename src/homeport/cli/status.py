"""`homeport status`: clusters, instances, services and tasks at a glance."""

import json
import sys
from typing import Annotated

import typer

from homeport.cli.api_client import ApiRefusal
from homeport.cli.failure import CommandFailure
from homeport.cli.server_options import Endpoint, Region, make_client
from homeport.cli.settings_flags import ConfigFile


def status(
    *,
    stopped: Annotated[
        bool, typer.Option("--stopped", help="Show stopped tasks, too, while they are kept.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, each resource as AWS describes it.")
    ] = False,
    endpoint: Endpoint = None,
    region: Region = None,
    config: ConfigFile = None,
) -> None:
    """Show clusters, instances, services and tasks at a glance."""
    client = make_client(endpoint, region, config)
    from homeport.cli.overview import make_console, overview_tables, read_overview

    try:
        clusters = read_overview(client, has_stopped_tasks=stopped)
    except ApiRefusal as refusal:
        raise CommandFailure(f"{client.endpoint} answered {refusal}") from None
    if as_json:
        found = {"endpoint": client.endpoint, "region": client.region, "clusters": clusters}
        json.dump(found, sys.stdout, indent=2)
        print()
        return
    console = make_console()
    if not clusters:
        console.print(f"No clusters at {client.endpoint} in {client.region}.")
    for table in overview_tables(clusters) if clusters else []:
        console.print(table)
