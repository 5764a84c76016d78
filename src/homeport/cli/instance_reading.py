"""Reading container instances and what they hold through the public API, for `homeport instances`.

No output and no decisions. Not here: the commands (`instances`), their words (`instance_views`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from homeport.cli.api_client import ApiClient
from homeport.cli.failure import CommandFailure
from homeport.cli.overview import SERVICES_PAGE_SIZE, instance_name, last_part

ID_PREFIX_CHARS_MIN = 4
Described = Mapping[str, Any]


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """The tasks that a container instance still holds, and the services they belong to."""

    instance: dict[str, Any]
    tasks: list[dict[str, Any]]
    services: list[dict[str, Any]]

    @property
    def service_tasks(self) -> list[dict[str, Any]]:
        """Those that a service moves when the instance is drained."""
        return [task for task in self.tasks if task["group"].startswith("service:")]

    @property
    def standalone_tasks(self) -> list[dict[str, Any]]:
        """Those that stay until they end."""
        return [task for task in self.tasks if not task["group"].startswith("service:")]


def read_instances(client: ApiClient, cluster: str) -> list[dict[str, Any]]:
    """A cluster's container instances by name, without INACTIVE ones."""
    in_cluster = {"cluster": cluster}
    arns = list(client.list_all("ListContainerInstances", "containerInstanceArns", in_cluster))
    found = client.describe_all(
        "DescribeContainerInstances",
        "containerInstances",
        arns,
        request={**in_cluster, "include": ["TAGS", "CONTAINER_INSTANCE_HEALTH"]},
    )
    return sorted(found, key=lambda each: (instance_name(each), each["containerInstanceArn"]))


def find_instance(client: ApiClient, cluster: str, name: str) -> dict[str, Any]:
    """The instance that a person means: by ARN, id or its beginning, EC2 id or local name.

    Raises CommandFailure when there is none, or more than one. An INACTIVE one is found by its
    whole id or ARN as long as ECS describes it.
    """
    known = read_instances(client, cluster)
    found = [each for each in known if name in _names(each)]
    if not found and len(name) >= ID_PREFIX_CHARS_MIN:
        found = [e for e in known if last_part(e["containerInstanceArn"]).startswith(name)]
    if not found:
        found = _describe(client, cluster, name)
    if len(found) == 1:
        return found[0]
    if found:
        arns = ", ".join(last_part(each["containerInstanceArn"]) for each in found)
        raise CommandFailure(f"{name!r} may mean several container instances: {arns}")
    names = ", ".join(instance_name(each) for each in known) or "none"
    raise CommandFailure(f"no container instance {name!r} in cluster {cluster}; there are: {names}")


def read_holding(client: ApiClient, cluster: str, instance_arn: str) -> Holding:
    """What an instance holds now."""
    [instance] = _describe(client, cluster, instance_arn)
    arns = [
        arn
        for status in ("RUNNING", "STOPPED")
        for arn in client.list_all(
            "ListTasks",
            "taskArns",
            {"cluster": cluster, "containerInstance": instance_arn, "desiredStatus": status},
        )
    ]
    described = client.describe_all("DescribeTasks", "tasks", arns, request={"cluster": cluster})
    tasks = [task for task in described if task["lastStatus"] != "STOPPED"]
    names = sorted(
        {
            task["group"].removeprefix("service:")
            for task in tasks
            if task["group"].startswith("service:")
        }
    )
    services = client.describe_all(
        "DescribeServices",
        "services",
        names,
        page_size=SERVICES_PAGE_SIZE,
        request={"cluster": cluster},
    )
    return Holding(instance=instance, tasks=tasks, services=services)


def set_status(
    client: ApiClient, cluster: str, arns: Sequence[str], status: str
) -> list[dict[str, Any]]:
    """Set instances DRAINING or ACTIVE; raises CommandFailure when one can't be."""
    answer = client.call(
        "UpdateContainerInstancesState",
        {"cluster": cluster, "containerInstances": list(arns), "status": status},
    )
    for failure in answer.get("failures", []):
        raise CommandFailure(f"{failure['arn']} can't be set {status}: {failure['reason']}")
    return list(answer["containerInstances"])


def _describe(client: ApiClient, cluster: str, name: str) -> list[dict[str, Any]]:
    return client.describe_all(
        "DescribeContainerInstances",
        "containerInstances",
        [name],
        request={"cluster": cluster, "include": ["TAGS", "CONTAINER_INSTANCE_HEALTH"]},
    )


def _names(instance: Described) -> tuple[str, ...]:
    arn = instance["containerInstanceArn"]
    return (arn, last_part(arn), str(instance.get("ec2InstanceId")), instance_name(instance))
