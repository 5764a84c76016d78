"""Who may open a socket: the query of the websocket request to an identity, or the refusal frame.

Query members: container-instances §11 of the reference. A signature isn't verified, as for calls:
it says whose account and region are meant, and no other's container instances can be spoken for.
"""

from collections.abc import Iterable
from urllib.parse import parse_qs

import msgspec

from homeport.api.errors import IncompleteSignature
from homeport.model.arn import Scope, cluster_name_of, make_cluster_arn, parse_arn
from homeport.model.container_instance import INACTIVE
from homeport.state.view import View
from homeport.wire.agent_messages import acs
from homeport.wire.signing import parse_credential_scope

ARN_LIMIT_CHARACTERS = 2_048
VERSION_LIMIT_CHARACTERS = 255
PROTOCOL_WITH_HEARTBEAT_ACKS = 2

_DOCKER_VERSION_PREFIX = "DockerVersion: "
_QUERY_MEMBERS_LIMIT = 50

Refusal = (
    acs.AccessDeniedException
    | acs.BadRequestException
    | acs.InvalidClusterException
    | acs.InvalidInstanceException
    | acs.InactiveInstanceException
)


class AgentIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """The container instance that a socket speaks for, and what its agent says of itself."""

    container_instance_arn: str
    cluster_arn: str
    agent_version: str | None = None
    agent_hash: str | None = None
    docker_version: str | None = None
    answers_heartbeats: bool = False


def read_signer(
    headers: Iterable[tuple[bytes, bytes]], default: Scope
) -> Scope | acs.BadRequestException:
    """Return the account and region that a websocket request is signed for; unsigned, `default`."""
    authorization = dict(headers).get(b"authorization", b"").decode("latin-1")
    try:
        signed = parse_credential_scope(authorization or None, default_region=default.region)
    except IncompleteSignature as error:
        return acs.BadRequestException(message=str(error))
    return Scope(signed.account_id(default.account_id), signed.region)


def admit_agent(view: View, query_string: bytes, signer: Scope) -> AgentIdentity | Refusal:
    """Check a websocket request's query; ACS and TCS name cluster and instance differently.

    `signer` is the account and the region that the request is signed for.
    """
    try:
        query = parse_qs(
            query_string.decode("utf-8"),
            max_num_fields=_QUERY_MEMBERS_LIMIT,
            errors="strict",
        )
    except ValueError:
        return acs.BadRequestException(message="The query of the websocket request is unreadable.")
    instance_arn = _member(query, "containerInstanceArn", "containerInstance")
    if instance_arn is None or len(instance_arn) > ARN_LIMIT_CHARACTERS:
        return acs.BadRequestException(
            message="The websocket request must name a container instance: add containerInstanceArn"
            " (ACS) or containerInstance (TCS) to its query."
        )
    parsed = parse_arn(instance_arn)
    if parsed is None:
        return acs.InvalidInstanceException(message="Container instance ARN is invalid.")
    if parsed.scope != signer:
        return acs.AccessDeniedException(
            message="The request is signed for another account or region than the container "
            "instance's."
        )
    cluster = _member(query, "clusterArn", "cluster") or "default"
    cluster_arn = cluster if cluster.startswith("arn:") else make_cluster_arn(parsed.scope, cluster)
    refusal = _refuse_unknown(view, cluster_arn, instance_arn)
    if refusal is not None:
        return refusal
    return AgentIdentity(
        container_instance_arn=instance_arn,
        cluster_arn=cluster_arn,
        agent_version=_version(query, "agentVersion"),
        agent_hash=_version(query, "agentHash"),
        docker_version=_version(query, "dockerVersion"),
        answers_heartbeats=_protocol_version(query) >= PROTOCOL_WITH_HEARTBEAT_ACKS,
    )


def _refuse_unknown(view: View, cluster_arn: str, instance_arn: str) -> Refusal | None:
    cluster = view.cluster(cluster_arn)
    if cluster is None or cluster.status == INACTIVE:
        return acs.InvalidClusterException(message="Cluster not found.")
    instance = view.container_instance(instance_arn)
    if instance is None or instance.cluster_arn != cluster_arn:
        return acs.InvalidInstanceException(
            message="Container instance not found in cluster "
            f"{cluster_name_of(cluster_arn)}: register it first."
        )
    if instance.status == INACTIVE:
        return acs.InactiveInstanceException(message="Container instance is deregistered.")
    return None


def _member(query: dict[str, list[str]], *names: str) -> str | None:
    return next((query[name][0] for name in names if name in query), None)


def _version(query: dict[str, list[str]], name: str) -> str | None:
    """Read a version; Amazon's agent puts a label before Docker's on one of its two sockets."""
    text = _member(query, name)
    if text is None:
        return None
    return text.removeprefix(_DOCKER_VERSION_PREFIX).strip()[:VERSION_LIMIT_CHARACTERS] or None


def _protocol_version(query: dict[str, list[str]]) -> int:
    text = _member(query, "protocolVersion") or ""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= len("999") else 1
