"""Which events a commit means, and what EventBridge would deliver."""

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from builders import (
    NOW_MS,
    make_cluster,
    make_container_instance,
    make_service,
    make_store,
    make_task,
    put,
)
from homeport.core.capacity.provisioning import UNAVAILABLE
from homeport.core.placement.request import Refusal
from homeport.core.reconcile import rebalance, service_events
from homeport.core.reconcile.daemon import REASON_UNMATCHED
from homeport.model.capacity_provider import StrategyItem
from homeport.model.record import ResourceTags, Tag
from homeport.model.service import NO_DEPLOYMENT, Service, ServiceEvent, TaskSet
from homeport.model.service_deployment import HookState, ServiceDeployment
from homeport.operations.render.events import StateChange, encode_event, read_commit
from homeport.operations.render.service_actions import ServiceAction, read_service_action
from homeport.state.changes import AnyRecord, Commit
from homeport.state.view import View

INSTANCE = make_container_instance(attributes={"ecs.cpu-architecture": "x86_64"})
TASK = make_task(instance=INSTANCE)
SERVICE = make_service(desired_count=3)
PROVIDED = replace(SERVICE, capacity_provider_strategy=(StrategyItem("a", weight=1),))


class Watched:
    """A store, and the events of everything put into it since."""

    def __init__(self, *records: AnyRecord) -> None:
        self.store = make_store(make_cluster(), INSTANCE, *records)
        self.changes: list[StateChange] = []
        self.store.feed.watch(self._follow)

    def _follow(self, commit: Commit, replaced: tuple[AnyRecord | None, ...]) -> None:
        self.changes += read_commit(View(self.store), commit, replaced)

    def put(self, *records: AnyRecord) -> list[dict[str, Any]]:
        self.changes.clear()
        put(self.store, *records)
        return [msgspec.json.decode(encode_event(change)) for change in self.changes]


def test_a_new_task_is_an_event_with_the_task_as_its_detail():
    event, _ = Watched(ResourceTags(arn=TASK.arn, tags=(Tag("a", "b"),))).put(TASK)
    detail = event.pop("detail")
    assert len(event.pop("id")) == 36
    assert event == {
        "version": "0",
        "detail-type": "ECS Task State Change",
        "source": "aws.ecs",
        "account": "123456789012",
        "time": "2025-10-09T08:53:20Z",
        "region": "us-east-1",
        "resources": [TASK.arn],
    }
    assert detail["taskArn"] == TASK.arn
    assert detail["lastStatus"] == "PENDING"
    assert detail["createdAt"] == detail["updatedAt"] == "2025-10-09T08:53:20.000Z"
    assert detail["connectivity"] == "CONNECTED"
    assert detail["attributes"] == [{"name": "ecs.cpu-architecture", "value": "x86_64"}]
    assert detail["version"] == 1
    assert "healthStatus" not in detail
    assert "tags" not in detail
    assert "healthStatus" not in detail["containers"][0]


def test_health_alone_is_no_event_but_any_other_news_of_a_container_is():
    watched = Watched(TASK)
    (container,) = TASK.containers
    healthy = replace(
        TASK,
        version=2,
        health_status="HEALTHY",
        containers=(replace(container, health_status="HEALTHY"),),
    )
    assert watched.put(healthy) == []
    started = replace(container, last_status="RUNNING", runtime_id="abc")
    (event,) = watched.put(replace(healthy, version=3, containers=(started,)))
    assert event["detail"]["containers"][0]["lastStatus"] == "RUNNING"


def test_an_event_calls_a_network_interface_eni_as_eventbridge_does():
    event, *_ = Watched().put(replace(TASK, private_ip="10.213.1.4"))
    (attachment,) = event["detail"]["attachments"]
    assert attachment["type"] == "eni"


def test_a_task_put_again_as_it_was_is_no_event():
    assert Watched(TASK).put(TASK) == []


def test_an_instance_tells_its_connection_and_what_it_has_left():
    lost = replace(INSTANCE, agent_connected=False, version=2)
    (event,) = Watched(TASK).put(lost)
    assert event["detail-type"] == "ECS Container Instance State Change"
    assert event["resources"] == [INSTANCE.arn]
    detail = event["detail"]
    assert detail["agentConnected"] is False
    assert detail["clusterArn"] == INSTANCE.cluster_arn
    assert detail["version"] == 3  # its own, and a task that was placed
    assert {r["name"] for r in detail["remainingResources"]} >= {"CPU", "MEMORY"}
    assert detail["registeredAt"] == detail["updatedAt"] == "2025-10-09T08:53:20.000Z"


def test_an_instance_tells_of_every_task_that_is_placed_on_it_or_stops():
    watched = Watched()
    memory_mib = TASK.resources.memory_mib
    task, instance = watched.put(TASK)
    assert task["detail-type"] == "ECS Task State Change"
    assert instance["resources"] == [INSTANCE.arn]
    placed = instance["detail"]
    assert placed["version"] == 2
    assert placed["pendingTasksCount"] == 1
    assert left(placed, "MEMORY") == INSTANCE.resources.memory_mib - memory_mib
    running = replace(TASK, version=2, last_status="RUNNING")
    assert [e["detail-type"] for e in watched.put(running)] == ["ECS Task State Change"]
    stopped = replace(running, version=3, desired_status="STOPPED", last_status="STOPPED")
    _, instance = watched.put(stopped)
    assert instance["detail"]["version"] == 3
    assert left(instance["detail"], "MEMORY") == INSTANCE.resources.memory_mib


def test_tasks_of_one_commit_are_one_event_of_their_instance():
    events = Watched().put(TASK, make_task("two", instance=INSTANCE))
    assert [e["detail-type"] for e in events] == [
        "ECS Task State Change",
        "ECS Task State Change",
        "ECS Container Instance State Change",
    ]
    assert events[-1]["detail"]["version"] == 3


def test_a_task_that_waits_tells_of_an_instance_once_it_has_one():
    waiting = replace(TASK, container_instance_arn=None, last_status="PROVISIONING")
    watched = Watched()
    assert len(watched.put(waiting)) == 1
    placed = replace(TASK, version=2)
    assert watched.put(placed)[-1]["resources"] == [INSTANCE.arn]


def test_an_event_shows_what_was_left_then_whenever_it_is_read():
    watched = Watched()
    watched.put(TASK)
    placed = watched.changes[-1]
    watched.put(replace(TASK, version=2, desired_status="STOPPED", last_status="STOPPED"))
    detail = msgspec.json.decode(encode_event(placed))["detail"]
    assert left(detail, "CPU") == INSTANCE.resources.cpu_units - TASK.resources.cpu_units


def left(detail: dict[str, Any], name: str) -> int:
    """How much of a resource an instance has left."""
    return next(r["integerValue"] for r in detail["remainingResources"] if r["name"] == name)


def test_a_pause_hook_tells_that_it_waits_and_how_it_was_answered():
    hook = HookState(id="ecs-pause-1", stage="POST_SCALE_UP", expires_at_ms=NOW_MS)
    record = ServiceDeployment(
        arn="arn:aws:ecs:us-east-1:123456789012:service-deployment/default/web/x",
        service_arn=SERVICE.arn,
        cluster_arn=SERVICE.cluster_arn,
        deployment_id=SERVICE.primary.id,
        target_revision_arn="",
        hooks=(hook,),
    )
    watched = Watched(SERVICE)
    (event,) = watched.put(record)
    assert event["detail-type"] == "ECS Hook State Change"
    assert event["resources"] == [SERVICE.arn]
    assert event["detail"] == {
        "eventType": "INFO",
        "eventName": "HOOK_AWAITING_ACTION",
        "clusterArn": SERVICE.cluster_arn,
        "serviceDeploymentArn": record.arn,
        "hookId": "ecs-pause-1",
        "targetType": "PAUSE",
        "lifecycleStage": "POST_SCALE_UP",
        "status": "AWAITING_ACTION",
        "expiresAt": "2025-10-09T08:53:20.000Z",
        "timeoutAction": "ROLLBACK",
        "updatedAt": "2025-10-09T08:53:20.000Z",
    }
    assert watched.put(replace(record, updated_at_ms=1)) == []
    (event,) = watched.put(replace(record, hooks=(replace(hook, status="TIMED_OUT"),)))
    assert (event["detail"]["eventType"], event["detail"]["eventName"]) == (
        "ERROR",
        "HOOK_TIMED_OUT",
    )


def test_the_capacity_providers_of_a_steady_service_are_steady_too():
    said = message(service_events.steady_message(PROVIDED))
    _, event = Watched(PROVIDED).put(said)
    assert event["detail"]["eventName"] == "CAPACITY_PROVIDER_STEADY_STATE"
    (arn,) = event["detail"]["capacityProviderArns"]
    assert arn == "arn:aws:ecs:us-east-1:123456789012:capacity-provider/a"


def test_a_deployment_tells_its_beginning_its_end_and_its_failure():
    watched = Watched()
    deployment = replace(SERVICE.primary, rollout_state_reason="in progress.")
    (begun,) = watched.put(replace(SERVICE, deployments=(deployment,)))
    assert begun["resources"] == [SERVICE.arn]
    assert begun["detail"] == {
        "eventType": "INFO",
        "eventName": "SERVICE_DEPLOYMENT_IN_PROGRESS",
        "deploymentId": deployment.id,
        "updatedAt": "2025-10-09T08:53:20.000Z",
        "reason": "in progress.",
    }
    completed = replace(deployment, rollout_state="COMPLETED")
    (done,) = watched.put(replace(SERVICE, deployments=(completed,)))
    assert done["detail"]["eventName"] == "SERVICE_DEPLOYMENT_COMPLETED"
    failed = replace(deployment, rollout_state="FAILED", rollout_state_reason="tasks failed.")
    change, action = watched.put(replace(SERVICE, deployments=(failed,)))
    assert change["detail"]["eventType"] == "ERROR"
    assert change["detail"]["eventName"] == "SERVICE_DEPLOYMENT_FAILED"
    assert action["detail-type"] == "ECS Service Action"
    assert action["detail"]["reason"] == "tasks failed."


def test_a_deployment_that_is_complete_at_once_tells_its_beginning_as_well():
    world = Watched()
    done = replace(SERVICE.primary, rollout_state="COMPLETED", rollout_state_reason="done.")
    first, second = world.put(replace(SERVICE, deployments=(done,)))
    assert first["detail"]["eventName"] == "SERVICE_DEPLOYMENT_IN_PROGRESS"
    assert first["detail"]["reason"] == f"ECS deployment {done.id} in progress."
    assert second["detail"]["eventName"] == "SERVICE_DEPLOYMENT_COMPLETED"
    assert second["detail"]["reason"] == "done."


def test_a_service_of_task_sets_has_no_deployment_to_tell_of():
    service = replace(SERVICE, deployment_controller="EXTERNAL", deployments=(NO_DEPLOYMENT,))
    assert Watched().put(service) == []


def test_a_service_that_goes_over_to_another_controller_tells_of_no_deployment():
    kept = replace(SERVICE.primary, rollout_state="COMPLETED", rollout_state_reason="done.")
    deploying = replace(SERVICE, deployments=(kept,))
    as_set = TaskSet(id=kept.id, arn="set", task_definition_arn=kept.task_definition_arn)
    of_sets = replace(
        SERVICE,
        deployment_controller="EXTERNAL",
        deployments=(NO_DEPLOYMENT,),
        task_sets=(as_set,),
    )
    watched = Watched(deploying)
    assert watched.put(of_sets) == []
    assert watched.put(deploying) == []


def test_a_count_that_the_scheduler_computed_is_a_service_action_and_what_a_user_asks_for_none():
    assert Watched(SERVICE).put(replace(SERVICE, desired_count=5)) == []
    task_set = TaskSet(id="ecs-svc/1", arn="set", task_definition_arn="td", scale_percent=50.0)
    of_sets = replace(SERVICE, deployment_controller="EXTERNAL", task_sets=(task_set,))
    assert Watched(of_sets).put(replace(of_sets, desired_count=5)) != []
    daemon = replace(SERVICE, scheduling_strategy="DAEMON")
    (event,) = Watched(daemon).put(replace(daemon, desired_count=5))
    assert event["detail"] == {
        "eventType": "INFO",
        "eventName": "SERVICE_DESIRED_COUNT_UPDATED",
        "clusterArn": SERVICE.cluster_arn,
        "createdAt": "2025-10-09T08:53:20.000Z",
    }


@pytest.mark.parametrize("status", ["ACTIVE", "DRAINING"])
def test_a_daemon_whose_instance_stops_matching_says_so_but_not_of_one_that_drains(status: str):
    daemon = replace(SERVICE, scheduling_strategy="DAEMON")
    task = replace(TASK, service_arn=daemon.arn)
    watched = Watched(daemon, task, replace(INSTANCE, status=status))
    ending = replace(task, version=2, desired_status="STOPPED", stopped_reason=REASON_UNMATCHED)
    first, *rest = watched.put(ending)
    assert first["detail-type"] == "ECS Task State Change"
    named = [event["detail"] for event in rest if event["detail-type"] == "ECS Service Action"]
    assert [(each["eventType"], each["eventName"]) for each in named] == [
        ("ERROR", "SERVICE_DAEMON_PLACEMENT_CONSTRAINT_VIOLATED")
    ] * (status == "ACTIVE")
    assert all(each["containerInstanceArns"] == [INSTANCE.arn] for each in named)
    again = watched.put(replace(ending, version=3, last_status="STOPPED"))
    assert "ECS Service Action" not in [event["detail-type"] for event in again]


def test_a_service_message_that_ecs_has_an_action_for_is_an_event():
    (event,) = Watched(SERVICE).put(message(service_events.steady_message(SERVICE)))
    assert event["detail-type"] == "ECS Service Action"
    assert event["detail"]["eventName"] == "SERVICE_STEADY_STATE"


def test_every_message_of_the_scheduler_is_known_as_the_action_that_it_is():
    refused = Refusal(INSTANCE.arn, "RESOURCE:MEMORY", "")
    said = {
        service_events.stopped_messages(SERVICE, [TASK])[0]: ServiceAction("INFO", "TASKS_STOPPED"),
        service_events.impaired_message(SERVICE): ServiceAction(
            "WARN", "SERVICE_TASK_START_IMPAIRED"
        ),
        service_events.unplaced_message(SERVICE, [refused]): ServiceAction(
            "ERROR", "SERVICE_TASK_PLACEMENT_FAILURE", "RESOURCE:MEMORY", (INSTANCE.arn,)
        ),
        service_events.unplaced_message(SERVICE, []): ServiceAction(
            "ERROR", "SERVICE_TASK_PLACEMENT_FAILURE", "NO ACTIVE INSTANCES"
        ),
        service_events.unplaced_message(PROVIDED, []): ServiceAction(
            "ERROR", "SERVICE_TASK_PLACEMENT_FAILURE", "NO ACTIVE INSTANCES"
        ),
        service_events.unplaceable_message(SERVICE, "EMPTY CAPACITY PROVIDER"): ServiceAction(
            "ERROR", "SERVICE_TASK_PLACEMENT_FAILURE", "EMPTY CAPACITY PROVIDER"
        ),
        service_events.unplaceable_message(PROVIDED, UNAVAILABLE): ServiceAction(
            "ERROR", "SERVICE_TASK_PLACEMENT_FAILURE", "RESOURCE:FARGATE"
        ),
        rebalance.no_room_message(SERVICE, "us-east-1a"): ServiceAction(
            "ERROR", "SERVICE_TASK_PLACEMENT_FAILURE"
        ),
        rebalance.protected_move_message(SERVICE): ServiceAction(
            "INFO", "TASKSET_SCALE_IN_FAILURE_BY_TASK_PROTECTION"
        ),
        rebalance.rebalancing_stopped_message(SERVICE): ServiceAction(
            "INFO", "SERVICE_REBALANCING_STOPPED"
        ),
        rebalance.moved_messages(SERVICE, [TASK])[0]: ServiceAction("INFO", "TASKS_STOPPED"),
        f"(service {SERVICE.name}, taskSet ecs-svc/1) has reached a steady state.": ServiceAction(
            "INFO", "TASKSET_STEADY_STATE"
        ),
        service_events.started_messages(SERVICE, [TASK])[0]: None,
        service_events.completed_message(SERVICE): None,
    }
    for text, action in said.items():
        assert read_service_action(SERVICE, message(text)) == action, text


def test_numbers_grow_from_commit_to_commit_and_ids_differ():
    watched = Watched()
    watched.put(TASK, make_task("two"))
    first, second = watched.changes[:2]
    watched.put(replace(TASK, version=2, last_status="RUNNING"))
    (third,) = watched.changes
    assert first.sequence < second.sequence < third.sequence
    ids = {msgspec.json.decode(encode_event(each))["id"] for each in (first, second, third)}
    assert len(ids) == 3


def message(text: str, service: Service = SERVICE) -> ServiceEvent:
    """A line of the service's events."""
    return ServiceEvent(
        id="1", service_arn=service.arn, sequence=1, created_at_ms=NOW_MS, message=text
    )
