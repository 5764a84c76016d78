"""Deployments on a real `homeport up`: a crashing image is rolled back, daemons run everywhere."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from homeport.cli.api_client import ApiClient
from homeport_process import HomeportProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.docker, pytest.mark.slow]

LIMIT_S = 60
ROLLBACK_LIMIT_S = 20
TASKS_AT_ONCE = 10  # RunTask's limit
HANDLES_SIGTERM = ["/bin/sh", "-c", "trap 'exit 3' TERM; sleep 600 & wait"]
BREAKER = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}


@pytest.fixture(scope="module")
def api(docker_engine: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiClient]:
    folder = tmp_path_factory.mktemp("up")
    process = HomeportProcess(["up", "--port", "0", "--data-dir", str(folder)])
    try:
        line = process.wait_line("Homeport is up at http://", limit_s=60)
        endpoint = line.partition("Homeport is up at ")[2].partition(",")[0]
        yield ApiClient(endpoint, "us-east-1")
    finally:
        process.send(signal.SIGINT)
        process.wait()


def register(api: ApiClient, family: str, image: str, command: list[str]) -> str:
    container = {
        "name": "app",
        "image": image,
        "command": command,
        "memory": 16,
        "stopTimeout": 2,
    }
    request = {"family": family, "containerDefinitions": [container]}
    answer = api.call("RegisterTaskDefinition", request)
    return str(answer["taskDefinition"]["taskDefinitionArn"])


def wait_for(
    api: ApiClient,
    name: str,
    is_reached: Callable[[dict[str, Any]], bool],
    limit_s: float = LIMIT_S,
) -> dict[str, Any]:
    """Describe a service until it is as wanted; the API has no call that waits."""
    ends_at = time.monotonic() + limit_s
    while True:
        service: dict[str, Any] = api.call("DescribeServices", {"services": [name]})["services"][0]
        if is_reached(service):
            return service
        assert time.monotonic() < ends_at, service
        time.sleep(0.1)


def run_tasks(api: ApiClient, definition: str, count: int) -> list[str]:
    """Run tasks; answers their ARNs."""
    answer = api.call("RunTask", {"taskDefinition": definition, "count": count})
    assert answer["failures"] == []
    return [task["taskArn"] for task in answer["tasks"]]


def wait_for_tasks(api: ApiClient, arns: list[str], status: str) -> list[dict[str, Any]]:
    """Describe tasks until all have a status."""
    ends_at = time.monotonic() + LIMIT_S
    while True:
        tasks: list[dict[str, Any]] = api.call("DescribeTasks", {"tasks": arns})["tasks"]
        if all(task["lastStatus"] == status for task in tasks):
            return tasks
        assert time.monotonic() < ends_at, [task["lastStatus"] for task in tasks]
        time.sleep(0.05)


def is_complete(service: dict[str, Any]) -> bool:
    deployments = service["deployments"]
    return len(deployments) == 1 and deployments[0]["rolloutState"] == "COMPLETED"


def test_an_image_that_crashes_is_rolled_back_within_seconds(api: ApiClient, busybox_image: str):
    good = register(api, "crash", busybox_image, ["/bin/sleep", "600"])
    created = {
        "serviceName": "crash",
        "taskDefinition": good,
        "desiredCount": 2,
        "deploymentConfiguration": BREAKER,
    }
    api.call("CreateService", created)
    wait_for(api, "crash", is_complete)
    tasks = api.call("ListTasks", {"serviceName": "crash"})["taskArns"]
    bad = register(api, "crash", busybox_image, ["/bin/sh", "-c", "sleep 0.3; exit 1"])
    update = {"service": "crash", "taskDefinition": bad}
    deployment = api.call("UpdateService", update)["service"]["currentServiceDeployment"]
    rolled = wait_for(
        api,
        "crash",
        lambda service: service["taskDefinition"] == good and is_complete(service),
        ROLLBACK_LIMIT_S,
    )
    assert rolled["runningCount"] == 2
    kept = api.call("ListTasks", {"serviceName": "crash"})["taskArns"]
    assert sorted(kept) == sorted(tasks)
    asked = {"serviceDeploymentArns": [deployment]}
    (told,) = api.call("DescribeServiceDeployments", asked)["serviceDeployments"]
    assert told["status"] == "ROLLBACK_SUCCESSFUL"
    assert told["deploymentCircuitBreaker"]["status"] == "TRIGGERED"


def test_a_daemon_has_a_container_on_every_instance(api: ApiClient, busybox_image: str):
    definition = register(api, "daemon", busybox_image, ["/bin/sleep", "600"])
    request = {
        "serviceName": "daemon",
        "taskDefinition": definition,
        "schedulingStrategy": "DAEMON",
    }
    api.call("CreateService", request)
    service = wait_for(api, "daemon", lambda found: found["runningCount"] == 2)
    assert service["desiredCount"] == 2
    arns = api.call("ListTasks", {"serviceName": "daemon"})["taskArns"]
    tasks = api.call("DescribeTasks", {"tasks": arns})["tasks"]
    assert len({task["containerInstanceArn"] for task in tasks}) == 2


def test_a_service_whose_image_is_missing_says_so_and_backs_off(api: ApiClient):
    missing = register(api, "missing", "homeport-test/no-such-image:1", ["/bin/true"])
    api.call(
        "CreateService", {"serviceName": "missing", "taskDefinition": missing, "desiredCount": 1}
    )
    text = "(service missing) is unable to consistently start tasks successfully."

    wait_for(api, "missing", lambda s: any(e["message"] == text for e in s["events"]))

    listed = api.call("ListTasks", {"serviceName": "missing", "desiredStatus": "STOPPED"})
    tasks = api.call("DescribeTasks", {"tasks": listed["taskArns"]})["tasks"]
    assert {task["stopCode"] for task in tasks} == {"TaskFailedToStart"}
    assert all("CannotPullContainerError" in task["containers"][0]["reason"] for task in tasks)
    started = len(tasks)
    # Without the growing delay a hundred more would have been tried by now.
    assert started < 20
    api.call("DeleteService", {"service": "missing", "force": True})
    wait_for(api, "missing", lambda s: s["status"] == "INACTIVE")


def test_a_users_stop_task_is_over_before_the_tasks_that_are_being_started(
    api: ApiClient, busybox_image: str
):
    definition = register(api, "stopped", busybox_image, HANDLES_SIGTERM)
    (first,) = run_tasks(api, definition, 1)
    wait_for_tasks(api, [first], "RUNNING")
    others = run_tasks(api, definition, TASKS_AT_ONCE) + run_tasks(api, definition, TASKS_AT_ONCE)
    api.call("StopTask", {"task": first})
    (stopped,) = wait_for_tasks(api, [first], "STOPPED")
    started = wait_for_tasks(api, others, "RUNNING")
    assert stopped["containers"][0]["exitCode"] == 3
    assert stopped["stoppedAt"] < max(task["startedAt"] for task in started)
    for arn in others:
        api.call("StopTask", {"task": arn})
    wait_for_tasks(api, others, "STOPPED")


def create_staged(api: ApiClient, name: str, image: str, **configuration: Any) -> tuple[str, str]:
    """Create a BLUE_GREEN service of two tasks, and register what comes next; answers both."""
    blue, green = (register(api, name, image, ["/bin/sleep", str(600 + n)]) for n in (0, 1))
    created = {
        "serviceName": name,
        "taskDefinition": blue,
        "desiredCount": 2,
        "deploymentConfiguration": {
            "strategy": "BLUE_GREEN",
            "bakeTimeInMinutes": 0,
            **configuration,
        },
    }
    api.call("CreateService", created)
    wait_for(api, name, is_complete)
    return blue, green


def deploy(api: ApiClient, name: str, definition: str) -> str:
    """Update a service; answers its service deployment."""
    update = {"service": name, "taskDefinition": definition}
    return str(api.call("UpdateService", update)["service"]["currentServiceDeployment"])


def wait_for_deployment(
    api: ApiClient, arn: str, is_reached: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    """Describe a service deployment until it is as wanted."""
    ends_at = time.monotonic() + LIMIT_S
    asked = {"serviceDeploymentArns": [arn]}
    while True:
        (told,) = api.call("DescribeServiceDeployments", asked)["serviceDeployments"]
        if is_reached(told):
            return dict(told)
        assert time.monotonic() < ends_at, told
        time.sleep(0.1)


def running_revisions(api: ApiClient, name: str) -> dict[str, str]:
    """Answer the service's RUNNING tasks with their task definitions."""
    arns = api.call("ListTasks", {"serviceName": name})["taskArns"]
    tasks = api.call("DescribeTasks", {"tasks": arns})["tasks"] if arns else []
    return {t["taskArn"]: t["taskDefinitionArn"] for t in tasks if t["lastStatus"] == "RUNNING"}


def test_blue_and_green_run_beside_each_other_until_somebody_answers_the_hook(
    api: ApiClient, busybox_image: str
):
    pause = {"targetType": "PAUSE", "lifecycleStages": ["POST_SCALE_UP"]}
    blue, green = create_staged(
        api, "paused", busybox_image, bakeTimeInMinutes=0, lifecycleHooks=[pause]
    )
    arn = deploy(api, "paused", green)
    told = wait_for_deployment(
        api, arn, lambda d: any(h["status"] == "AWAITING_ACTION" for h in hooks(d))
    )
    assert told["lifecycleStage"] == "POST_SCALE_UP"
    assert sorted(running_revisions(api, "paused").values()) == [blue, blue, green, green]
    (hook,) = hooks(told)
    api.call(
        "ContinueServiceDeployment",
        {"serviceDeploymentArn": arn, "hookId": hook["hookId"], "action": "CONTINUE"},
    )
    told = wait_for_deployment(api, arn, lambda d: d["status"] == "SUCCESSFUL")
    wait_for(api, "paused", is_complete)
    assert set(running_revisions(api, "paused").values()) == {green}


def test_a_deployment_stopped_while_it_bakes_goes_back_to_the_blue_tasks(
    api: ApiClient, busybox_image: str
):
    _, green = create_staged(api, "baked", busybox_image, bakeTimeInMinutes=5)
    kept = set(running_revisions(api, "baked"))
    arn = deploy(api, "baked", green)
    wait_for_deployment(api, arn, lambda d: d.get("lifecycleStage") == "BAKE_TIME")
    assert len(running_revisions(api, "baked")) == 4
    api.call("StopServiceDeployment", {"serviceDeploymentArn": arn, "stopType": "ROLLBACK"})
    wait_for_deployment(api, arn, lambda d: d["status"] == "ROLLBACK_SUCCESSFUL")
    wait_for(api, "baked", is_complete)
    assert set(running_revisions(api, "baked")) == kept


def hooks(deployment: dict[str, Any]) -> list[dict[str, Any]]:
    """Answer the hooks that a service deployment has come to."""
    return list(deployment.get("lifecycleHookDetails", []))
