"""`homeport status`: clusters, instances, services and tasks at a glance."""

import json
import sys
from typing import Annotated

import typer

from homeport.cli.api_client import ApiClient, ApiRefusal
from homeport.cli.failure import CommandFailure
from homeport.cli.settings_flags import ConfigFile
from homeport.config import Config, describe_option, load_config


def status(
    *,
    endpoint: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            envvar="AWS_ENDPOINT_URL",
            help="The server to ask; default: the configured port on this machine.",
        ),
    ] = None,
    region: Annotated[
        str | None,
        typer.Option(
            help=describe_option(Config, "region"), envvar=["AWS_REGION", "AWS_DEFAULT_REGION"]
        ),
    ] = None,
    stopped: Annotated[
        bool, typer.Option("--stopped", help="Show stopped tasks, too, while they are kept.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, each resource as AWS describes it.")
    ] = False,
    config: ConfigFile = None,
) -> None:
    """Show clusters, container instances, services and tasks at a glance."""
    settings = load_config({"region": region}, config_file=config)
    from homeport.cli.overview import make_console, overview_tables, read_overview

    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    client = ApiClient(endpoint or f"http://{host}:{settings.port}", settings.region)
    try:
        clusters = read_overview(client, has_stopped_tasks=stopped)
    except ApiRefusal as refusal:
        raise CommandFailure(f"{client.endpoint} answered {refusal}") from None
    if as_json:
        found = {"endpoint": client.endpoint, "region": settings.region, "clusters": clusters}
        json.dump(found, sys.stdout, indent=2)
        print()
        return
    console = make_console()
    if not clusters:
        console.print(f"No clusters at {client.endpoint} in {settings.region}.")
    for table in overview_tables(clusters) if clusters else []:
        console.print(table)
