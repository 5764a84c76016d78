"""The steps of the demo, each by ordinary boto3 calls, each shown with the time it took.

Waiting here is asking again and again with a limit, as any client of ECS does: its API has no
call that waits. Starting and stopping Homeport around the steps: `demo`.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.client import HTTPConnection, HTTPException
from typing import Any

import boto3
from botocore.config import Config as ClientConfig
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.table import Table

from homeport.cli.demo_image import ensure_image
from homeport.cli.engine_api import EngineApi
from homeport.cli.failure import CommandFailure
from homeport.cli.overview import attribute, instance_name, instance_table, last_part

CLUSTER = "default"
FAMILY = "demo-web"
SERVICE = "web"
IMAGE = "homeport-demo/web:1"
REGION = "us-east-1"
STEP_LIMIT_S = 60.0
HTTP_TIMEOUT_S = 2.0
HTTP_LIMIT_S = 10.0
POLL_INTERVAL_S = 0.02
STEPS = 8
SHOWN_EVENTS = 8

Tasks = list[dict[str, Any]]


class DemoSteps:
    """The demo's steps against one running server."""

    def __init__(self, console: Console, endpoint: str, engine: EngineApi) -> None:
        self._console = console
        self._endpoint = endpoint
        self._engine = engine
        self._step = 0
        self._ecs = boto3.client(
            "ecs",
            endpoint_url=endpoint,
            region_name=REGION,
            aws_access_key_id="demo",
            aws_secret_access_key="demo",
            # The server is on this machine, whatever proxy the environment names.
            config=ClientConfig(proxies={}, retries={"max_attempts": 1}),
        )

    def run(self) -> None:
        """All steps in order. Raises CommandFailure naming the step that failed."""
        try:
            self._show_instances()
            self._make_image()
            self._register()
            tasks = self._create_service()
            self._show_tasks(tasks)
            self._kill_one(tasks)
            self._scale(6)
            self._scale(2)
            self._show_next()
        except (ClientError, BotoCoreError) as refusal:
            raise CommandFailure(f"step {self._step} of the demo failed: {refusal}") from refusal

    def _show_instances(self) -> None:
        with self._running("Two container instances in two availability zones"):
            instances = list(self._describe_instances().values())
        self._console.print(instance_table(instances, cluster=CLUSTER))

    def _make_image(self) -> None:
        with self._running(f"An image to run: {IMAGE}, made from busybox"):
            ensure_image(self._engine, IMAGE)

    def _register(self) -> None:
        with self._running("aws ecs register-task-definition"):
            registered = self._ecs.register_task_definition(
                family=FAMILY,
                containerDefinitions=[
                    {
                        "name": "web",
                        "image": IMAGE,
                        "command": ["/serve"],
                        "cpu": 64,
                        "memory": 32,
                        "essential": True,
                        "stopTimeout": 5,
                        "portMappings": [{"containerPort": 80, "hostPort": 0}],
                    }
                ],
            )["taskDefinition"]
        self._say(f"{registered['taskDefinitionArn']}")

    def _create_service(self) -> Tasks:
        with self._running(f"aws ecs create-service --service-name {SERVICE} --desired-count 4"):
            self._ecs.create_service(
                cluster=CLUSTER, serviceName=SERVICE, taskDefinition=FAMILY, desiredCount=4
            )
            return self._wait_running(4)

    def _show_tasks(self, tasks: Tasks) -> None:
        with self._running("The four tasks, and what each answers over HTTP"):
            instances = self._describe_instances()
            table = Table()
            for column in ("Task", "Instance", "Zone", "Host port", "Answer"):
                table.add_column(column)
            for task in tasks:
                instance = instances[task["containerInstanceArn"]]
                address, port = _host_port(task)
                table.add_row(
                    last_part(task["taskArn"])[:12],
                    instance_name(instance),
                    attribute(instance, "ecs.availability-zone"),
                    f"{address}:{port}",
                    self._ask(address, port),
                )
        self._console.print(table)

    def _kill_one(self, tasks: Tasks) -> None:
        victim = tasks[0]
        container = victim["containers"][0]["runtimeId"]
        before = {task["taskArn"] for task in tasks}
        with self._running(f"docker kill {container[:12]}, behind Homeport's back"):
            killed_at = time.monotonic()
            self._engine.kill_container(container)
            stopped = self._wait(
                "the killed task to be STOPPED", lambda: self._stopped(victim["taskArn"])
            )
            noticed_s = time.monotonic() - killed_at
            now = self._wait_running(4)
            replaced_s = time.monotonic() - killed_at
        new = next(task for task in now if task["taskArn"] not in before)
        address, port = _host_port(new)
        exit_code = stopped["containers"][0].get("exitCode")
        self._say(
            f"noticed after {noticed_s:.2f} s: {stopped['stoppedReason']} (exit code {exit_code})"
        )
        self._say(
            f"replaced after [bold]{replaced_s:.2f} s[/] by task "
            f"{last_part(new['taskArn'])[:12]}: {self._ask(address, port)}"
        )

    def _scale(self, count: int) -> None:
        with self._running(f"aws ecs update-service --service {SERVICE} --desired-count {count}"):
            before = {task["taskArn"] for task in self._tasks()}
            self._ecs.update_service(cluster=CLUSTER, service=SERVICE, desiredCount=count)
            kept = {task["taskArn"] for task in self._wait_running(count)}
            for arn in sorted(before - kept):
                self._wait("a surplus task to be STOPPED", partial(self._stopped, arn))

    def _show_next(self) -> None:
        service = self._describe_service()
        self._say("what the service says of all this, newest first:")
        for event in service["events"][:SHOWN_EVENTS]:
            line = f"    {event['createdAt']:%H:%M:%S}  {event['message']}"
            self._console.print(line, no_wrap=True, overflow="ellipsis")
        self._console.print(f"\n[bold]The API is at {self._endpoint}[/]. Try:")
        for line in (
            f"export AWS_ENDPOINT_URL={self._endpoint} AWS_DEFAULT_REGION={REGION}",
            "export AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any",
            f".venv/bin/aws ecs describe-services --services {SERVICE}",
            f".venv/bin/aws ecs update-service --service {SERVICE} --desired-count 5",
            ".venv/bin/homeport status",
            "docker ps",
        ):
            self._console.print(f"  {line}")

    # --- asking ---------------------------------------------------------------------------

    def _wait_running(self, count: int) -> Tasks:
        """The service's tasks once exactly `count` are RUNNING and none is on its way."""

        def look() -> Tasks | None:
            tasks = self._tasks()
            is_settled = len(tasks) == count and all(
                task["lastStatus"] == "RUNNING" for task in tasks
            )
            service = self._describe_service()
            has_counted = (service["runningCount"], service["pendingCount"]) == (count, 0)
            return tasks if is_settled and has_counted else None

        running: Tasks = self._wait(f"{count} tasks to be RUNNING", look)
        return running

    def _wait(self, what: str, look: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + STEP_LIMIT_S
        while time.monotonic() < deadline:
            found = look()
            if found is not None:
                return found
            time.sleep(POLL_INTERVAL_S)
        events = self._describe_service()["events"]
        said = f"; the service says: {events[0]['message']}" if events else ""
        raise CommandFailure(f"step {self._step}: waited {STEP_LIMIT_S:.0f} s for {what}{said}")

    def _tasks(self) -> Tasks:
        arns = self._ecs.list_tasks(cluster=CLUSTER, serviceName=SERVICE)["taskArns"]
        if not arns:
            return []
        tasks = self._ecs.describe_tasks(cluster=CLUSTER, tasks=arns)["tasks"]
        return sorted(tasks, key=lambda task: str(task["taskArn"]))

    def _stopped(self, arn: str) -> dict[str, Any] | None:
        tasks = self._ecs.describe_tasks(cluster=CLUSTER, tasks=[arn])["tasks"]
        return next((dict(task) for task in tasks if task["lastStatus"] == "STOPPED"), None)

    def _describe_service(self) -> dict[str, Any]:
        found = self._ecs.describe_services(cluster=CLUSTER, services=[SERVICE])
        return dict(found["services"][0])

    def _describe_instances(self) -> dict[str, dict[str, Any]]:
        arns = self._ecs.list_container_instances(cluster=CLUSTER)["containerInstanceArns"]
        found = self._ecs.describe_container_instances(cluster=CLUSTER, containerInstances=arns)
        return {each["containerInstanceArn"]: each for each in found["containerInstances"]}

    def _ask(self, address: str, port: int) -> str:
        """The page a task serves; its web server may need a moment after the container runs."""
        deadline = time.monotonic() + HTTP_LIMIT_S
        while True:
            connection = HTTPConnection(address, port, timeout=HTTP_TIMEOUT_S)
            try:
                connection.request("GET", "/")
                response = connection.getresponse()
                return f"{response.status} {response.read().decode().strip()}"
            except (OSError, HTTPException) as trouble:
                if time.monotonic() > deadline:
                    raise CommandFailure(
                        f"step {self._step}: http://{address}:{port}/ does not answer: {trouble}"
                    ) from None
                time.sleep(POLL_INTERVAL_S)
            finally:
                connection.close()

    # --- showing --------------------------------------------------------------------------

    @contextmanager
    def _running(self, title: str) -> Iterator[None]:
        """One numbered step: a spinner while it works, then a tick and the seconds it took."""
        self._step += 1
        started_at = time.monotonic()
        label = f"[{self._step}/{STEPS}]"
        with self._console.status(f"{label} {title}"):
            yield
        took_s = time.monotonic() - started_at
        self._console.print(f"[green]✓[/] \\{label} {title} [dim]({took_s:.2f} s)[/]")

    def _say(self, line: str) -> None:
        self._console.print(f"    {line}")


def _host_port(task: dict[str, Any]) -> tuple[str, int]:
    binding = task["containers"][0]["networkBindings"][0]
    address = binding["bindIP"]
    return ("127.0.0.1" if address == "0.0.0.0" else address), binding["hostPort"]
