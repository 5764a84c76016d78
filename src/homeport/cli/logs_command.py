"""`homeport logs`: what the containers of a service or a task print, on this machine's Engine.

How logs are read and merged is the work of `container_logs` and `log_reader`; `logs` next door is
this program's own log.
"""

import sys
from typing import Annotated

import typer

from homeport.cli.api_client import ApiClient, ApiRefusal
from homeport.cli.engine_api import EngineApi
from homeport.cli.failure import CommandFailure
from homeport.cli.server_options import DEFAULT_CLUSTER, Cluster, Endpoint, Region, make_client
from homeport.cli.settings_flags import ConfigFile
from homeport.config import load_agent_config


def logs(
    name: Annotated[
        str, typer.Argument(help="A service's name, or the beginning of a task's id, or its ARN.")
    ],
    *,
    follow: Annotated[
        bool,
        typer.Option("--follow", "-f", help="Go on, with containers that start later, too."),
    ] = False,
    tail: Annotated[
        int | None, typer.Option(min=0, help="Only the newest lines of each container.")
    ] = None,
    container: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only containers of this name.")
    ] = None,
    timestamps: Annotated[
        bool, typer.Option("--timestamps", "-t", help="Show when each line was printed.")
    ] = False,
    cluster: Cluster = DEFAULT_CLUSTER,
    endpoint: Endpoint = None,
    region: Region = None,
    config: ConfigFile = None,
) -> None:
    """Show what the containers of a service or a task print.

    They are read from this machine's Docker Engine, so containers on other machines are not
    shown; those of stopped tasks are, until the agent removes them.
    """
    client = make_client(endpoint, region, config)
    wanted = find_wanted(client, cluster, name)
    engine = EngineApi(load_agent_config({}, config_file=config).docker_host)
    engine.check()
    from homeport.cli.log_reader import LogReader

    reader = LogReader(engine, wanted, container=container, tail=tail)
    line_count = 0
    for prefix, time, text in reader.follow() if follow else reader.read():
        print(f"{prefix} | {time + ' ' if timestamps else ''}{text}", flush=follow)
        line_count += 1
    if not line_count:
        called = f" called {container}" if container else ""
        print(
            f"no container{called} of {name} on this machine has printed anything; "
            "`homeport status --stopped` and `homeport history` say what became of its tasks",
            file=sys.stderr,
        )


class Wanted:
    """Which tasks' containers are shown: one task's, or all of a service, new ones too."""

    def __init__(self, client: ApiClient, cluster: str, *, service: str | None, task: str | None):
        self._client = client
        self._cluster = cluster
        self._service = service
        self._task = task
        self._known: dict[str, bool] = {}

    def covers(self, task_arn: str) -> bool:
        """Whether this task's containers are shown; asks the server once a task."""
        if self._task is not None:
            return task_arn == self._task
        if task_arn not in self._known:
            self._known[task_arn] = self._is_of_service(task_arn)
        return self._known[task_arn]

    def is_over(self) -> bool:
        """Whether no more containers will come: the one task is STOPPED or forgotten."""
        if self._task is None:
            return False
        found = self._describe(self._task)
        return found is None or found["lastStatus"] == "STOPPED"

    def _is_of_service(self, task_arn: str) -> bool:
        found = self._describe(task_arn)
        return found is not None and found.get("group") == f"service:{self._service}"

    def _describe(self, arn: str) -> dict[str, str] | None:
        try:
            answer = self._client.call("DescribeTasks", {"cluster": self._cluster, "tasks": [arn]})
        except ApiRefusal:
            return None  # of another account, region or cluster
        found: list[dict[str, str]] = answer["tasks"]
        return found[0] if found else None


def find_wanted(client: ApiClient, cluster: str, name: str) -> Wanted:
    """Find the service or task of that name; raises CommandFailure when there is none."""
    request = {"cluster": cluster, "resource": name, "limit": 1}
    try:
        arn = str(client.call_homeport("ListHistory", request)["resourceArn"])
    except ApiRefusal as refusal:
        raise CommandFailure(str(refusal)) from None
    kind, _, rest = arn.rpartition(":")[2].partition("/")
    if kind == "task":
        return Wanted(client, cluster, service=None, task=arn)
    if kind == "service":
        return Wanted(client, cluster, service=rest.rpartition("/")[2], task=None)
    raise CommandFailure(f"{name} is a container instance; name a service or a task")
