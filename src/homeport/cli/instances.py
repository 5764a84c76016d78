"""`homeport instances`: list, describe, drain, activate and deregister container instances.

Every command is a client of the public API. Not here: what is read (`instance_reading`) and how it
is said (`instance_views`).
"""

import json
import time
from collections.abc import Callable
from typing import Annotated, ParamSpec, TypeVar

import typer

from homeport.cli.api_client import ApiClient, ApiRefusal
from homeport.cli.failure import CommandFailure
from homeport.cli.instance_reading import (
    Holding,
    find_instance,
    read_holding,
    read_instances,
    set_status,
)
from homeport.cli.instance_views import describe_lines, holder_lines
from homeport.cli.server_options import DEFAULT_CLUSTER, Cluster, Endpoint, Region, make_client
from homeport.cli.settings_flags import ConfigFile

LOOK_AGAIN_S = 1.0
INSTANCES_PER_UPDATE = 10
ACTIVE, DRAINING = "ACTIVE", "DRAINING"

P = ParamSpec("P")
R = TypeVar("R")

AsJson = Annotated[
    bool, typer.Option("--json", help="Print JSON, each instance as AWS describes it.")
]
Name = Annotated[
    str,
    typer.Argument(help="A name, EC2 id, ARN, or the beginning of a container instance's id."),
]
Names = Annotated[
    list[str],
    typer.Argument(help="Names, EC2 ids, ARNs, or the beginnings of container instances' ids."),
]

app = typer.Typer(
    name="instances",
    help="List, describe, drain and deregister container instances.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("list")
def list_instances(
    *,
    as_json: AsJson = False,
    cluster: Cluster = DEFAULT_CLUSTER,
    endpoint: Endpoint = None,
    region: Region = None,
    config: ConfigFile = None,
) -> None:
    """List a cluster's container instances with what they have left."""
    client = make_client(endpoint, region, config)
    found = _ask(read_instances, client, cluster)
    if as_json:
        _print_json(found)
        return
    from homeport.cli.overview import instance_table, make_console

    console = make_console()
    if found:
        console.print(instance_table(found, cluster=cluster))
    else:
        console.print(f"No container instances in cluster {cluster}.")


@app.command()
def describe(
    name: Name,
    *,
    as_json: AsJson = False,
    cluster: Cluster = DEFAULT_CLUSTER,
    endpoint: Endpoint = None,
    region: Region = None,
    config: ConfigFile = None,
) -> None:
    """Show a container instance whole, with its tasks."""
    client = make_client(endpoint, region, config)
    instance = _ask(find_instance, client, cluster, name)
    holding = _ask(read_holding, client, cluster, instance["containerInstanceArn"])
    if as_json:
        _print_json({**holding.instance, "tasks": holding.tasks})
        return
    for line in describe_lines(holding):
        print(line)


@app.command()
def drain(
    names: Names,
    *,
    wait: Annotated[bool, typer.Option(help="Watch until no service's task is left there.")] = True,
    timeout_s: Annotated[
        int, typer.Option("--timeout", min=1, metavar="SECONDS", help="Watch no longer than this.")
    ] = 3600,
    as_json: AsJson = False,
    cluster: Cluster = DEFAULT_CLUSTER,
    endpoint: Endpoint = None,
    region: Region = None,
    config: ConfigFile = None,
) -> None:
    """Set instances DRAINING and show what still holds them.

    Services move their tasks elsewhere within minimumHealthyPercent and maximumPercent;
    standalone tasks stay. Interrupting stops the watching only, not the draining.
    """
    client = make_client(endpoint, region, config)
    arns = _change_status(client, cluster, names, DRAINING)
    deadline_s = time.monotonic() + timeout_s if wait else None

    def say(text: str) -> None:
        if not as_json:
            print(text, flush=True)

    held = _watch(client, cluster, arns, deadline_s=deadline_s, say=say)
    if as_json:
        _print_json([{**each.instance, "tasks": each.tasks} for each in held])
    if wait and any(each.service_tasks for each in held):
        raise CommandFailure(
            f"still draining after {timeout_s} s; it goes on: watch with `homeport instances drain`"
        )


@app.command()
def activate(
    names: Names,
    *,
    as_json: AsJson = False,
    cluster: Cluster = DEFAULT_CLUSTER,
    endpoint: Endpoint = None,
    region: Region = None,
    config: ConfigFile = None,
) -> None:
    """Set instances ACTIVE again, to take new tasks."""
    client = make_client(endpoint, region, config)
    arns = _change_status(client, cluster, names, ACTIVE)
    changed = [_ask(find_instance, client, cluster, arn) for arn in arns]
    if as_json:
        _print_json(changed)
        return
    for instance in changed:
        print(f"{instance['containerInstanceArn']} is {instance['status']}")


@app.command()
def deregister(
    name: Name,
    *,
    force: Annotated[
        bool,
        typer.Option("--force", help="Though tasks run there: they are orphaned, not stopped."),
    ] = False,
    as_json: AsJson = False,
    cluster: Cluster = DEFAULT_CLUSTER,
    endpoint: Endpoint = None,
    region: Region = None,
    config: ConfigFile = None,
) -> None:
    """Take a container instance out of its cluster.

    It stays describable for an hour.
    """
    client = make_client(endpoint, region, config)
    arn = _ask(find_instance, client, cluster, name)["containerInstanceArn"]
    request = {"cluster": cluster, "containerInstance": arn, "force": force}
    try:
        answer = client.call("DeregisterContainerInstance", request)
    except ApiRefusal as refusal:
        advice = ""
        if "running tasks" in str(refusal):
            advice = " Drain it first, or give --force to leave its tasks behind."
        raise CommandFailure(f"{refusal}{advice}") from None
    if as_json:
        _print_json(answer["containerInstance"])
        return
    print(f"{arn} is {answer['containerInstance']['status']}")


def _change_status(client: ApiClient, cluster: str, names: list[str], status: str) -> list[str]:
    """Set the named instances to a status, ten a call; returns their ARNs."""
    found = [_ask(find_instance, client, cluster, name) for name in names]
    arns = list(dict.fromkeys(each["containerInstanceArn"] for each in found))
    for start in range(0, len(arns), INSTANCES_PER_UPDATE):
        batch = arns[start : start + INSTANCES_PER_UPDATE]
        _ask(set_status, client, cluster, batch, status)
    return arns


def _watch(
    client: ApiClient,
    cluster: str,
    arns: list[str],
    *,
    deadline_s: float | None,
    say: Callable[[str], None],
) -> list[Holding]:
    """Tell what holds the instances whenever that changes; ends when services have left them."""
    said = ""
    while True:
        held = [_ask(read_holding, client, cluster, arn) for arn in arns]
        text = _progress(held)
        if text != said:
            say(text)
            said = text
        is_over = deadline_s is None or time.monotonic() >= deadline_s
        if is_over or not any(each.service_tasks for each in held):
            return held
        time.sleep(LOOK_AGAIN_S)


def _progress(held: list[Holding]) -> str:
    lines = []
    for holding in held:
        arn, status = holding.instance["containerInstanceArn"], holding.instance["status"]
        holders = holder_lines(holding)
        lines.append(f"{arn} is {status}{': held by' if holders else ', nothing runs there'}")
        lines.extend(f"  {line}" for line in holders)
    return "\n".join(lines)


def _ask(question: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Ask the server something; a refusal becomes the command's failure."""
    try:
        return question(*args, **kwargs)
    except ApiRefusal as refusal:
        raise CommandFailure(str(refusal)) from None


def _print_json(found: object) -> None:
    print(json.dumps(found, indent=2))
