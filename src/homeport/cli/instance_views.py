"""How `homeport instances` lays out a container instance, and says what a drain waits for. Pure."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from homeport.cli.instance_reading import Holding
from homeport.cli.overview import instance_name, last_part

CUSTOM_LAST = ("com.amazonaws.ecs.capability.", "ecs.capability.")
TASK_ID_CHARS = 12
LABEL_CHARS = 20


def describe_lines(holding: Holding) -> Iterator[str]:
    """Everything that is worth knowing of one instance, a line a fact."""
    instance = holding.instance
    version = instance.get("versionInfo", {})
    yield _fact("Container instance", instance_name(instance))
    yield _fact("ARN", instance["containerInstanceArn"])
    yield _fact("EC2 instance", instance.get("ec2InstanceId", "-"))
    connected = "connected" if instance.get("agentConnected") else "disconnected"
    yield _fact("Status", f"{instance['status']}, agent {connected}")
    if "healthStatus" in instance:
        yield _fact("Health", _health(instance["healthStatus"]))
    yield _fact("Agent", f"{version.get('agentVersion', '-')}, {version.get('dockerVersion', '-')}")
    registered = datetime.fromtimestamp(instance["registeredAt"], UTC)
    yield _fact("Registered", f"{registered:%Y-%m-%d %H:%M:%S} UTC, version {instance['version']}")
    yield from _resource_lines(instance)
    for attribute in _shown_attributes(instance):
        yield _fact(
            "Attribute", " = ".join(v for v in (attribute["name"], attribute.get("value")) if v)
        )
    capabilities = sum(each["name"].startswith(CUSTOM_LAST) for each in instance["attributes"])
    yield _fact("Capabilities", f"{capabilities} (--json shows them)")
    for tag in instance.get("tags", []):
        yield _fact("Tag", f"{tag['key']} = {tag.get('value', '')}")
    for task in holding.tasks:
        yield _fact("Task", task_line(task))


def task_line(task: Mapping[str, Any]) -> str:
    """One task in a line: id, what it runs, for whom, how far it is."""
    task_id = last_part(task["taskArn"])[:TASK_ID_CHARS]
    definition = last_part(task["taskDefinitionArn"])
    wanted = "" if task["desiredStatus"] == "RUNNING" else ", stopping"
    return f"{task_id} {definition} {task['group']} {task['lastStatus']}{wanted}"


def holder_lines(holding: Holding) -> list[str]:
    """What still keeps an instance from being empty, and why, a line for each service."""
    lines = []
    services = {service["serviceName"]: service for service in holding.services}
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for task in holding.service_tasks:
        groups.setdefault(task["group"].removeprefix("service:"), []).append(task)
    for name, tasks in sorted(groups.items()):
        stopping = sum(task["desiredStatus"] == "STOPPED" for task in tasks)
        text = f"service {name}: {_count(len(tasks), 'task')}, {stopping} stopping"
        reason = _why_held(services.get(name, {})) if stopping < len(tasks) else ""
        lines.append(text + (f"; {reason}" if reason else ""))
    if holding.standalone_tasks:
        count = _count(len(holding.standalone_tasks), "standalone task")
        lines.append(f"{count}: draining leaves them alone until they end or are stopped")
    return lines


def _why_held(service: Mapping[str, Any]) -> str:
    """Why a service doesn't move on, from its bounds and the newest of its events."""
    bounds = service.get("deploymentConfiguration", {})
    least, most = bounds.get("minimumHealthyPercent", 0), bounds.get("maximumPercent", 200)
    if least >= 100 >= most:
        return (
            "minimumHealthyPercent and maximumPercent are both 100, so that no task may stop "
            "before its replacement runs and none may start before one has stopped"
        )
    events = service.get("events", [])
    message = str(events[0]["message"]) if events else ""
    if "unable to place" in message:
        return message
    return f"{service.get('runningCount', 0)} of {service.get('desiredCount', 0)} run"


def _health(health: Mapping[str, Any]) -> str:
    details = ", ".join(f"{each['type']} {each['status']}" for each in health.get("details", []))
    return f"{health['overallStatus']}{f' ({details})' if details else ''}"


def _resource_lines(instance: Mapping[str, Any]) -> Iterator[str]:
    remaining = {each["name"]: each for each in instance.get("remainingResources", [])}
    for registered in instance.get("registeredResources", []):
        name = registered["name"]
        left = remaining.get(name, {})
        if registered["type"] == "INTEGER":
            text = f"{left.get('integerValue', 0)} of {registered['integerValue']} left"
        else:
            text = " ".join(left.get("stringSetValue", [])) or "none"
            text = f"{text} {'left' if name == 'GPU' else 'in use'}"
        yield _fact(name, text)


def _shown_attributes(instance: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    shown = [each for each in instance["attributes"] if not each["name"].startswith(CUSTOM_LAST)]
    return sorted(shown, key=lambda each: str(each["name"]))


def _fact(label: str, text: object) -> str:
    return f"{label:{LABEL_CHARS}}{text}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
