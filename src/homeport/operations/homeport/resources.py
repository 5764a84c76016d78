"""What a person means by a word: a service's name, the beginning of an id, an instance's name.

AWS's own rules of names, which ECS operations follow, are in `operations.lookup`.
"""

import re
from collections.abc import Iterator

from homeport.api import ecs
from homeport.model.arn import (
    Scope,
    cluster_name_of,
    make_container_instance_arn,
    make_task_arn,
    parse_arn,
    short_id,
)
from homeport.model.cluster import Cluster
from homeport.operations.lookup import find_cluster, service_in
from homeport.state.view import View

NAME_LENGTH_CHARACTERS = 2_048
LOCAL_NAME_ATTRIBUTE = "homeport.instance"
_KINDS = ("service", "task", "container-instance")
_ID_START = re.compile(r"[0-9a-f]{4,32}")


def find_resource_arn(view: View, scope: Scope, cluster: str | None, word: str | None) -> str:
    """Return the ARN of the service, task or container instance that `word` names.

    A full ARN is taken as it is, since the journal may know what the state has forgotten. Raises
    InvalidParameterException, ClusterNotFoundException, or ClientException when nothing, or more
    than one thing, has that name.
    """
    if not word or len(word) > NAME_LENGTH_CHARACTERS:
        raise ecs.InvalidParameterException(
            "resource must be the name, id or ARN of a service, task or container instance."
        )
    if word.startswith("arn:"):
        parsed = parse_arn(word)
        if parsed is None or parsed.scope != scope or parsed.kind not in _KINDS:
            raise ecs.InvalidParameterException(
                f"{word} is no service, task or container instance of this account and region."
            )
        return word
    home = find_cluster(view, scope, cluster)
    service = service_in(view, scope, home, word)
    if service is not None:
        return service.arn
    found = sorted(_by_id(view, scope, home, word))
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(short_id(arn) for arn in found)
        raise ecs.ClientException(f"{word} is the beginning of several ids: {ids}.")
    raise ecs.ClientException(
        f"No service, task or container instance of cluster {home.name} is called {word}."
    )


def _by_id(view: View, scope: Scope, cluster: Cluster, word: str) -> Iterator[str]:
    """Find tasks and instances by the beginning of their id, instances by their local name, too."""
    for instance in view.container_instances(cluster.arn).values():
        if instance.attributes.get(LOCAL_NAME_ATTRIBUTE) == word:
            yield instance.arn
    start = word.replace("-", "").lower()
    if _ID_START.fullmatch(start) is None:
        return
    name = cluster_name_of(cluster.arn)
    task_start = make_task_arn(scope, name, start)
    for status in ("RUNNING", "STOPPED"):
        # One character less, so that the id itself is behind the cursor.
        for task in view.tasks_after(cluster.arn, status, task_start[:-1]):
            if task.arn.startswith(task_start):
                yield task.arn
            elif task.arn > task_start:
                break
    instance_start = make_container_instance_arn(scope, name, start)
    for instance in view.container_instances(cluster.arn).values():
        if instance.arn.startswith(instance_start):
            yield instance.arn
