"""Carrying a plan out, and looking at a deployment until it is steady or has failed.

Everything is read from the public API: one look is the whole state, an event only says when to
look again. What is shown is `deploy_view`'s work.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any, Literal

import msgspec

from homeport.cli.api_client import ApiClient
from homeport.cli.deploy_plan import ServicePlan, describe_service
from homeport.cli.event_feed import Event, EventFeed, is_about
from homeport.cli.overview import addresses

# Health changes are no events, so a deployment is looked at this often even when nothing comes.
LOOK_INTERVAL_S = 1
EXPLAINED_TASKS = 1_000  # stopped tasks that are searched for a reason
UNPULLED = "CannotPullContainerError"

Outcome = Literal["steady", "failed", "timed out", "interrupted", "not begun"]


class Rollout(msgspec.Struct, kw_only=True):
    """One deployment under way; `reason` says why it isn't steady. Not begun, it has no id."""

    service: str
    deployment_id: str
    definition_arn: str
    outcome: Outcome | None = None
    reason: str = ""
    addresses: tuple[str, ...] = ()  # ADDRESS:PORT of its published ports, once it is steady


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """A service at one moment: its tasks by revision and status, and messages not seen before."""

    service: str
    desired_count: int
    running_count: int
    tasks: Mapping[tuple[str, str], int]
    messages: tuple[str, ...]


Show = Callable[[list[Rollout], list[Look], list[Event]], None]


def carry_out(client: ApiClient, cluster: str, plan: ServicePlan) -> Rollout:
    """Register the revision if there is a new one, and create or update the service."""
    wanted = plan.wanted
    arn = plan.definition_arn
    if arn is None:
        registered = client.call("RegisterTaskDefinition", wanted.definition)
        arn = str(registered["taskDefinition"]["taskDefinitionArn"])
    request: dict[str, Any] = {"cluster": cluster, "taskDefinition": arn}
    if plan.is_new:
        # So that a bad image ends in an answer, and not in tries without end.
        configuration: dict[str, Any] = {
            "deploymentCircuitBreaker": {"enable": True, "rollback": True}
        }
        if plan.minimum_healthy_percent is not None:
            configuration["minimumHealthyPercent"] = plan.minimum_healthy_percent
        request |= {
            "serviceName": wanted.name,
            "desiredCount": plan.count_after,
            "deploymentConfiguration": configuration,
        }
        service = client.call("CreateService", request)["service"]
    else:
        request |= {"service": wanted.name, "forceNewDeployment": plan.is_forced}
        if plan.count_after != plan.count_before:
            request["desiredCount"] = plan.count_after
        service = client.call("UpdateService", request)["service"]
    return make_rollout(service)


def make_rollout(service: Mapping[str, Any]) -> Rollout:
    """Begin to watch the newest deployment of a service as it is described."""
    primary = _primary(service)
    return Rollout(
        service=str(service["serviceName"]),
        deployment_id=str(primary["id"]),
        definition_arn=str(primary["taskDefinition"]),
    )


class Watch:
    """Looks at some deployments of one cluster until each has an outcome."""

    def __init__(self, client: ApiClient, cluster: str, feed: EventFeed) -> None:
        self._client = client
        self._cluster = cluster
        self._feed = feed
        self._seen_messages: dict[str, set[str]] = {}
        self._last_messages: dict[str, str] = {}
        self._failures: dict[str, str] = {}  # reasons by deployment, as events tell them
        self._living: dict[str, dict[str, None]] = {}  # tasks not yet STOPPED, by service
        self._unshown: list[Event] = []

    def begin(self, service: str) -> None:
        """Take the messages that a service has now as seen, before it is changed."""
        known = describe_service(self._client, self._cluster, service)
        self._read_messages(service, known)

    def run(self, rollouts: list[Rollout], *, timeout_s: float, show: Show) -> None:
        """Look again and again until all have an outcome or the time is over."""
        deadline = time.monotonic() + timeout_s
        while True:
            looks = [self._look(each) for each in rollouts]
            is_late = time.monotonic() >= deadline
            for rollout in rollouts:
                if rollout.outcome is None and is_late:
                    rollout.outcome = "timed out"
                    rollout.reason = self._explain_delay(rollout)
            events, self._unshown = self._unshown, []
            show(rollouts, looks, [event for event in events if self._is_about(event, rollouts)])
            if all(rollout.outcome is not None for rollout in rollouts):
                return
            self._read_events(wait_s=LOOK_INTERVAL_S)

    def _is_about(self, event: Event, rollouts: list[Rollout]) -> bool:
        return any(
            is_about(event, cluster=self._cluster, service=each.service) for each in rollouts
        )

    def _read_events(self, *, wait_s: int) -> None:
        for event in self._feed.read_next(wait_s=wait_s):
            self._unshown.append(event)
            detail = event["detail"]
            if detail.get("eventName") == "SERVICE_DEPLOYMENT_FAILED" and "deploymentId" in detail:
                self._failures[detail["deploymentId"]] = str(detail.get("reason", ""))

    def _look(self, rollout: Rollout) -> Look:
        service = describe_service(self._client, self._cluster, rollout.service)
        if rollout.outcome is None:
            self._judge(rollout, service)
        known = service or {}
        tasks = self._read_tasks(rollout.service)
        if rollout.outcome == "steady":
            rollout.addresses = tuple(sorted(port for task in tasks for port in addresses(task)))
        return Look(
            service=rollout.service,
            desired_count=int(known.get("desiredCount", 0)),
            running_count=int(known.get("runningCount", 0)),
            tasks=Counter(
                (str(task["taskDefinitionArn"]).rpartition("/")[2], _state(task)) for task in tasks
            ),
            messages=self._read_messages(rollout.service, service),
        )

    def _judge(self, rollout: Rollout, service: Mapping[str, Any] | None) -> None:
        if service is None or service["status"] != "ACTIVE":
            rollout.outcome, rollout.reason = "failed", "the service is being deleted"
            return
        deployments = {each["id"]: each for each in service["deployments"]}
        own = deployments.get(rollout.deployment_id)
        if own is None or own["status"] != "PRIMARY":
            self._read_events(wait_s=0)  # which may say that it failed, if the service does no more
        failure = self._failures.get(rollout.deployment_id)
        if own is not None and own.get("rolloutState") == "FAILED":
            failure = str(own.get("rolloutStateReason", ""))
        if failure is not None:
            rollout.outcome = "failed"
            why = self._explain(rollout) or _explain_lack_of_room(service)
            after = _describe_rollback(service, failure)
            rollout.reason = " ".join(filter(None, (failure, why, after)))
        elif own is None or own["status"] != "PRIMARY":
            rollout.outcome = "failed"
            rollout.reason = f"deployment {_primary(service)['id']} has taken its place"
        elif is_steady(service):
            rollout.outcome = "steady"

    def _explain_delay(self, rollout: Rollout) -> str:
        service = describe_service(self._client, self._cluster, rollout.service)
        return (
            self._explain(rollout)
            or (_explain_lack_of_room(service) if service is not None else "")
            or self._read_reasons(rollout.service)
            or self._last_messages.get(rollout.service)
            or "the tasks are not all running yet"
        )

    def _explain(self, rollout: Rollout) -> str:
        """Say why the deployment's tasks stop, by the one that stopped last."""
        request = {
            "cluster": self._cluster,
            "serviceName": rollout.service,
            "desiredStatus": "STOPPED",
        }
        arns = self._client.list_all("ListTasks", "taskArns", request)
        own = [
            task
            for task in self._describe_tasks(islice(arns, EXPLAINED_TASKS))
            if task.get("startedBy") == rollout.deployment_id
            and task.get("stopCode") in ("TaskFailedToStart", "EssentialContainerExited")
        ]
        if not own:
            return ""
        last = max(own, key=lambda task: float(task.get("stoppedAt", 0)))
        reasons = [str(last.get("stoppedReason", "")).rstrip(".")]
        is_unpulled = reasons[0].startswith(UNPULLED)  # whose reason may not say what it was
        for container in last.get("containers", []):
            if is_unpulled and container.get("reason") == last["stoppedReason"]:
                reasons.append(f"container {container['name']} wants image {container['image']}")
            if container.get("exitCode") is not None:
                reasons.append(f"container {container['name']} exited {container['exitCode']}")
            if container.get("reason") and container["reason"] not in reasons:
                reasons.append(f"container {container['name']}: {container['reason']}")
        return f"A task of it stopped: {'; '.join(reasons)}."

    def _read_reasons(self, service: str) -> str:
        """Say what a service waits for, as its scheduler sees it."""
        request = {"cluster": self._cluster, "services": [service]}
        found = self._client.call_homeport("ExplainServices", request)["services"]
        return "; ".join(reason for each in found for reason in each["reasons"])

    def _read_tasks(self, service: str) -> list[dict[str, Any]]:
        """Describe the tasks that aren't STOPPED.

        Only wanted tasks are listed; those that are stopping are known from earlier looks.
        """
        request = {"cluster": self._cluster, "serviceName": service}
        listed = self._client.list_all("ListTasks", "taskArns", request)
        known = self._living.get(service, {})
        living = [
            task
            for task in self._describe_tasks(dict.fromkeys([*listed, *known]))
            if task["lastStatus"] != "STOPPED"
        ]
        self._living[service] = dict.fromkeys(str(task["taskArn"]) for task in living)
        return living

    def _describe_tasks(self, arns: Iterable[str]) -> list[dict[str, Any]]:
        in_cluster = {"cluster": self._cluster}
        return self._client.describe_all("DescribeTasks", "tasks", list(arns), request=in_cluster)

    def _read_messages(self, name: str, service: Mapping[str, Any] | None) -> tuple[str, ...]:
        seen = self._seen_messages.setdefault(name, set())
        new = [each for each in (service or {}).get("events", []) if each["id"] not in seen]
        seen.update(each["id"] for each in new)
        messages = tuple(str(each["message"]) for each in reversed(new))
        if messages:
            self._last_messages[name] = messages[-1]
        return messages


def is_steady(service: Mapping[str, Any]) -> bool:
    """Whether one deployment is left, complete, with as many running tasks as are wanted."""
    (first, *others) = service["deployments"]
    return (
        not others
        and first.get("rolloutState", "COMPLETED") == "COMPLETED"
        and service["runningCount"] == service["desiredCount"]
        and service["pendingCount"] == 0
    )


def _explain_lack_of_room(service: Mapping[str, Any]) -> str:
    """Say why no task found a place since the service was steady, and who knows more.

    ECS doesn't repeat a message that still holds, so it may be older than the deployment.
    """
    name = service["serviceName"]
    for event in service.get("events", []):
        message = str(event["message"]).removeprefix(f"(service {name}) ")
        if message == "has reached a steady state.":
            break
        if message.startswith("was unable to place a task"):
            reason = message.partition(" For more information")[0]
            return f"It {reason} `homeport why {name}` says what would help."
    return ""


def _describe_rollback(service: Mapping[str, Any], failure: str) -> str:
    """Name the revision of the deployment that a failure's reason goes back to."""
    primary = _primary(service)
    if str(primary["id"]) not in failure:
        return ""
    return f"The service is back on {str(primary['taskDefinition']).rpartition('/')[2]}."


def _primary(service: Mapping[str, Any]) -> Mapping[str, Any]:
    found: list[Mapping[str, Any]] = service["deployments"]
    return next(each for each in found if each["status"] == "PRIMARY")


def _state(task: Mapping[str, Any]) -> str:
    if task["desiredStatus"] == "STOPPED":
        return "STOPPING"
    if task["lastStatus"] == "RUNNING" and task.get("healthStatus") == "UNHEALTHY":
        return "UNHEALTHY"
    return str(task["lastStatus"])
