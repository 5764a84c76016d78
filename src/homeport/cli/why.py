"""`homeport why`: what keeps a service's next task, or another task like this one, from a place."""

import json
from typing import Annotated

import typer

from homeport.cli.api_client import ApiRefusal
from homeport.cli.failure import CommandFailure
from homeport.cli.server_options import DEFAULT_CLUSTER, Cluster, Endpoint, Region, make_client
from homeport.cli.settings_flags import ConfigFile

INSTANCES_SHOWN = 20
INSTANCES_MAX = 1_000


def why(
    resource: Annotated[
        str, typer.Argument(help="A service's name, the beginning of a task's id, or an ARN.")
    ],
    *,
    limit: Annotated[
        int, typer.Option(min=1, max=INSTANCES_MAX, help="How many container instances to show.")
    ] = INSTANCES_SHOWN,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    cluster: Cluster = DEFAULT_CLUSTER,
    endpoint: Endpoint = None,
    region: Region = None,
    config: ConfigFile = None,
) -> None:
    """Show which rule keeps a task off each container instance.

    It is the first that refuses the task, with the way out; of a service also when its next launch
    is tried, and why not sooner. Rules are judged in ECS's order: agent, CPU, memory, ports, GPUs,
    network interfaces, attributes, zones of subnets, memberOf, distinctInstance. The container
    instance that comes closest is first.
    """
    client = make_client(endpoint, region, config)
    request = {"resource": resource, "cluster": cluster, "limit": limit}
    try:
        found = client.call_homeport("ExplainPlacement", request)
    except ApiRefusal as refusal:
        raise CommandFailure(str(refusal)) from None
    if as_json:
        print(json.dumps(found, indent=2))
        return
    from homeport.cli.overview import make_console, read_waits, service_state
    from homeport.cli.placement_views import explanation_parts

    console = make_console()
    for part in explanation_parts(found):
        console.print(part)
    if ":service/" in found["resourceArn"] and found["fittingInstances"]:  # so it isn't for room
        waits = read_waits(client, cluster, [found["resourceArn"]])
        if state := service_state(waits.get(found["resourceArn"], {})):
            console.print(state)
