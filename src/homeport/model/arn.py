"""Amazon Resource Names of ECS: how they are made and taken apart (reference: api-errors §6)."""

import base64
import functools
from typing import NamedTuple, NewType

ClusterArn = NewType("ClusterArn", str)
ContainerInstanceArn = NewType("ContainerInstanceArn", str)
TaskArn = NewType("TaskArn", str)
ServiceArn = NewType("ServiceArn", str)
TaskDefinitionArn = NewType("TaskDefinitionArn", str)

_PREFIX_PARTS = 5
ARNS_REMEMBERED = 1_024


class Scope(NamedTuple):
    """The account and region that own a resource."""

    account_id: str
    region: str


class ParsedArn(NamedTuple):
    """An ECS ARN taken apart: `kind` is e.g. `task`, `path` what follows the first slash."""

    scope: Scope
    kind: str
    path: tuple[str, ...]


def _make(scope: Scope, tail: str) -> str:
    return f"arn:aws:ecs:{scope.region}:{scope.account_id}:{tail}"


def make_cluster_arn(scope: Scope, name: str) -> ClusterArn:
    """Name a cluster."""
    return ClusterArn(_make(scope, f"cluster/{name}"))


def make_container_instance_arn(scope: Scope, cluster: str, id_hex: str) -> ContainerInstanceArn:
    """Name a container instance; `id_hex` is 32 hexadecimal digits."""
    return ContainerInstanceArn(_make(scope, f"container-instance/{cluster}/{id_hex}"))


def make_task_arn(scope: Scope, cluster: str, id_hex: str) -> TaskArn:
    """Name a task; `id_hex` is 32 hexadecimal digits."""
    return TaskArn(_make(scope, f"task/{cluster}/{id_hex}"))


def make_container_arn(scope: Scope, cluster: str, task_id: str, id_hex: str) -> str:
    """Name a container of a task; the last part is a UUID that keeps its dashes."""
    return _make(scope, f"container/{cluster}/{task_id}/{dashed_uuid(id_hex)}")


def make_service_arn(scope: Scope, cluster: str, name: str) -> ServiceArn:
    """Name a service."""
    return ServiceArn(_make(scope, f"service/{cluster}/{name}"))


def make_task_definition_arn(scope: Scope, family: str, revision: int) -> TaskDefinitionArn:
    """Name one revision of a task definition family."""
    return TaskDefinitionArn(_make(scope, f"task-definition/{family}:{revision}"))


def make_capacity_provider_arn(scope: Scope, name: str) -> str:
    """Name a capacity provider; it belongs to the account, not to a cluster."""
    return _make(scope, f"capacity-provider/{name}")


def make_attachment_arn(cluster_arn: str, attachment_id: str) -> str:
    """Name the attachment of a task's network interface."""
    return _make(scope_of(cluster_arn), f"attachment/{attachment_id}")


def make_service_revision_arn(service_arn: str, id_hex: str) -> str:
    """Name a revision of a service: 19 digits, drawn from `id_hex`."""
    beginning = service_arn.replace(":service/", ":service-revision/", 1)
    return f"{beginning}/{_digits(id_hex)}"


def make_service_deployment_arn(service_arn: str, id_hex: str) -> str:
    """Name a deployment of a service: 21 characters like base64url's, drawn from `id_hex`."""
    beginning = service_arn.replace(":service/", ":service-deployment/", 1)
    drawn = base64.urlsafe_b64encode(bytes.fromhex(id_hex))[:21].decode()
    return f"{beginning}/{drawn}"


def make_task_set_arn(scope: Scope, cluster: str, service: str, task_set_id: str) -> str:
    """Name a task set by its id, which is one of a deployment."""
    return _make(scope, f"task-set/{cluster}/{service}/{task_set_id}")


def make_deployment_id(id_hex: str) -> str:
    """Name a deployment: `ecs-svc/` and 19 digits, drawn from `id_hex`."""
    return f"ecs-svc/{_digits(id_hex)}"


def _digits(id_hex: str) -> int:
    return 10**18 + int(id_hex, 16) % (9 * 10**18)


def dashed_uuid(id_hex: str) -> str:
    """Write 32 hexadecimal digits in a UUID's form."""
    return f"{id_hex[:8]}-{id_hex[8:12]}-{id_hex[12:16]}-{id_hex[16:20]}-{id_hex[20:]}"


def parse_arn(text: str) -> ParsedArn | None:
    """Take an ECS ARN apart, or say None when `text` isn't one."""
    parts = text.split(":", _PREFIX_PARTS)
    if len(parts) != _PREFIX_PARTS + 1 or parts[0] != "arn" or parts[2] != "ecs":
        return None
    kind, slash, path = parts[5].partition("/")
    if not slash or not parts[3] or not parts[4] or not path:
        return None
    return ParsedArn(Scope(parts[4], parts[3]), kind, tuple(path.split("/")))


@functools.lru_cache(maxsize=ARNS_REMEMBERED)  # asked several times over for each change
def scope_of(arn: str) -> Scope:
    """Return the account and region in an ARN that Homeport made itself."""
    parts = arn.split(":", _PREFIX_PARTS)
    return Scope(parts[4], parts[3])


def short_id(arn: str) -> str:
    """Return the last path element of an ARN: a task's or container instance's short id."""
    return arn.rsplit("/", 1)[-1]


def cluster_name_of(cluster_arn: str) -> str:
    """Return the name in a cluster's ARN."""
    return cluster_arn.rsplit("/", 1)[-1]
