"""How `homeport why` and `homeport plan` lay out what they were told. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich.markup import escape
from rich.table import Table

from homeport.cli.overview import last_part

ID_CHARS = 12


def explanation_parts(found: Mapping[str, Any]) -> Iterator[str | Table]:
    """An explanation: how things stand, what a task takes, the rules, the instances."""
    yield escape(found["summary"])
    yield escape(f"one task takes {describe_needs(found['needs'])}")
    if not found["rules"]:
        return
    yield _rule_table("What refuses it", found["rules"])
    table = _table("Container instances, the closest first", "Instance", "Zone")
    for heading in ("CPU left", "MiB left"):
        table.add_column(heading, justify="right")
    table.add_column("Refused by")
    table.add_column("Because it")
    for each in found["instances"]:
        table.add_row(
            *_named(each),
            str(each["remainingCpu"]),
            str(each["remainingMemory"]),
            f"[red]{escape(_short(each['reason']))}[/]",
            escape(each["detail"]),
        )
    yield table
    hidden = sum(rule["count"] for rule in found["rules"]) - len(found["instances"])
    if hidden > 0:
        yield f"and {hidden} more; --limit shows them"


def plan_parts(found: Mapping[str, Any]) -> Iterator[str | Table]:
    """A plan: each container instance's share, then why the rest has no place."""
    placed = sum(each["tasks"] for each in found["instances"])
    family = last_part(found["taskDefinitionArn"])
    yield escape(f"{family}: {placed} of {placed + found['unplaced']} tasks have a place")
    if found["instances"]:
        table = _table("Where they would go", "Instance", "Zone")
        table.add_column("Tasks", justify="right")
        for each in found["instances"]:
            table.add_row(*_named(each), f"[green]{each['tasks']}[/]")
        yield table
    if found["rules"]:
        yield _rule_table("What refuses the next one", found["rules"])
    elif found["unplaced"]:
        yield "there are no container instances for them"


def describe_needs(needs: Mapping[str, Any]) -> str:
    """What one task takes, in words; what it doesn't need isn't mentioned."""
    parts = [f"{needs['cpu']} CPU units", f"{needs['memory']} MiB"]
    if needs["gpus"]:
        parts.append(f"{needs['gpus']} GPUs")
    parts += [f"port {port}" for port in needs["hostPorts"]]
    if needs["attributes"]:
        parts.append(f"attributes {', '.join(needs['attributes'])}")
    return ", ".join([*parts, *needs["constraints"]])


def _rule_table(title: str, rules: Iterable[Mapping[str, Any]]) -> Table:
    """One line a rule: how many instances it refuses, the closest one's case, and the way out."""
    table = _table(title)
    table.add_column("Instances", justify="right")
    for heading in ("Rule", "Closest", "What would help"):
        table.add_column(heading)
    for rule in rules:
        table.add_row(
            str(rule["count"]),
            f"[red]{escape(_short(rule['reason']))}[/]",
            escape(rule["detail"]),
            escape(rule["remedy"]),
        )
    return table


def _named(each: Mapping[str, Any]) -> tuple[str, str]:
    name = each["name"] or last_part(each["containerInstanceArn"])[:ID_CHARS]
    return escape(name), escape(each["availabilityZone"] or "-")


def _short(reason: str) -> str:
    """MemberOf for `MemberOf placement constraint unsatisfied.`: a table says the rest."""
    return reason.removesuffix(" placement constraint unsatisfied.")


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for column in columns:
        table.add_column(column)
    return table
