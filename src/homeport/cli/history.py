"""`homeport history`: what has happened to one service, task or container instance, and why."""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any

import typer

from homeport.cli.api_client import ApiRefusal
from homeport.cli.failure import CommandFailure
from homeport.cli.server_options import DEFAULT_CLUSTER, Cluster, Endpoint, Region, make_client
from homeport.cli.settings_flags import ConfigFile

ENTRIES_MAX = 999
SHOWN_VALUE_CHARS = 60


def history(
    resource: Annotated[
        str,
        typer.Argument(
            help="A service's name, the beginning of a task's or instance's id, or an ARN."
        ),
    ],
    *,
    limit: Annotated[
        int, typer.Option(min=1, max=ENTRIES_MAX, help="How many of the newest entries to show.")
    ] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    cluster: Cluster = DEFAULT_CLUSTER,
    endpoint: Endpoint = None,
    region: Region = None,
    config: ConfigFile = None,
) -> None:
    """Show what the journal has of a service, task or instance.

    Each line says when, which call or report was the cause, and what it changed; a service's own
    messages stand between. Tasks that are long forgotten are found by their ARN.
    """
    client = make_client(endpoint, region, config)
    request = {"resource": resource, "cluster": cluster, "limit": limit}
    try:
        found = client.call_homeport("ListHistory", request)
    except ApiRefusal as refusal:
        raise CommandFailure(str(refusal)) from None
    if as_json:
        print(json.dumps(found, indent=2))
        return
    print(found["resourceArn"])
    for entry in found["entries"]:
        for line in describe_entry(entry):
            print(line)


def describe_entry(entry: Mapping[str, Any]) -> Iterator[str]:
    """The lines for one entry: the first has its time and cause, each has one change."""
    moment = datetime.fromtimestamp(entry["at"]).astimezone()
    head = f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1_000:03d}  "
    if entry["kind"] == "MESSAGE":
        yield f"{head}{entry['message']}"
        return
    if entry["kind"] == "DELETED":
        yield f"{head}{entry['cause']}: forgotten"
        return
    known = "  (first known state)" if entry["isFirstKnown"] else ""
    yield f"{head}{entry['cause']}{known}"
    for change in entry["changes"]:
        before, after = _shown(change["before"]), _shown(change["after"])
        arrow = after if change["before"] is None else f"{before} -> {after}"
        yield f"{'':{len(head)}}  {change['member']}: {arrow}"


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= SHOWN_VALUE_CHARS else text[: SHOWN_VALUE_CHARS - 3] + "..."
