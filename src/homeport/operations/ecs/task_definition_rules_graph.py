"""How the containers of a task definition refer to each other: dependsOn, links, volumesFrom.

Source: API:ContainerDependency, ContainerDefinition.links; reference task-lifecycle §5.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from homeport.api import ecs

ENDED_CONDITIONS = frozenset({"SUCCESS", "COMPLETE"})

Containers = Mapping[str, ecs.ContainerDefinition]


def check_references(
    containers: Sequence[ecs.ContainerDefinition], network_mode: str | None
) -> None:
    """Refuse references to what isn't there and references in a circle, with ClientException."""
    if not any(c.depends_on or c.links or c.volumes_from for c in containers):
        return
    by_name = {container.name or "": container for container in containers}
    for container in containers:
        for dependency in container.depends_on or ():
            _check_dependency(container, dependency, by_name)
        if container.links:
            _check_links(container, by_name, network_mode)
        for volume in container.volumes_from or ():
            _check_volume_from(container, volume, by_name)
    if _has_cycle(by_name, _dependencies_of):
        raise ecs.ClientException("Container dependencies should not have a cycle")
    if _has_cycle(by_name, _links_of):
        raise ecs.ClientException("Container links should not have a cycle")
    if _has_cycle(by_name, _start_order_of):
        raise ecs.ClientException(
            "Container dependencies, links and volumesFrom together should not have a cycle"
        )


def parse_link(link: str) -> str:
    """Return the container's name in `name` or `name:alias`."""
    return link.partition(":")[0]


def _check_dependency(
    container: ecs.ContainerDefinition, dependency: ecs.ContainerDependency, by_name: Containers
) -> None:
    name, condition = dependency.container_name or "", dependency.condition
    target = by_name.get(name)
    if target is None:
        raise ecs.ClientException(
            f"Cannot depend on container + '{name}' because it does not exist"
        )
    if condition in ENDED_CONDITIONS and target.essential is not False:
        raise ecs.ClientException(
            "A dependency container with SUCCESS or COMPLETE condition cannot be an essential "
            "container"
        )
    if condition == "HEALTHY" and target.health_check is None:
        raise ecs.ClientException(
            f"Container '{container.name}' depends on container '{name}' with HEALTHY condition, "
            "but that container does not define a healthCheck"
        )


def _check_links(
    container: ecs.ContainerDefinition, by_name: Containers, network_mode: str | None
) -> None:
    if network_mode not in (None, "bridge"):
        raise ecs.ClientException(f"Links are not supported when networkMode={network_mode}.")
    for link in container.links or ():
        name, colon, alias = link.partition(":")
        if not name or (colon and not alias):
            raise ecs.ClientException(
                f"Invalid link '{link}' for container '{container.name}'. Specify name or "
                "name:alias."
            )
        if name not in by_name:
            raise ecs.ClientException(
                f"Container '{container.name}' links to container '{name}', which does not exist."
            )


def _check_volume_from(
    container: ecs.ContainerDefinition, volume: ecs.VolumeFrom, by_name: Containers
) -> None:
    if volume.source_container not in by_name:
        raise ecs.ClientException(
            f"Container '{container.name}' takes volumes from container "
            f"'{volume.source_container}', which does not exist."
        )


def _dependencies_of(container: ecs.ContainerDefinition) -> Iterator[str]:
    for dependency in container.depends_on or ():
        yield dependency.container_name or ""


def _links_of(container: ecs.ContainerDefinition) -> Iterator[str]:
    for link in container.links or ():
        yield parse_link(link)


def _start_order_of(container: ecs.ContainerDefinition) -> Iterator[str]:
    yield from _dependencies_of(container)
    yield from _links_of(container)
    for volume in container.volumes_from or ():
        yield volume.source_container or ""


def _has_cycle(
    by_name: Containers, successors: Callable[[ecs.ContainerDefinition], Iterator[str]]
) -> bool:
    """Tell whether following `successors` ever leads back: what nothing refers to goes first."""
    remaining = {name: set(successors(container)) for name, container in by_name.items()}
    while remaining:
        free = [name for name, targets in remaining.items() if not targets & remaining.keys()]
        if not free:
            return True
        for name in free:
            del remaining[name]
    return False
