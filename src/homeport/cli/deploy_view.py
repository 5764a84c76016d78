"""How `homeport deploy` shows a deployment: a table on a terminal, lines elsewhere, or JSON."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import msgspec
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from homeport.cli.deploy_plan import ServicePlan, plan_lines
from homeport.cli.deploy_rollout import Look, Rollout
from homeport.cli.event_feed import Event, describe_event
from homeport.cli.overview import make_console

_STATES = ("PROVISIONING", "PENDING", "RUNNING", "UNHEALTHY", "STOPPING")
# What else there is to say of a deployment, the service's own messages say.
SHOWN = ("ECS Task State Change", "ECS Hook State Change")
REFRESHES_PER_S = 8
SHOWN_ADDRESSES = 20


class View(Protocol):
    """What is told while deploying."""

    def plan(self, plans: list[ServicePlan]) -> None:
        """Show what will be changed."""

    def progress(self, rollouts: list[Rollout], looks: list[Look], events: list[Event]) -> None:
        """Show where the deployments are, and what has happened since."""

    def result(self, rollouts: list[Rollout]) -> None:
        """Show how it ended."""


class TextView:
    """For people: lines that stay, and on a terminal the tasks' table below them."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None

    def plan(self, plans: list[ServicePlan]) -> None:
        """Show what will be changed."""
        for plan in plans:
            for line in plan_lines(plan):
                self._print(line)

    def progress(self, rollouts: list[Rollout], looks: list[Look], events: list[Event]) -> None:
        """Print what is new; on a terminal draw the table anew."""
        for event in events:
            if event["detail-type"] in SHOWN:
                self._print(describe_event(event))
        for look in looks:
            for message in look.messages:
                self._print(message)
        if self._live is not None:
            self._live.update(Group(*(task_table(look) for look in looks)), refresh=True)

    def result(self, rollouts: list[Rollout]) -> None:
        """Say of each service how it ended."""
        for rollout in rollouts:
            revision = rollout.definition_arn.rpartition("/")[2]
            if rollout.outcome == "steady":
                self._print(f"service {rollout.service} is steady on {revision}")
                for address in rollout.addresses[:SHOWN_ADDRESSES]:
                    self._print(f"  listens on {address}")
            elif rollout.outcome is not None:
                said = f"{revision} {rollout.outcome}".lstrip()
                self._print(f"service {rollout.service}: {said}: {rollout.reason}")

    @contextmanager
    def live(self) -> Iterator[None]:
        """Keep the table at the bottom of a terminal while the block runs."""
        if not self._console.is_terminal:
            yield
            return
        with Live(console=self._console, refresh_per_second=REFRESHES_PER_S) as self._live:
            yield
        self._live = None

    def _print(self, line: str) -> None:
        # As text: what a container or a person wrote is no markup.
        self._console.print(Text(line), soft_wrap=True)


class JsonView:
    """For programs: one JSON object a line, its `type` saying what it is."""

    def __init__(self) -> None:
        self._last: list[dict[str, Any]] = []

    def plan(self, plans: list[ServicePlan]) -> None:
        """Write one line with the plan of all services."""
        services = [
            {
                "service": plan.wanted.name,
                "action": _action(plan),
                "desiredCount": plan.count_after,
                "minimumHealthyPercent": plan.minimum_healthy_percent,
                "taskDefinition": plan.definition_arn,
                "changes": [msgspec.structs.asdict(each) for each in plan.definition_changes],
            }
            for plan in plans
        ]
        self._write({"type": "plan", "services": services})

    def progress(self, rollouts: list[Rollout], looks: list[Look], events: list[Event]) -> None:
        """Write events and messages as they come, and the counts whenever they changed."""
        for event in events:
            self._write({"type": "event", "event": event})
        for look in looks:
            for message in look.messages:
                self._write({"type": "message", "service": look.service, "message": message})
        counts = [
            {
                "service": look.service,
                "desiredCount": look.desired_count,
                "runningCount": look.running_count,
                "tasks": [
                    {"taskDefinition": revision, "state": state, "count": count}
                    for (revision, state), count in sorted(look.tasks.items())
                ],
            }
            for look in looks
        ]
        if counts != self._last:
            self._last = counts
            self._write({"type": "progress", "services": counts})

    def result(self, rollouts: list[Rollout]) -> None:
        """Write one line with the end of every service."""
        services = [
            {
                "service": rollout.service,
                "deploymentId": rollout.deployment_id or None,
                "taskDefinition": rollout.definition_arn or None,
                "outcome": rollout.outcome,
                "reason": rollout.reason,
                "addresses": rollout.addresses,
            }
            for rollout in rollouts
        ]
        self._write({"type": "result", "services": services})

    @contextmanager
    def live(self) -> Iterator[None]:
        """Nothing is drawn."""
        yield

    def _write(self, value: dict[str, Any]) -> None:
        print(json.dumps(value), flush=True)


def make_view(*, as_json: bool) -> TextView | JsonView:
    """The view for this run."""
    return JsonView() if as_json else TextView(make_console())


def task_table(look: Look) -> Table:
    """A service's tasks by revision and state."""
    title = f"{look.service}: {look.running_count} of {look.desired_count} running"
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    table.add_column("Revision")
    for state in _STATES:
        table.add_column(state, justify="right")
    for revision in sorted({each for each, _ in look.tasks}):
        counts = [look.tasks.get((revision, state), 0) for state in _STATES]
        table.add_row(revision, *(str(count) if count else "" for count in counts))
    return table


def _action(plan: ServicePlan) -> str:
    if plan.changes_nothing:
        return "none"
    return "create" if plan.is_new else "update"
