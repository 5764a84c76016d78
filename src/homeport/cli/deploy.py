"""`homeport deploy`: a task definition, a compose file or another image, until it is steady.

Here: the options, where the wishes come from, the order of services. The plan: `deploy_plan`; its
carrying out: `deploy_rollout`; what is shown: `deploy_view`.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from homeport.cli.api_client import ApiClient, ApiRefusal
from homeport.cli.failure import CommandFailure
from homeport.cli.server_options import DEFAULT_CLUSTER, Cluster, Endpoint, Region, make_client
from homeport.cli.settings_flags import ConfigFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from homeport.cli.deploy_plan import ServicePlan
    from homeport.cli.deploy_rollout import Rollout, Watch
    from homeport.cli.deploy_view import JsonView, TextView
    from homeport.cli.deploy_wish import WantedService

EXIT_FAILED = 1
EXIT_TIMED_OUT = 3
DEFAULT_TIMEOUT_S = 600


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """What was said on the command line of what is to be deployed."""

    file: Path | None
    service: str | None
    images: tuple[str, ...]
    desired_count: int | None


def deploy(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="Task definition (.json) or compose file (.yaml); default: ./compose.yaml.",
            show_default=False,
        ),
    ] = None,
    *,
    service: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The service; of a task definition: else its family."),
    ] = None,
    image: Annotated[
        list[str] | None,
        typer.Option(metavar="[NAME=]IMAGE", help="Another image for container NAME; repeatable."),
    ] = None,
    desired_count: Annotated[
        int | None, typer.Option(min=0, help="How many tasks the service shall have.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Start all tasks anew even if nothing is different.")
    ] = False,
    plan_only: Annotated[
        bool, typer.Option("--plan", help="Show what would be changed, and change nothing.")
    ] = False,
    timeout: Annotated[
        int, typer.Option(min=1, metavar="SECONDS", help="How long to wait for a steady state.")
    ] = DEFAULT_TIMEOUT_S,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line: plan, events, result.")
    ] = False,
    cluster: Cluster = DEFAULT_CLUSTER,
    endpoint: Endpoint = None,
    region: Region = None,
    config: ConfigFile = None,
) -> None:
    """Deploy services, and stay until they are steady or have failed.

    Exit status: 0 steady, 1 failed, 3 not steady within --timeout. Ctrl-C leaves the deployment to
    go on by itself.
    """
    from homeport.cli.deploy_view import make_view

    wishes = Wishes(
        file=file, service=service, images=tuple(image or ()), desired_count=desired_count
    )
    client = make_client(endpoint, region, config)
    run = _Run(client, cluster, make_view(as_json=as_json), timeout)
    try:
        wanted = read_wishes(wishes, client, cluster)
        status = run.go(wanted, is_forced=force, plan_only=plan_only)
    except ApiRefusal as refusal:
        raise CommandFailure(str(refusal)) from None
    if status:
        raise typer.Exit(status)


def read_wishes(wishes: Wishes, client: ApiClient, cluster: str) -> "list[WantedService]":
    """The services that the file, or the command line, asks for."""
    from homeport.cli.deploy_plan import read_definition, replace_images
    from homeport.cli.deploy_wish import WantedService

    path = wishes.file
    if path is None and wishes.service is None:
        path = _usual_file()
    if path is not None and path.suffix in (".yaml", ".yml"):
        return _read_compose(wishes, path)
    if path is not None:
        definition = read_definition(path)
        name = wishes.service or str(definition["family"])
    else:
        name = wishes.service or ""
        definition = _current_definition(client, cluster, name)
    if wishes.images:
        definition = replace_images(definition, wishes.images)
    return [
        WantedService(name=name, definition=definition, desired_count=wishes.desired_count)
    ]


def _usual_file() -> Path:
    from homeport.cli.compose import USUAL_NAMES

    for name in USUAL_NAMES:
        if Path(name).is_file():
            return Path(name)
    raise CommandFailure(
        f"nothing to deploy: name a task definition (.json) or a compose file, or --service with "
        f"--image; there is no {USUAL_NAMES[0]} here"
    )


def _read_compose(wishes: Wishes, path: Path) -> "list[WantedService]":
    from homeport.cli.compose import read_compose

    for option, value in (
        ("--service", wishes.service),
        ("--image", wishes.images),
        ("--desired-count", wishes.desired_count),
    ):
        if value:
            raise CommandFailure(f"{option} does not go with a compose file; say it in {path}")
    return read_compose(path, os.environ)


def _current_definition(client: ApiClient, cluster: str, service: str) -> dict[str, object]:
    from homeport.cli.deploy_plan import describe_definition, describe_service

    known = describe_service(client, cluster, service)
    if known is None:
        raise CommandFailure(
            f"there is no service {service} in cluster {cluster}; name a file to create it"
        )
    return describe_definition(client, known["taskDefinition"])


class _Run:
    """One run of the command against one cluster."""

    def __init__(
        self, client: ApiClient, cluster: str, view: "TextView | JsonView", timeout_s: int
    ) -> None:
        self._client = client
        self._cluster = cluster
        self._view = view
        self._timeout_s = timeout_s

    def go(self, wanted: "list[WantedService]", *, is_forced: bool, plan_only: bool) -> int:
        """Plan, carry out in order, watch; the exit status."""
        from homeport.cli.deploy_plan import plan_service
        from homeport.cli.deploy_rollout import Watch
        from homeport.cli.event_feed import RESTART_LIMIT_S, EventFeed

        plans = [
            plan_service(self._client, self._cluster, each, is_forced=is_forced)
            for each in wanted
        ]
        self._view.plan(plans)
        if plan_only:
            return 0
        # Watching outlives a restart of the server; changing something is tried once.
        patient = self._client.with_patience(RESTART_LIMIT_S)
        feed = EventFeed(patient)
        feed.read_newest(0)
        watch = Watch(patient, self._cluster, feed)
        begun: list[Rollout] = []
        try:
            with self._view.live():
                for batch in _batches(plans):
                    self._roll_out(batch, watch, begun)
                    if any(each.outcome != "steady" for each in begun):
                        break
        finally:
            self._view.result(list(_say_the_rest(plans, begun)))
        return _status(begun)

    def _roll_out(
        self, plans: "list[ServicePlan]", watch: "Watch", begun: "list[Rollout]"
    ) -> None:
        """Carry out plans that may go together and watch them, as part of what has `begun`."""
        from homeport.cli.deploy_plan import describe_service
        from homeport.cli.deploy_rollout import carry_out, make_rollout

        rollouts = []
        for plan in plans:
            name = plan.wanted.name
            watch.begin(name)
            if plan.changes_nothing:
                known = describe_service(self._client, self._cluster, name)
                if known is None:
                    raise CommandFailure(f"service {name} is gone meanwhile")
                rollout = make_rollout(known)
            else:
                try:
                    rollout = carry_out(self._client, self._cluster, plan)
                except ApiRefusal as refusal:
                    raise CommandFailure(f"service {name}: {refusal}") from None
            rollouts.append(rollout)
            begun.append(rollout)
        watch.run(rollouts, timeout_s=self._timeout_s, show=self._view.progress)


def _batches(plans: "list[ServicePlan]") -> "Iterator[list[ServicePlan]]":
    """Plans in the order of their dependencies, those that may go together in one batch."""
    left = list(plans)
    done: set[str] = set()
    while left:
        ready = [each for each in left if done.issuperset(each.wanted.after)]
        assert ready, "a circle is refused when the file is read"
        yield ready
        done.update(each.wanted.name for each in ready)
        left = [each for each in left if each.wanted.name not in done]


def _say_the_rest(
    plans: "list[ServicePlan]", begun: "list[Rollout]"
) -> "Iterator[Rollout]":
    """What has begun, and after it what hasn't; what wasn't watched to its end says so."""
    from homeport.cli.deploy_rollout import Rollout

    for rollout in begun:
        if rollout.outcome is None:
            rollout.outcome = "interrupted"
            rollout.reason = "the deployment goes on; `homeport status` shows how far it is"
        yield rollout
    names = {each.service for each in begun}
    for plan in plans:
        name = plan.wanted.name
        if name not in names and not plan.changes_nothing:
            yield Rollout(
                service=name,
                deployment_id="",
                definition_arn="",
                outcome="not begun",
                reason="deploy again once what stopped here is mended",
            )


def _status(ended: "list[Rollout]") -> int:
    if any(each.outcome == "failed" for each in ended):
        return EXIT_FAILED
    if any(each.outcome == "timed out" for each in ended):
        return EXIT_TIMED_OUT
    return 0
