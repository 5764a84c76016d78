"""How containers address the agent's task endpoint, and the variables that tell them. Pure.

Several agents may share a machine and its one address 169.254.170.2, so an id ends with the port of
the agent that knows it. Not here: serving (`task_endpoint`), the address itself (`link_local`).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from homeport.agent.task_state import TaskState

ID_BYTES: Final = 16
PORT_DIGITS: Final = 5
EXECUTION_ENVIRONMENT: Final = "AWS_ECS_EC2"


class EndpointFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Where this agent's task endpoint is reached from a container.

    `secret` makes container ids that nobody else can guess; it is this instance's own and stays
    the same, as the ids have to outlive the agent.
    """

    base_url: str
    port: int
    secret: str
    has_credentials: bool  # only at 169.254.170.2, the one place where SDKs look


def make_container_id(facts: EndpointFacts, task_arn: str, container_name: str) -> str:
    """The id under which a container asks about itself."""
    text = f"{task_arn}/{container_name}".encode()
    digest = hashlib.blake2b(text, key=facts.secret.encode(), digest_size=ID_BYTES)
    return f"{digest.hexdigest()}-{facts.port}"


def find_port(endpoint_id: str) -> int | None:
    """The port of the agent that gave this id, or None for an id without one."""
    _, _, port = endpoint_id.rpartition("-")
    return int(port) if port.isdecimal() and len(port) <= PORT_DIGITS else None


def without_port(endpoint_id: str) -> str:
    """The id as the control plane knows it."""
    return endpoint_id.rpartition("-")[0] if find_port(endpoint_id) else endpoint_id


def list_variables(facts: EndpointFacts, state: TaskState, container_name: str) -> dict[str, str]:
    """The environment by which programs find the task endpoint, named as in Amazon's agent.

    docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4.html
    """
    container_id = make_container_id(facts, state.arn, container_name)
    variables = {
        "AWS_EXECUTION_ENV": EXECUTION_ENVIRONMENT,
        "ECS_AGENT_URI": f"{facts.base_url}/api/{container_id}",
        "ECS_CONTAINER_METADATA_URI": f"{facts.base_url}/v3/{container_id}",
        "ECS_CONTAINER_METADATA_URI_V4": f"{facts.base_url}/v4/{container_id}",
    }
    role = state.task.role_credentials
    if role is not None and role.credentials_id and facts.has_credentials:
        credentials_id = f"{role.credentials_id}-{facts.port}"
        variables["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] = f"/v2/credentials/{credentials_id}"
    return variables
