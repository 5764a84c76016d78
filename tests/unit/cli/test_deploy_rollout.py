"""How a watched deployment ends, asked of a server whose every state the test gives."""

from typing import Any

import pytest

from homeport.cli.deploy_plan import ServicePlan
from homeport.cli.deploy_rollout import Look, Rollout, Watch, carry_out, is_steady
from homeport.cli.deploy_wish import WantedService
from homeport.cli.event_feed import Event, EventFeed

OWN, OTHER = "ecs-svc/2", "ecs-svc/1"
PREFIX = "arn:aws:ecs:us-east-1:123456789012"
REVISION = f"{PREFIX}:task-definition/web:2"


def deployment(id_: str = OWN, status: str = "PRIMARY", state: str = "IN_PROGRESS") -> Any:
    reason = "the circuit breaker." if state == "FAILED" else ""
    return {
        "id": id_,
        "status": status,
        "rolloutState": state,
        "rolloutStateReason": reason,
        "taskDefinition": REVISION,
    }


def service(*deployments: Any, running: int = 1, pending: int = 0, **members: Any) -> Any:
    return {
        "serviceName": "web",
        "status": "ACTIVE",
        "desiredCount": 1,
        "runningCount": running,
        "pendingCount": pending,
        "deployments": list(deployments),
        "events": [],
        **members,
    }


STEADY = service(deployment(state="COMPLETED"))
ROLLING = service(deployment(), deployment(OTHER, "ACTIVE", "COMPLETED"), running=0, pending=1)


class Server:
    """Gives one state after the other, one a look; the last one stays."""

    def __init__(self, *states: Any) -> None:
        self.states = list(states)
        self.tasks: list[dict[str, Any]] = []
        self.events: list[list[Event]] = []
        self.calls: list[tuple[str, Any]] = []
        self.reasons: list[str] = []
        self.endpoint = "http://test"

    def call(self, operation: str, request: Any) -> Any:
        self.calls.append((operation, request))
        if operation == "DescribeServices":
            state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
            return {"services": [] if state is None else [state]}
        if operation == "RegisterTaskDefinition":
            return {"taskDefinition": {"taskDefinitionArn": REVISION}}
        return {"service": ROLLING}

    def call_homeport(self, operation: str, request: Any) -> Any:
        if operation == "ExplainServices":
            return {"services": [{"reasons": self.reasons}] if self.reasons else []}
        events = self.events.pop(0) if self.events else []
        listed = [{"sequence": 1, "event": event} for event in events]
        return {"events": listed, "lastSequence": 1, "isIncomplete": False}

    def list_all(self, operation: str, member: str, request: Any) -> Any:
        wanted = request.get("desiredStatus", "RUNNING")
        return (each["taskArn"] for each in self.tasks if each["desiredStatus"] == wanted)

    def describe_all(self, operation: str, member: str, names: Any, request: Any) -> Any:
        return [each for each in self.tasks if each["taskArn"] in names]


def watch(server: Server, timeout_s: float = 60) -> tuple[Rollout, list[Look], list[Event]]:
    """Watch one deployment to its end: it, every look, every event shown."""
    rollout = Rollout(service="web", deployment_id=OWN, definition_arn=REVISION)
    looks: list[Look] = []
    shown: list[Event] = []

    def show(_: list[Rollout], seen: list[Look], events: list[Event]) -> None:
        looks.extend(seen)
        shown.extend(events)

    feed = EventFeed(server)  # type: ignore[arg-type]
    watching = Watch(server, "default", feed)  # type: ignore[arg-type]
    watching.run([rollout], timeout_s=timeout_s, show=show)
    return rollout, looks, shown


def test_it_is_steady_when_one_complete_deployment_runs_all_tasks():
    rollout, looks, _ = watch(Server(ROLLING, ROLLING, STEADY))
    assert rollout.outcome == "steady"
    assert len(looks) == 3


@pytest.mark.parametrize(
    "state",
    [
        ROLLING,
        service(deployment()),
        service(deployment(state="COMPLETED"), running=0),
        service(deployment(state="COMPLETED"), pending=1),
        service(deployment(state="COMPLETED"), deployment(OTHER, "ACTIVE", "COMPLETED")),
    ],
)
def test_anything_less_is_not_steady(state):
    assert not is_steady(state)
    assert is_steady(STEADY)


def test_a_failed_deployment_says_why_its_tasks_stopped():
    rolled_back = service(deployment(OTHER), deployment(OWN, "ACTIVE", "FAILED"))
    server = Server(ROLLING, rolled_back)
    server.tasks = [
        task("a", stoppedAt=1, stoppedReason="first"),
        task("b", stoppedAt=2, stoppedReason="Essential container in task exited", exit_code=3),
        task("c", stoppedAt=3, stoppedReason="another's", startedBy=OTHER),
        task("d", stoppedAt=4, stoppedReason="scaled in", stopCode="ServiceSchedulerInitiated"),
    ]
    rollout, *_ = watch(server)
    assert rollout.outcome == "failed"
    assert rollout.reason == (
        "the circuit breaker. A task of it stopped: Essential container in task exited; "
        "container app exited 3."
    )


def test_a_failure_for_lack_of_room_says_what_is_lacking_and_who_knows_more():
    messages = (
        "deployment failed: tasks failed to start.",
        "was unable to place a task because it is big. For more information, see the Guide.",
        "has reached a steady state.",
    )
    events = [{"id": each, "message": f"(service web) {each}"} for each in messages]
    failed = service(deployment(state="FAILED"), events=events)
    rollout, *_ = watch(Server(ROLLING, failed))
    assert rollout.reason == (
        "the circuit breaker. It was unable to place a task because it is big. "
        "`homeport why web` says what would help."
    )
    settled = service(deployment(state="FAILED"), events=[*events[2:], *events[:2]])
    rollout, *_ = watch(Server(ROLLING, settled))
    assert rollout.reason == "the circuit breaker."
    late, *_ = watch(Server(service(deployment(), events=events)), timeout_s=0)
    assert late.reason.endswith("because it is big. `homeport why web` says what would help.")


def test_a_failure_that_is_rolled_back_names_the_revision_that_runs_again():
    own = {**deployment(OWN, "ACTIVE", "FAILED"), "rolloutStateReason": f"back to {OTHER}."}
    older = {**deployment(OTHER), "taskDefinition": f"{PREFIX}:task-definition/web:1"}
    rollout, *_ = watch(Server(ROLLING, service(older, own)))
    assert rollout.reason == f"back to {OTHER}. The service is back on web:1."


def test_an_image_that_cannot_be_pulled_is_named():
    server = Server(ROLLING, service(deployment(state="FAILED")))
    said = "CannotPullContainerError: no such host"
    container = {"name": "app", "image": "shop:2", "reason": said}
    server.tasks = [task("a", stoppedReason=said, containers=[container])]
    server.tasks[0]["stopCode"] = "TaskFailedToStart"
    rollout, *_ = watch(server)
    assert rollout.reason == (
        "the circuit breaker. A task of it stopped: CannotPullContainerError: no such host; "
        "container app wants image shop:2."
    )


def test_a_failure_that_the_service_shows_no_more_is_known_from_its_event():
    gone = service(deployment(OTHER, state="IN_PROGRESS"))
    server = Server(ROLLING, gone)
    detail = {"eventName": "SERVICE_DEPLOYMENT_FAILED", "deploymentId": OWN, "reason": "broken."}
    failed = {"resources": [f"{PREFIX}:service/default/web"], "detail": detail}
    server.events = [[], [failed]]
    rollout, _, shown = watch(server)
    assert (rollout.outcome, rollout.reason) == ("failed", "broken.")
    assert shown == [failed]


def test_a_newer_deployment_that_took_its_place_is_named():
    taken = service(deployment("ecs-svc/3"), deployment(OWN, "ACTIVE"))
    rollout, *_ = watch(Server(ROLLING, taken))
    assert rollout.outcome == "failed"
    assert rollout.reason == "deployment ecs-svc/3 has taken its place"


@pytest.mark.parametrize("state", [None, {**STEADY, "status": "DRAINING"}])
def test_a_service_that_is_deleted_meanwhile_is_said(state):
    rollout, *_ = watch(Server(ROLLING, state))
    assert (rollout.outcome, rollout.reason) == ("failed", "the service is being deleted")


def test_what_is_not_steady_in_time_times_out_with_what_is_known():
    rollout, looks, _ = watch(Server(ROLLING), timeout_s=0)
    assert rollout.outcome == "timed out"
    assert rollout.reason == "the tasks are not all running yet"
    assert len(looks) == 1


def test_what_times_out_says_the_services_last_message():
    complaint = {"id": "1", "message": "(service web) was unable to place a task."}
    rollout, *_ = watch(Server({**ROLLING, "events": [complaint]}, ROLLING), timeout_s=0.001)
    assert rollout.reason == complaint["message"]


def test_what_times_out_says_what_its_service_waits_for():
    server = Server(ROLLING)
    server.reasons = ["paused in PRE_SCALE_UP: answer hook x", "2 tasks wait for capacity"]
    rollout, *_ = watch(server, timeout_s=0)
    assert rollout.reason == "; ".join(server.reasons)


def test_where_a_steady_service_listens_is_kept():
    server = Server(STEADY)
    binding = {"bindIP": "127.0.1.1", "hostPort": 32_768, "containerPort": 80}
    containers = [{"name": "app", "networkBindings": [binding]}]
    server.tasks = [
        task("a", lastStatus="RUNNING", desiredStatus="RUNNING", containers=containers)
    ]
    rollout, *_ = watch(server)
    assert rollout.addresses == ("127.0.1.1:32768",)


def test_tasks_are_counted_by_revision_and_by_what_becomes_of_them():
    server = Server(ROLLING, STEADY)
    server.tasks = [
        task("a", lastStatus="RUNNING", desiredStatus="RUNNING"),
        task("b", lastStatus="RUNNING", desiredStatus="RUNNING", healthStatus="UNHEALTHY"),
        task("c", lastStatus="PENDING", desiredStatus="RUNNING"),
        task("d", lastStatus="STOPPED"),
    ]
    _, (first, _), _ = watch(server)
    assert first.tasks == {
        ("web:2", "RUNNING"): 1,
        ("web:2", "UNHEALTHY"): 1,
        ("web:2", "PENDING"): 1,
    }


def test_a_task_once_seen_is_shown_while_it_stops_though_it_is_listed_no_more():
    class Stopping(Server):
        def call(self, operation: str, request: Any) -> Any:
            if len(self.states) == 1:
                self.tasks[0]["desiredStatus"] = "STOPPED"
            return super().call(operation, request)

    server = Stopping(ROLLING, STEADY)
    server.tasks = [task("a", lastStatus="RUNNING", desiredStatus="RUNNING")]
    _, (first, second), _ = watch(server)
    assert first.tasks == {("web:2", "RUNNING"): 1}
    assert second.tasks == {("web:2", "STOPPING"): 1}


def test_each_message_is_shown_once_and_earlier_ones_never():
    old, new = {"id": "1", "message": "old"}, {"id": "2", "message": "new"}
    server = Server(
        {**ROLLING, "events": [old]},
        {**ROLLING, "events": [new, old]},
        {**STEADY, "events": [new, old]},
    )
    watching = Watch(server, "default", EventFeed(server))  # type: ignore[arg-type]
    watching.begin("web")
    rollout = Rollout(service="web", deployment_id=OWN, definition_arn=REVISION)
    messages: list[str] = []
    watching.run(
        [rollout], timeout_s=60, show=lambda _r, looks, _e: messages.extend(looks[0].messages)
    )
    assert messages == ["new"]


def test_a_new_service_is_made_with_a_circuit_breaker_and_a_known_one_keeps_its_own():
    server = Server(STEADY)
    wanted = WantedService(name="web", definition={"family": "web"})
    plan = ServicePlan(wanted=wanted, is_new=True, definition_arn=None, count_after=2)
    rollout = carry_out(server, "default", plan)  # type: ignore[arg-type]
    assert rollout.deployment_id == OWN
    (_, definition), (operation, request) = server.calls
    assert definition == {"family": "web"}
    assert operation == "CreateService"
    assert request["desiredCount"] == 2
    assert request["deploymentConfiguration"] == {
        "deploymentCircuitBreaker": {"enable": True, "rollback": True}
    }
    server.calls.clear()
    plan = ServicePlan(
        wanted=wanted, is_new=False, definition_arn=REVISION, count_before=1, count_after=1
    )
    carry_out(server, "default", plan)  # type: ignore[arg-type]
    assert server.calls == [
        (
            "UpdateService",
            {
                "cluster": "default",
                "service": "web",
                "taskDefinition": REVISION,
                "forceNewDeployment": False,
            },
        )
    ]


def task(name: str, exit_code: int | None = None, **members: Any) -> dict[str, Any]:
    container: dict[str, Any] = {"name": "app"}
    if exit_code is not None:
        container["exitCode"] = exit_code
    return {
        "taskArn": name,
        "taskDefinitionArn": REVISION,
        "startedBy": OWN,
        "lastStatus": "STOPPED",
        "desiredStatus": "STOPPED",
        "stopCode": "EssentialContainerExited",
        "containers": [container],
        **members,
    }
