"""Events as commands read them: pages of `Homeport.ListEvents`, and the words for people."""

from collections.abc import Mapping
from typing import Any

from homeport.cli.api_client import ApiClient, ApiRefusal
from homeport.cli.failure import CommandFailure

PAGE_EVENTS = 1_000
WAIT_S = 20
SHORT_ID_CHARS = 12
RESTART_LIMIT_S = 60  # how long those who follow wait for a server that restarts

# What of an event's detail is worth a line to people.
SAID = ("eventName", "deploymentId", "lifecycleStage", "hookId", "reason")

Event = Mapping[str, Any]


class EventFeed:
    """A position on the event stream of the client's account and region."""

    def __init__(self, client: ApiClient) -> None:
        self.client = client
        self._after: int | None = None
        self.is_incomplete = False

    def read_newest(self, count: int) -> list[Event]:
        """The newest `count` events, oldest first; the position is behind them."""
        return self._read({"tail": count})

    def read_next(self, *, wait_s: int = WAIT_S) -> list[Event]:
        """Events behind the position, none when `wait_s` seconds brought none.

        `is_incomplete` tells whether events between are lost: too many, or a restart.
        """
        request = {"after": self._after, "waitTimeSeconds": wait_s, "limit": PAGE_EVENTS}
        return self._read({name: value for name, value in request.items() if value is not None})

    def _read(self, request: Mapping[str, object]) -> list[Event]:
        try:
            answer = self.client.call_homeport("ListEvents", {"limit": PAGE_EVENTS, **request})
        except ApiRefusal as refusal:
            raise CommandFailure(f"{self.client.endpoint} answered {refusal}") from None
        self._after = answer["lastSequence"]
        self.is_incomplete = answer["isIncomplete"]
        return [each["event"] for each in answer["events"]]


def is_about(event: Event, *, cluster: str | None, service: str | None) -> bool:
    """Whether an event belongs to a cluster (name or ARN), and to a service of that name."""
    resource = str(event["resources"][0])
    if cluster is not None:
        name = cluster.rpartition("/")[2]
        own = event["detail"].get("clusterArn") or resource.rpartition("/")[0]
        if own.rpartition("/")[2] != name:
            return False
    if service is None:
        return True
    if ":service/" in resource:
        return resource.rpartition("/")[2] == service
    return bool(event["detail"].get("group") == f"service:{service}")


def describe_event(event: Event) -> str:
    """One line for people: when, which resource, what happened to it."""
    detail = event["detail"]
    time = str(event["time"]).partition("T")[2].removesuffix("Z")
    name = str(event["resources"][0]).rpartition("/")[2]
    kind = str(event["detail-type"])
    if kind == "ECS Task State Change":
        return f"{time} task {name[:SHORT_ID_CHARS]} {_describe_task(detail)}"
    if kind == "ECS Container Instance State Change":
        agent = "connected" if detail.get("agentConnected") else "disconnected"
        running, pending = detail.get("runningTasksCount", 0), detail.get("pendingTasksCount", 0)
        state = f"{detail.get('status')}, agent {agent}, {running} running, {pending} pending"
        return f"{time} instance {name[:SHORT_ID_CHARS]} {state}"
    said = " ".join(
        str(each)
        for each in (detail.get(member) for member in SAID)
        if each
    )
    return f"{time} service {name} {said}"


def _describe_task(detail: Mapping[str, Any]) -> str:
    definition = str(detail.get("taskDefinitionArn", "")).rpartition("/")[2]
    words = [definition, str(detail.get("group", "")), str(detail.get("lastStatus"))]
    if detail.get("desiredStatus") != detail.get("lastStatus"):
        words.append(f"(wanted {detail.get('desiredStatus')})")
    if detail.get("stoppedReason"):
        words.append(f"- {detail['stoppedReason']}")
    for container in detail.get("containers", []):
        if container.get("exitCode") is not None:
            words.append(f"[{container['name']} exited {container['exitCode']}]")
    return " ".join(words)
