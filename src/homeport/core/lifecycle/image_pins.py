"""Version consistency: all tasks of a deployment run the images that the first of them resolved.

The digest that an agent reports first is kept with the service revision; later tasks are sent with
it. Tasks that were sent before any was known resolve their tags themselves (services §9).
"""

from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from homeport.model.service import Service
from homeport.model.service_deployment import ContainerImage, ServiceRevision
from homeport.model.task import Task
from homeport.state.changes import Change, Put
from homeport.state.view import View

_DIGEST_PREFIX = "sha256:"


def pin_images(view: View, service: Service, task: Task) -> list[Change]:
    """Keep the digests that a task's agent has reported, where the revision has none yet."""
    revision = _revision_of(view, service, task)
    if revision is None:
        return []
    new = tuple(_new_images(view, revision, task))
    if not new:
        return []
    return [Put(replace(revision, container_images=(*revision.container_images, *new)))]


def pins_of(view: View, task: Task) -> Mapping[str, str]:
    """Return the digest by container name that a task's service revision is pinned to."""
    service = None if task.service_arn is None else view.service(task.service_arn)
    revision = None if service is None else _revision_of(view, service, task)
    if revision is None:
        return {}
    return {image.container_name: image.image_digest for image in revision.container_images}


def pinned_image(image: str, digest: str) -> str:
    """Name an image by its digest instead of its tag; one that has a digest stays as it is."""
    if "@" in image:
        return image
    path, colon, tag = image.rpartition(":")
    repository = path if colon and "/" not in tag else image
    return f"{repository}@{digest}"


def _revision_of(view: View, service: Service, task: Task) -> ServiceRevision | None:
    for deployment in service.deployments:
        if deployment.id == task.deployment_id:
            return view.service_revision(deployment.revision_arn)
    return None


def _new_images(view: View, revision: ServiceRevision, task: Task) -> Iterator[ContainerImage]:
    definition = view.task_definition(revision.task_definition_arn)
    specs = {} if definition is None else {c.name: c for c in definition.containers}
    known = {image.container_name for image in revision.container_images}
    for container in task.containers:
        spec = specs.get(container.name)
        digest = container.image_digest or ""
        if spec is None or not spec.pins_image or container.name in known:
            continue
        if digest.startswith(_DIGEST_PREFIX):
            yield ContainerImage(container.name, container.image, digest)
