"""`homeport why`: what keeps a service's next task, or another task like this one, from a place."""

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

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
    """Show for each container instance the first rule that refuses the task, and the way out.

    Rules are judged in ECS's order: agent, CPU, memory, ports, GPUs, attributes, memberOf,
    distinctInstance. The container instance that comes closest is first.
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
    for line in describe_explanation(found):
        print(line)


def describe_explanation(found: Mapping[str, Any]) -> Iterator[str]:
    """The lines of an explanation: how things stand, the rules with counts, the instances."""
    yield found["summary"]
    yield f"one task takes {describe_needs(found['needs'])}"
    yield from describe_rules(found["rules"])
    if found["instances"]:
        yield ""
    for each in found["instances"]:
        zone = f" ({each['availabilityZone']})" if each["availabilityZone"] else ""
        yield f"{short_id(each['containerInstanceArn'])}{zone}  {each['reason']}: {each['detail']}"
    hidden = sum(rule["count"] for rule in found["rules"]) - len(found["instances"])
    if hidden > 0:
        yield f"and {hidden} more; --limit shows them"


def describe_needs(needs: Mapping[str, Any]) -> str:
    """What one task takes, in words; what it doesn't need isn't mentioned."""
    parts = [f"{needs['cpu']} CPU units", f"{needs['memory']} MiB"]
    if needs["gpus"]:
        parts.append(f"{needs['gpus']} GPUs")
    parts += [f"port {port}" for port in needs["hostPorts"]]
    if needs["attributes"]:
        parts.append(f"attributes {', '.join(needs['attributes'])}")
    return ", ".join([*parts, *needs["constraints"]])


def describe_rules(rules: list[Mapping[str, Any]]) -> Iterator[str]:
    """The lines for the rules: how many container instances each refused, and the way out."""
    for rule in rules:
        yield f"{rule['count']:>6}  {rule['reason']}: {rule['detail']}"
        yield f"{'':6}  -> {rule['remedy']}"


def short_id(arn: str) -> str:
    """The last part of an ARN."""
    return arn.rsplit("/", 1)[-1]
