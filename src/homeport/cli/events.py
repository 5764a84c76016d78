"""`homeport events`: what happens to tasks, instances and deployments, as EventBridge has it."""

import json
import sys
from collections.abc import Iterator
from typing import Annotated

import typer

from homeport.cli.event_feed import (
    PAGE_EVENTS,
    RESTART_LIMIT_S,
    Event,
    EventFeed,
    describe_event,
    is_about,
)
from homeport.cli.server_options import Endpoint, Region, make_client
from homeport.cli.settings_flags import ConfigFile

MISSING = "homeport: some events are missing here: the server restarted, or too many came at once"


def events(
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with events as they come, until Ctrl-C.")
    ] = False,
    tail: Annotated[
        int, typer.Option(min=0, max=PAGE_EVENTS, help="How many earlier events to begin with.")
    ] = 20,
    cluster: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only events of this cluster.")
    ] = None,
    service: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only this service's and its tasks' events.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line, as EventBridge delivers it.")
    ] = False,
    endpoint: Endpoint = None,
    region: Region = None,
    config: ConfigFile = None,
) -> None:
    """Show events of tasks, instances, deployments and services.

    They are kept in the server's memory: the newest thousands, since it was started.
    """
    client = make_client(endpoint, region, config)
    feed = EventFeed(client)
    is_narrow = cluster is not None or service is not None
    earlier = feed.read_newest(PAGE_EVENTS if is_narrow else tail)
    wanted = [each for each in earlier if is_about(each, cluster=cluster, service=service)]
    for event in wanted[len(wanted) - min(tail, len(wanted)) :]:
        _show(event, as_json=as_json)
    feed.client = client.with_patience(RESTART_LIMIT_S)
    for event in _follow(feed) if follow else ():
        if is_about(event, cluster=cluster, service=service):
            _show(event, as_json=as_json)


def _follow(feed: EventFeed) -> Iterator[Event]:
    while True:
        found = feed.read_next()
        if feed.is_incomplete:
            print(MISSING, file=sys.stderr)
        yield from found


def _show(event: Event, *, as_json: bool) -> None:
    print(json.dumps(event) if as_json else describe_event(event), flush=True)
