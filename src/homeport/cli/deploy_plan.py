"""What a deployment will change, found out before anything is: the plan of `homeport deploy`.

Reads the public API like any client. Carrying it out and watching is `deploy_rollout`'s work.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from homeport.cli.api_client import ApiClient
from homeport.cli.deploy_wish import WantedService
from homeport.cli.failure import CommandFailure

FILE_LIMIT_BYTES = 1024 * 1024
NEW_SERVICE_COUNT = 1
SOME_HEALTHY_PERCENT = 50
# What a description says beyond what was registered.
_DESCRIBED_ONLY = frozenset(
    {
        *("taskDefinitionArn", "revision", "status", "requiresAttributes", "compatibilities"),
        *("registeredAt", "registeredBy", "deregisteredAt"),
    }
)
# Values that a description fills in; left out on both sides, they are no difference.
_DEFAULTS: Mapping[str, object] = {
    "essential": True,
    "protocol": "tcp",
    "interval": 30,
    "timeout": 5,
    "retries": 3,
}
_EMPTY: tuple[object, ...] = (None, False, 0, "")


class MemberChange(msgspec.Struct, frozen=True):
    """One member of a task definition before and after, None where there was or will be none."""

    member: str
    before: Any
    after: Any


class ServicePlan(msgspec.Struct, frozen=True, kw_only=True):
    """What will be done to one service; `definition_arn` is None when a revision is registered.

    `definition_changes` are against the revision that the service uses.
    """

    wanted: WantedService
    is_new: bool
    definition_arn: str | None
    definition_changes: tuple[MemberChange, ...] = ()
    count_before: int = 0
    count_after: int = NEW_SERVICE_COUNT
    is_forced: bool = False

    @property
    def changes_nothing(self) -> bool:
        """Whether the service is already as it is wanted."""
        is_same = not self.definition_changes and self.count_before == self.count_after
        return is_same and not self.is_new and not self.is_forced

    @property
    def minimum_healthy_percent(self) -> int | None:
        """Of a new service with fixed host ports: its next rollout has to free them first.

        Half of several tasks stay, an only one goes. None leaves it to ECS, which keeps all.
        """
        if not self.is_new or not _takes_fixed_ports(self.wanted.definition):
            return None
        return 0 if self.count_after == 1 else SOME_HEALTHY_PERCENT


def read_definition(path: Path) -> dict[str, Any]:
    """A task definition from a JSON file: what RegisterTaskDefinition takes, or was described.

    Raises CommandFailure when there is none in it.
    """
    try:
        with path.open("rb") as file:
            text = file.read(FILE_LIMIT_BYTES + 1)
        if len(text) > FILE_LIMIT_BYTES:
            raise CommandFailure(f"{path}: larger than {FILE_LIMIT_BYTES} bytes")
        content = json.loads(text)
    except OSError as trouble:
        raise CommandFailure(f"{path}: {trouble.strerror}") from None
    except (ValueError, RecursionError) as trouble:
        raise CommandFailure(f"{path}: not JSON: {trouble}") from None
    if isinstance(content, dict) and isinstance(content.get("taskDefinition"), dict):
        content = content["taskDefinition"]
    if not isinstance(content, dict) or not isinstance(content.get("family"), str):
        raise CommandFailure(f"{path}: no task definition: a JSON object with family is expected")
    return {name: value for name, value in content.items() if name not in _DESCRIBED_ONLY}


def replace_images(definition: Mapping[str, Any], images: Sequence[str]) -> dict[str, Any]:
    """The definition with other images: each NAME=IMAGE, or one IMAGE for an only container."""
    containers = [dict(each) for each in definition.get("containerDefinitions", [])]
    by_name = {str(each.get("name")): each for each in containers}
    for text in images:
        name, sign, image = text.partition("=")
        if not sign:
            if len(containers) != 1:
                names = ", ".join(by_name)
                raise CommandFailure(f"--image {text}: say NAME={text}, NAME being of {names}")
            name, image = next(iter(by_name)), text
        if name not in by_name:
            known = ", ".join(by_name)
            raise CommandFailure(f"--image {text}: no container is called {name}; there is {known}")
        by_name[name]["image"] = image
    return {**definition, "containerDefinitions": containers}


def describe_service(client: ApiClient, cluster: str, name: str) -> dict[str, Any] | None:
    """The service as AWS describes it, None when there is none or it is gone."""
    found = client.call("DescribeServices", {"cluster": cluster, "services": [name]})["services"]
    return found[0] if found and found[0]["status"] != "INACTIVE" else None


def describe_definition(client: ApiClient, name: str) -> dict[str, Any]:
    """A task definition as it could be registered again."""
    found = client.call("DescribeTaskDefinition", {"taskDefinition": name})["taskDefinition"]
    return {name: value for name, value in found.items() if name not in _DESCRIBED_ONLY}


def plan_service(
    client: ApiClient, cluster: str, wanted: WantedService, *, is_forced: bool = False
) -> ServicePlan:
    """Compare a service as it is with what is wanted of it.

    One whose deployment has failed without a rollback is started anew.
    """
    known = describe_service(client, cluster, wanted.name)
    if known is not None and known["status"] == "DRAINING":
        raise CommandFailure(f"service {wanted.name} is being deleted; wait until it is gone")
    # The newest revision may be the wanted one without being used: after a rollback, for one.
    latest_arn = _latest_arn(client, wanted)
    current_arn = latest_arn if known is None else str(known["taskDefinition"])
    changes = _changes_from(client, current_arn, wanted)
    usable_arn = current_arn
    if changes:
        is_registered = current_arn != latest_arn and not _changes_from(client, latest_arn, wanted)
        usable_arn = latest_arn if is_registered else None
    count_before = 0 if known is None else int(known["desiredCount"])
    count_after = NEW_SERVICE_COUNT if known is None else count_before
    return ServicePlan(
        wanted=wanted,
        is_new=known is None,
        definition_arn=usable_arn,
        definition_changes=changes,
        count_before=count_before,
        count_after=count_after if wanted.desired_count is None else wanted.desired_count,
        is_forced=is_forced or _has_failed(known),
    )


def _takes_fixed_ports(definition: Mapping[str, Any]) -> bool:
    """Whether only one task finds room on a container instance."""
    mode = definition.get("networkMode", "bridge")
    return mode != "awsvpc" and any(
        mode == "host" or port.get("hostPort")
        for container in definition.get("containerDefinitions") or []
        for port in container.get("portMappings") or []
    )


def _has_failed(service: Mapping[str, Any] | None) -> bool:
    """Whether the newest deployment starts nothing more, so that only another one can help."""
    deployments = [] if service is None else service.get("deployments", [])
    return any(
        each["status"] == "PRIMARY" and each.get("rolloutState") == "FAILED"
        for each in deployments
    )


def _changes_from(
    client: ApiClient, arn: str | None, wanted: WantedService
) -> tuple[MemberChange, ...]:
    before = {} if arn is None else describe_definition(client, arn)
    return tuple(compare_definitions(before, wanted.definition))


def _latest_arn(client: ApiClient, wanted: WantedService) -> str | None:
    """The family's newest ACTIVE revision, which a new service can use when it is the same."""
    request = {"familyPrefix": wanted.definition["family"], "sort": "DESC", "maxResults": 1}
    arns = client.call("ListTaskDefinitions", request)["taskDefinitionArns"]
    family = f"/{wanted.definition['family']}:"
    return next((str(arn) for arn in arns if family in arn), None)


def compare_definitions(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> Iterator[MemberChange]:
    """What differs but for values that a description fills in by itself."""
    yield from _compare("", _essence(before), _essence(after))


def plan_lines(plan: ServicePlan) -> Iterator[str]:
    """The plan in words: one line for the service, one for each change."""
    name = plan.wanted.name
    if plan.changes_nothing:
        yield f"  service {name}: nothing to change"
        return
    sign = "+" if plan.is_new else "~"
    if plan.count_before == plan.count_after:
        count = f"{plan.count_after} tasks"
    else:
        count = f"{plan.count_before} -> {plan.count_after} tasks"
    forced = ", started anew" if plan.is_forced else ""
    yield f"{sign} service {name}: {count}{forced}"
    percent = plan.minimum_healthy_percent
    if percent is not None:
        yield f"  + minimumHealthyPercent: {percent}, so that an update can free fixed host ports"
    family = plan.wanted.definition["family"]
    if plan.definition_arn is None:
        yield f"{sign} task definition {family}: a new revision"
    elif plan.definition_changes:
        yield f"~ task definition {plan.definition_arn.rpartition('/')[2]}, which is there already"
    else:
        yield f"  task definition {plan.definition_arn.rpartition('/')[2]}: as it is"
    for change in plan.definition_changes:
        if change.before is None:
            yield f"  + {change.member}: {_shown(change.after)}"
        elif change.after is None:
            yield f"  - {change.member}: {_shown(change.before)}"
        else:
            yield f"  ~ {change.member}: {_shown(change.before)} -> {_shown(change.after)}"


def _essence(value: Any, name: str = "") -> Any:
    """A value without what means the same as nothing, or None."""
    if isinstance(value, Mapping):
        below = {key: _essence(each, key) for key, each in value.items()}
        return {key: each for key, each in below.items() if each is not None} or None
    if isinstance(value, list | tuple):
        return [_essence(each) for each in value] or None
    if name in _DEFAULTS:
        is_default = type(value) is type(_DEFAULTS[name]) and value == _DEFAULTS[name]
        return None if is_default else value
    return None if value in _EMPTY else value


def _compare(path: str, before: Any, after: Any) -> Iterator[MemberChange]:
    if before == after:
        return
    old, new = _parts(before), _parts(after)
    if old is None or new is None or not (old or new):
        yield MemberChange(path, before, after)
        return
    is_list = isinstance(after, list) or isinstance(before, list)
    for name in dict.fromkeys([*old, *new]):
        below = f"{path}[{name}]" if is_list else f"{path}.{name}".lstrip(".")
        yield from _compare(below, old.get(name), new.get(name))


def _parts(value: Any) -> dict[str, Any] | None:
    """Members of a structure, or of a list's structures by name; nothing has none."""
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return dict(value)
    if not isinstance(value, list):
        return None
    parts: dict[str, Any] = {}
    for each in value:
        if not isinstance(each, Mapping) or "name" not in each or each["name"] in parts:
            return None
        parts[str(each["name"])] = {key: own for key, own in each.items() if key != "name"}
    return parts


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
