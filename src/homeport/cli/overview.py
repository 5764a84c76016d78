"""What `homeport status`, `up` and `demo` show: clusters with their instances, services, tasks.

Reads the public API like any client and lays its answers out as tables. No decisions.
"""

import time
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from homeport.cli.api_client import ApiClient

# The width of tables that go to a file or a pipe, which has none of its own.
PIPE_WIDTH_CHARS = 140
# DescribeServices takes ten names a call.
SERVICES_PAGE_SIZE = 10

_STATUS_STYLES = {
    "ACTIVE": "green",
    "RUNNING": "green",
    "PENDING": "yellow",
    "PROVISIONING": "yellow",
    "DRAINING": "yellow",
    "STOPPED": "red",
    "INACTIVE": "red",
}


def make_console() -> Console:
    """Where tables go: the terminal as wide as it is, anything else wide enough to be read."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=PIPE_WIDTH_CHARS)


def read_overview(client: ApiClient, *, has_stopped_tasks: bool = False) -> list[dict[str, Any]]:
    """Each cluster as AWS describes it, with `containerInstances`, `services` and `tasks`."""
    arns = sorted(client.list_all("ListClusters", "clusterArns"))
    clusters = client.describe_all("DescribeClusters", "clusters", arns)
    return [
        {**cluster, **_read_cluster(client, cluster["clusterArn"], has_stopped_tasks)}
        for cluster in clusters
    ]


def _read_cluster(client: ApiClient, cluster: str, has_stopped_tasks: bool) -> dict[str, Any]:
    in_cluster = {"cluster": cluster}
    statuses = ["RUNNING", "STOPPED"] if has_stopped_tasks else ["RUNNING"]
    task_arns = [
        arn
        for status in statuses
        for arn in client.list_all("ListTasks", "taskArns", {**in_cluster, "desiredStatus": status})
    ]
    instance_arns = list(
        client.list_all("ListContainerInstances", "containerInstanceArns", in_cluster)
    )
    service_arns = list(client.list_all("ListServices", "serviceArns", in_cluster))
    explained = read_waits(client, cluster, service_arns)
    return {
        "containerInstances": client.describe_all(
            "DescribeContainerInstances", "containerInstances", instance_arns, request=in_cluster
        ),
        "services": [
            {**service, **explained.get(service["serviceArn"], {})}
            for service in client.describe_all(
                "DescribeServices",
                "services",
                service_arns,
                page_size=SERVICES_PAGE_SIZE,
                request=in_cluster,
            )
        ],
        "tasks": client.describe_all("DescribeTasks", "tasks", task_arns, request=in_cluster),
    }


def read_waits(client: ApiClient, cluster: str, arns: list[str]) -> dict[str, dict[str, Any]]:
    """What each service waits for, under `homeport`, so that it isn't taken for ECS's answer."""
    found: dict[str, dict[str, Any]] = {}
    for start in range(0, len(arns), SERVICES_PAGE_SIZE):
        request = {"cluster": cluster, "services": arns[start : start + SERVICES_PAGE_SIZE]}
        for each in client.call_homeport("ExplainServices", request)["services"]:
            found[each["serviceArn"]] = {"homeport": each}
    return found


def overview_tables(clusters: Iterable[Mapping[str, Any]]) -> list[Table]:
    """The tables of `homeport status`; a kind of which there is none has no table."""
    clusters = list(clusters)
    tables = [cluster_table(clusters)]
    for cluster in clusters:
        name = cluster["clusterName"]
        if cluster["containerInstances"]:
            tables.append(instance_table(cluster["containerInstances"], cluster=name))
        if cluster["services"]:
            tables.append(service_table(cluster["services"], cluster=name))
        if cluster["tasks"]:
            tables.append(task_table(cluster["tasks"], cluster=name))
    return tables


def cluster_table(clusters: Iterable[Mapping[str, Any]]) -> Table:
    """One line a cluster."""
    table = _table("Clusters", "Name", "Status", "#Instances", "#Services", "#Running", "#Pending")
    for cluster in clusters:
        table.add_row(
            cluster["clusterName"],
            _status(cluster["status"]),
            str(cluster.get("registeredContainerInstancesCount", 0)),
            str(cluster.get("activeServicesCount", 0)),
            str(cluster.get("runningTasksCount", 0)),
            str(cluster.get("pendingTasksCount", 0)),
        )
    return table


def instance_table(instances: Iterable[Mapping[str, Any]], *, cluster: str) -> Table:
    """One line a container instance: where it is and what it has left."""
    table = _table(
        f"Container instances of {cluster}",
        *("Instance", "Zone", "Status", "Agent", "#Running", "#Pending", "#CPU left", "#MiB left"),
    )
    for instance in sorted(instances, key=lambda each: attribute(each, "homeport.instance")):
        is_connected = instance.get("agentConnected", False)
        table.add_row(
            instance_name(instance),
            attribute(instance, "ecs.availability-zone"),
            _status(instance["status"]),
            "[green]connected[/]" if is_connected else "[red]disconnected[/]",
            str(instance.get("runningTasksCount", 0)),
            str(instance.get("pendingTasksCount", 0)),
            _resource(instance, "CPU"),
            _resource(instance, "MEMORY"),
        )
    return table


def service_table(services: Iterable[Mapping[str, Any]], *, cluster: str) -> Table:
    """One line a service, with what it waits for, else its newest event."""
    table = _table(
        f"Services of {cluster}",
        *("Service", "Status", "#Desired", "#Running", "#Pending", "Task definition", "State"),
    )
    for service in sorted(services, key=lambda each: str(each["serviceName"])):
        table.add_row(
            service["serviceName"],
            _status(service["status"]),
            str(service.get("desiredCount", 0)),
            str(service.get("runningCount", 0)),
            str(service.get("pendingCount", 0)),
            last_part(service.get("taskDefinition", "")),
            service_state(service),
        )
    return table


def service_state(service: Mapping[str, Any], now_s: float | None = None) -> str:
    """When a service's next launch is tried and what it waits for, or the newest event."""
    explained = service.get("homeport", {})
    lines = list(explained.get("reasons", []))
    next_launch_at = explained.get("nextLaunchAt")
    if next_launch_at is not None:
        left_s = max(0, round(next_launch_at - (time.time() if now_s is None else now_s)))
        lines.insert(0, f"next try in {left_s} s")
    if lines:
        return escape("\n".join(lines))
    events = service.get("events", [])
    return escape(events[0]["message"]) if events else ""


def task_table(tasks: Iterable[Mapping[str, Any]], *, cluster: str) -> Table:
    """One line a task: what it runs, where, and on which host ports."""
    table = _table(
        f"Tasks of {cluster}",
        *("Task", "Definition", "Group", "Last status", "Desired", "Zone", "Address"),
    )
    for task in sorted(tasks, key=lambda each: (each.get("group", ""), str(each["taskArn"]))):
        table.add_row(
            last_part(task["taskArn"])[:12],
            last_part(task["taskDefinitionArn"]),
            task.get("group", ""),
            _status(task["lastStatus"]),
            task["desiredStatus"],
            task.get("availabilityZone", ""),
            " ".join(addresses(task)),
        )
    return table


def addresses(task: Mapping[str, Any]) -> list[str]:
    """`ADDRESS:PORT` of every published port, or the addresses of a task that has its own."""
    containers = task.get("containers", [])
    published = [
        f"{binding.get('bindIP', '')}:{binding[member]}"
        for container in containers
        for binding in container.get("networkBindings", [])
        for member in ("hostPort", "hostPortRange")
        if member in binding
    ]
    own = [
        interface["privateIpv4Address"]
        for container in containers
        for interface in container.get("networkInterfaces", [])
        if "privateIpv4Address" in interface
    ]
    return published or list(dict.fromkeys(own))


def attribute(instance: Mapping[str, Any], name: str) -> str:
    """The value of a container instance's attribute, or nothing."""
    for each in instance.get("attributes", []):
        if each["name"] == name:
            return str(each.get("value") or "")
    return ""


def instance_name(instance: Mapping[str, Any]) -> str:
    """What a person calls the instance: its local name, else its EC2 id, else its ARN's end."""
    return (
        attribute(instance, "homeport.instance")
        or str(instance.get("ec2InstanceId") or "")
        or last_part(instance["containerInstanceArn"])[:12]
    )


def last_part(arn: str) -> str:
    """What follows the last slash of an ARN."""
    return arn.rpartition("/")[2]


def _resource(instance: Mapping[str, Any], name: str) -> str:
    for each in instance.get("remainingResources", []):
        if each["name"] == name:
            return str(each.get("integerValue", 0))
    return ""


def _status(status: str) -> str:
    style = _STATUS_STYLES.get(status)
    return f"[{style}]{status}[/]" if style else status


def _table(title: str, *columns: str) -> Table:
    """A table; a column whose name starts with # holds numbers."""
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for column in columns:
        is_number = column.startswith("#")
        table.add_column(column.lstrip("#"), justify="right" if is_number else "left")
    return table
