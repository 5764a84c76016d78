"""What the status command reads, and how it lays it out."""

import time
from typing import Any

from rich.console import Console
from rich.table import Table

from homeport.cli.overview import addresses, overview_tables, read_overview

CLUSTER = "arn:aws:ecs:us-east-1:123456789012:cluster/default"
TASK = {
    "taskArn": "arn:aws:ecs:us-east-1:123456789012:task/default/0123456789abcdef",
    "taskDefinitionArn": "arn:aws:ecs:us-east-1:123456789012:task-definition/web:3",
    "group": "service:web",
    "lastStatus": "RUNNING",
    "desiredStatus": "RUNNING",
    "availabilityZone": "us-east-1b",
    "containers": [
        {"networkBindings": [{"bindIP": "127.0.1.2", "hostPort": 49153}]},
        {
            "networkBindings": [
                {
                    "bindIP": "127.0.1.2",
                    "containerPortRange": "80-81",
                    "hostPortRange": "49160-49161",
                }
            ]
        },
    ],
}
INSTANCE = {
    "containerInstanceArn": "arn:aws:ecs:us-east-1:123456789012:container-instance/default/ffff",
    "status": "ACTIVE",
    "agentConnected": False,
    "remainingResources": [{"name": "CPU", "integerValue": 1000}],
    "attributes": [
        {"name": "homeport.instance", "value": "local-2"},
        {"name": "ecs.availability-zone", "value": "us-east-1b"},
    ],
}
SERVICE = {
    "serviceArn": "arn:aws:ecs:us-east-1:123456789012:service/default/web",
    "serviceName": "web",
    "status": "ACTIVE",
    "desiredCount": 4,
    "events": [{"message": "(service web) has reached a steady state."}, {"message": "older"}],
}


class FakeClient:
    """Answers by operation, and remembers what was asked."""

    def __init__(self, answers: dict[str, list[Any]]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, Any]] = []

    def list_all(self, operation, member, request=None):
        self.asked.append((operation, request))
        return iter(self.answers.get(operation, []))

    def describe_all(self, operation, member, names, *, page_size=100, request=None):
        return self.answers.get(operation, []) if names else []

    def call_homeport(self, operation, request):
        self.asked.append((operation, request))
        return {"services": self.answers.get(operation, [])}


def render(tables: list[Table]) -> str:
    console = Console(width=200, color_system=None)
    with console.capture() as capture:
        for table in tables:
            console.print(table)
    return capture.get()


def make_client() -> FakeClient:
    return FakeClient(
        {
            "ListClusters": [CLUSTER],
            "DescribeClusters": [
                {"clusterArn": CLUSTER, "clusterName": "default", "status": "ACTIVE"}
            ],
            "ListContainerInstances": ["i"],
            "DescribeContainerInstances": [INSTANCE],
            "ListServices": ["s"],
            "DescribeServices": [SERVICE],
            "ListTasks": ["t"],
            "DescribeTasks": [TASK],
        }
    )


def test_each_cluster_comes_with_what_is_in_it():
    (cluster,) = read_overview(make_client())  # type: ignore[arg-type]
    assert cluster["clusterName"] == "default"
    assert cluster["containerInstances"] == [INSTANCE]
    assert cluster["services"] == [SERVICE]
    assert cluster["tasks"] == [TASK]


def test_stopped_tasks_are_read_only_when_asked_for():
    for is_wanted, statuses in ((False, ["RUNNING"]), (True, ["RUNNING", "STOPPED"])):
        client = make_client()
        read_overview(client, has_stopped_tasks=is_wanted)  # type: ignore[arg-type]
        asked = [ask["desiredStatus"] for name, ask in client.asked if name == "ListTasks"]
        assert asked == statuses


def test_the_tables_show_the_instances_name_the_newest_event_and_the_host_port():
    shown = render(overview_tables(read_overview(make_client())))  # type: ignore[arg-type]
    for part in ("local-2", "us-east-1b", "disconnected", "has reached a steady state"):
        assert part in shown
    assert "127.0.1.2:49153" in shown
    assert "older" not in shown


def test_a_service_that_is_stuck_shows_when_it_is_tried_again_and_why():
    client = make_client()
    client.answers["ExplainServices"] = [
        {
            "serviceArn": SERVICE["serviceArn"],
            "nextLaunchAt": time.time() + 12.4,
            "reasons": ["tasks don't stay up: app: CannotPullContainerError [x]"],
        }
    ]
    overview = read_overview(client)  # type: ignore[arg-type]
    assert overview[0]["services"][0]["homeport"]["reasons"]
    shown = render(overview_tables(overview))
    assert "next try in 12 s" in shown
    assert "CannotPullContainerError [x]" in shown
    assert "steady state" not in shown


def test_a_kind_of_which_there_is_none_has_no_table():
    client = make_client()
    for operation in ("ListContainerInstances", "ListServices", "ListTasks"):
        client.answers[operation] = []
    shown = render(overview_tables(read_overview(client)))  # type: ignore[arg-type]
    assert "Clusters" in shown
    assert "Tasks of" not in shown
    assert "Services of" not in shown


def test_ports_and_ranges_are_shown_with_the_address_that_they_are_bound_to():
    assert addresses(TASK) == ["127.0.1.2:49153", "127.0.1.2:49160-49161"]


def test_a_task_with_an_address_of_its_own_is_shown_by_it_once():
    container = {"networkBindings": [], "networkInterfaces": [{"privateIpv4Address": "10.213.1.4"}]}
    assert addresses({"containers": [container, container]}) == ["10.213.1.4"]
    assert addresses({"containers": [{"networkInterfaces": []}]}) == []
