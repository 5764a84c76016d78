"""The closed list of events: what may reach the engine from outside, in the past tense."""

import msgspec


class ApiCalled(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A client or an agent called an operation; `request` is its parsed AWS shape."""

    operation: str
    request: object
    account_id: str
    region: str
    endpoint: str


class AgentConnected(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An agent opened its communication socket; versions come from the socket's query."""

    container_instance_arn: str
    agent_version: str | None = None
    agent_hash: str | None = None
    docker_version: str | None = None


class AgentLost(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The last communication socket of an agent is gone."""

    container_instance_arn: str


class ContainerHealth(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The health of one container as its agent measured it: HEALTHY, UNHEALTHY or UNKNOWN."""

    task_arn: str
    container_name: str
    status: str


class HealthReported(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An agent published the health of containers."""

    container_instance_arn: str
    containers: tuple[ContainerHealth, ...]


class RuntimeStatusReported(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An agent published the state of its container runtime: OK or IMPAIRED."""

    container_instance_arn: str
    status: str


AgentEvent = AgentConnected | AgentLost | HealthReported | RuntimeStatusReported
