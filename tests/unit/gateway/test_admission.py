"""Who may open a socket, and with which words the others are sent away."""

from urllib.parse import urlencode

import pytest

from builders import SCOPE, hex_id, make_cluster, make_container_instance, make_store
from homeport.gateway.admission import AgentIdentity, admit_agent, read_signer
from homeport.model.arn import Scope, make_container_instance_arn
from homeport.state.view import View
from homeport.wire.agent_messages import acs

INSTANCE = make_container_instance("here", agent_connected=False)
GONE = make_container_instance("gone", status="INACTIVE")
ELSEWHERE = make_container_instance("elsewhere", cluster="other")
VIEW = View(
    make_store(
        make_cluster(),
        make_cluster("other"),
        make_cluster("deleted", status="INACTIVE"),
        INSTANCE,
        GONE,
        ELSEWHERE,
    )
)


def admit(**query: str) -> object:
    return admit_agent(VIEW, urlencode(query).encode(), SCOPE)


def test_acs_and_tcs_name_cluster_and_instance_each_in_their_way() -> None:
    acs_identity = admit(clusterArn="default", containerInstanceArn=INSTANCE.arn)
    tcs_identity = admit(cluster=INSTANCE.cluster_arn, containerInstance=INSTANCE.arn)
    assert isinstance(acs_identity, AgentIdentity)
    assert acs_identity == tcs_identity
    assert acs_identity.cluster_arn == INSTANCE.cluster_arn


def test_the_query_tells_versions_without_the_label_that_docker_has_on_acs() -> None:
    identity = admit(
        containerInstanceArn=INSTANCE.arn,
        agentVersion="1.105.1",
        agentHash="a8b3e7d3",
        dockerVersion="DockerVersion: 20.10.24+dfsg1",
        protocolVersion="2",
    )
    assert isinstance(identity, AgentIdentity)
    assert identity.agent_version == "1.105.1"
    assert identity.agent_hash == "a8b3e7d3"
    assert identity.docker_version == "20.10.24+dfsg1"
    assert identity.answers_heartbeats


@pytest.mark.parametrize("version", ["", "1", "two", "-2", "9" * 5_000, "²"])
def test_any_other_protocol_version_means_the_first(version: str) -> None:
    identity = admit(containerInstanceArn=INSTANCE.arn, protocolVersion=version)
    assert isinstance(identity, AgentIdentity)
    assert not identity.answers_heartbeats


def test_the_default_cluster_is_meant_when_none_is_named() -> None:
    assert isinstance(admit(containerInstanceArn=INSTANCE.arn), AgentIdentity)


@pytest.mark.parametrize(
    ("query", "refusal"),
    [
        ({}, acs.BadRequestException),
        ({"containerInstanceArn": "x" * 3_000}, acs.BadRequestException),
        ({"containerInstanceArn": "not-an-arn"}, acs.InvalidInstanceException),
        (
            {"containerInstanceArn": INSTANCE.arn, "clusterArn": "nowhere"},
            acs.InvalidClusterException,
        ),
        (
            {"containerInstanceArn": INSTANCE.arn, "clusterArn": "deleted"},
            acs.InvalidClusterException,
        ),
        (
            {"containerInstanceArn": make_container_instance_arn(SCOPE, "default", hex_id("new"))},
            acs.InvalidInstanceException,
        ),
        ({"containerInstanceArn": ELSEWHERE.arn}, acs.InvalidInstanceException),
        ({"containerInstanceArn": GONE.arn}, acs.InactiveInstanceException),
    ],
)
def test_a_refusal_has_the_protocols_own_type(query: dict[str, str], refusal: type) -> None:
    assert isinstance(admit(**query), refusal)


@pytest.mark.parametrize(
    "other", [SCOPE._replace(account_id="210987654321"), SCOPE._replace(region="eu-west-1")]
)
def test_nobody_speaks_for_the_instance_of_another_account_or_region(other: Scope) -> None:
    query = urlencode({"containerInstanceArn": INSTANCE.arn}).encode()
    assert isinstance(admit_agent(VIEW, query, SCOPE), AgentIdentity)
    assert isinstance(admit_agent(VIEW, query, other), acs.AccessDeniedException)


def test_a_signature_names_account_and_region_and_without_one_the_servers_own_are_meant() -> None:
    signed = b"AWS4-HMAC-SHA256 Credential=210987654321/20261122/eu-west-1/ecs/aws4_request, x=y"
    assert read_signer([(b"authorization", signed)], SCOPE) == Scope("210987654321", "eu-west-1")
    usual = signed.replace(b"210987654321", b"AKIAIOSFODNN7EXAMPLE")
    found = read_signer([(b"host", b"x"), (b"authorization", usual)], SCOPE)
    assert found == SCOPE._replace(region="eu-west-1")
    assert read_signer([], SCOPE) == SCOPE
    nonsense = signed.replace(b"eu-west-1", b"no_such_region")
    assert isinstance(read_signer([(b"authorization", nonsense)], SCOPE), acs.BadRequestException)


@pytest.mark.parametrize("query", [b"containerInstanceArn=%ff%fe", b"&".join([b"a=1"] * 1_000)])
def test_a_query_that_cannot_be_read_is_refused(query: bytes) -> None:
    assert isinstance(admit_agent(VIEW, query, SCOPE), acs.BadRequestException)
