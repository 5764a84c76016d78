"""What `homeport instances` says of an instance, and of a drain that waits."""

from typing import Any

import pytest

from homeport.cli.failure import CommandFailure
from homeport.cli.instance_reading import Holding, find_instance, read_holding
from homeport.cli.instance_views import describe_lines, holder_lines

PREFIX = "arn:aws:ecs:us-east-1:123456789012"


def make_instance(short_id: str = "abcd1234", **members: Any) -> dict[str, Any]:
    return {
        "containerInstanceArn": f"{PREFIX}:container-instance/default/{short_id}",
        "ec2InstanceId": f"i-{short_id}",
        "status": "DRAINING",
        "agentConnected": True,
        "registeredAt": 1_700_000_000.0,
        "version": 7,
        "versionInfo": {"agentVersion": "1.105.1", "dockerVersion": "DockerVersion: 20.10"},
        "attributes": [
            {"name": "ecs.capability.task-eni"},
            {"name": "stack", "value": "test"},
            {"name": "flag"},
        ],
        "registeredResources": [
            {"name": "CPU", "type": "INTEGER", "integerValue": 2048},
            {"name": "PORTS", "type": "STRINGSET", "stringSetValue": ["22"]},
        ],
        "remainingResources": [
            {"name": "CPU", "type": "INTEGER", "integerValue": 1024},
            {"name": "PORTS", "type": "STRINGSET", "stringSetValue": ["22", "80"]},
        ],
        "healthStatus": {
            "overallStatus": "OK",
            "details": [{"type": "CONTAINER_RUNTIME", "status": "OK"}],
        },
        **members,
    }


def make_task(group: str, desired: str = "RUNNING") -> dict[str, Any]:
    return {
        "taskArn": f"{PREFIX}:task/default/0123456789abcdef",
        "taskDefinitionArn": f"{PREFIX}:task-definition/web:3",
        "group": group,
        "lastStatus": "RUNNING",
        "desiredStatus": desired,
    }


def make_service(least: int, most: int, *events: str) -> dict[str, Any]:
    return {
        "serviceName": "web",
        "deploymentConfiguration": {"minimumHealthyPercent": least, "maximumPercent": most},
        "events": [{"message": message} for message in events],
        "runningCount": 2,
        "desiredCount": 3,
    }


def holding(tasks: list[Any], *services: Any) -> Holding:
    return Holding(instance=make_instance(), tasks=tasks, services=list(services))


def test_a_description_has_status_health_resources_attributes_and_tasks():
    lines = "\n".join(describe_lines(holding([make_task("service:web")])))
    for text in (
        "DRAINING, agent connected",
        "OK (CONTAINER_RUNTIME OK)",
        "1024 of 2048 left",
        "22 80 in use",
        "stack = test",
        "flag",
        "1 (--json shows them)",
        "0123456789ab web:3 service:web RUNNING",
    ):
        assert text in lines
    assert "task-eni" not in lines


def test_nothing_holds_an_empty_instance():
    assert holder_lines(holding([])) == []


def test_services_and_standalone_tasks_that_hold_an_instance_are_named():
    tasks = [make_task("service:web"), make_task("service:web", "STOPPED"), make_task("family:x")]
    assert holder_lines(holding(tasks, make_service(50, 200))) == [
        "service web: 2 tasks, 1 stopping; 2 of 3 run",
        "1 standalone task: draining leaves them alone until they end or are stopped",
    ]


def test_bounds_that_block_a_drain_for_ever_are_explained():
    [line] = holder_lines(holding([make_task("service:web")], make_service(100, 100)))
    assert "are both 100" in line


def test_a_service_without_room_elsewhere_says_so():
    event = "(service web) was unable to place a task because no container instance met all."
    [line] = holder_lines(holding([make_task("service:web")], make_service(100, 200, event)))
    assert line.endswith(event)


def test_a_service_whose_tasks_all_stop_needs_no_reason():
    tasks = [make_task("service:web", "STOPPED")]
    assert holder_lines(holding(tasks, make_service(100, 100))) == [
        "service web: 1 task, 1 stopping"
    ]


class FakeClient:
    def __init__(self, *instances: dict[str, Any], tasks: list[Any] | None = None) -> None:
        self.instances = {each["containerInstanceArn"]: each for each in instances}
        self.tasks = tasks or []

    def list_all(self, operation, member, request=None):
        if operation == "ListTasks":
            wanted = request["desiredStatus"]
            return iter(str(n) for n, t in enumerate(self.tasks) if t["desiredStatus"] == wanted)
        return iter(self.instances)

    def describe_all(self, operation, member, names, *, page_size=100, request=None):
        if operation == "DescribeTasks":
            return [self.tasks[int(name)] for name in names]
        if operation == "DescribeServices":
            return [{"serviceName": name} for name in names]
        return [self.instances[name] for name in names if name in self.instances]


LOCAL = make_instance("abcd9999", attributes=[{"name": "homeport.instance", "value": "local-2"}])
CLIENT: Any = FakeClient(make_instance(), LOCAL)


@pytest.mark.parametrize("name", ["local-2", "abcd9", "i-abcd9999", LOCAL["containerInstanceArn"]])
def test_an_instance_is_found_by_any_of_its_names(name: str):
    assert find_instance(CLIENT, "default", name) is LOCAL


@pytest.mark.parametrize(
    ("name", "complaint"), [("abcd", "several"), ("nobody", "there are: i-abcd1234, local-2")]
)
def test_a_name_of_none_or_several_is_refused(name: str, complaint: str):
    with pytest.raises(CommandFailure, match=complaint):
        find_instance(CLIENT, "default", name)


def test_what_an_instance_holds_are_the_tasks_that_have_not_stopped():
    ended = {**make_task("service:web", "STOPPED"), "lastStatus": "STOPPED"}
    tasks = [make_task("service:web"), make_task("family:x", "STOPPED"), ended]
    client: Any = FakeClient(LOCAL, tasks=tasks)
    held = read_holding(client, "default", LOCAL["containerInstanceArn"])
    assert held.tasks == tasks[:2]
    assert [service["serviceName"] for service in held.services] == ["web"]
    assert (len(held.service_tasks), len(held.standalone_tasks)) == (1, 1)
