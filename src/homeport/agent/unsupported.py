"""What of a payload this agent can't do, named so that the task says why it stopped. Pure.

A member is never dropped silently: a task that needs what isn't there ends with a reason. What
Docker itself refuses is Docker's to say (`docker`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from homeport.agent.container_spec import GPU_ASSOCIATION
from homeport.agent.task_network import AWSVPC, find_network

if TYPE_CHECKING:
    from collections.abc import Iterator

    from homeport.wire.agent_messages import payload

NETWORK_MODES: Final = ("", "bridge", "host", "none", "default")
VOLUME_TYPES: Final = ("", "host", "docker")


def refuse_unsupported(task: payload.Task) -> str | None:
    """Name the first thing in a task that this agent can't provide, in ECS's error form."""
    for what in (*_list_task_refusals(task), *_list_container_refusals(task)):
        return f"ResourceInitializationError: {what} by this agent"
    return None


def _list_network_refusals(task: payload.Task) -> Iterator[str]:
    if task.network_mode == AWSVPC:
        if find_network(task) is None:
            yield "networkMode awsvpc without one network interface and its subnet isn't supported"
    elif task.network_mode not in NETWORK_MODES:
        yield f"networkMode {task.network_mode} isn't supported"
    elif task.elastic_network_interfaces:
        yield f"elasticNetworkInterfaces with networkMode {task.network_mode} aren't supported"


def _list_task_refusals(task: payload.Task) -> Iterator[str]:
    yield from _list_network_refusals(task)
    if task.proxy_configuration is not None:
        yield "proxyConfiguration isn't supported"
    for association in task.associations:
        if association.type != GPU_ASSOCIATION:
            yield f"association of type {association.type} isn't supported"
    if task.trusted_execution_configuration is not None:
        yield "trustedExecutionConfiguration isn't supported"
    for attachment in task.attachments:
        yield f"attachment of type {attachment.attachment_type} isn't supported"
    for volume in task.volumes:
        if volume.type not in VOLUME_TYPES:
            yield f"volume {volume.name} of type {volume.type} isn't supported"


def _list_container_refusals(task: payload.Task) -> Iterator[str]:
    for container in task.containers:
        for member in _list_unsupported_members(container):
            yield f"{member} of container {container.name} isn't supported"


def _list_unsupported_members(container: payload.Container) -> Iterator[str]:
    if container.secrets:
        yield "secrets"
    if container.environment_files:
        yield "environmentFiles"
    if container.firelens_configuration is not None:
        yield "firelensConfiguration"
    if container.registry_authentication is not None:
        yield "registryAuthentication (repositoryCredentials)"
    if container.credential_specs:
        yield "credentialSpecs"
    for managed_agent in container.managed_agents:
        yield f"managed agent {managed_agent.name}"
