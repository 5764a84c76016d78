"""Whatever the agent can't do is named; nothing is dropped silently."""

import msgspec
import pytest

from agent_builders import make_container, make_task
from homeport.agent.unsupported import refuse_unsupported
from homeport.wire.agent_messages import payload

TASK = make_task(make_container("i"))


@pytest.mark.parametrize(
    ("members", "named"),
    [
        ({"network_mode": "awsvpc"}, "networkMode awsvpc"),
        ({"elastic_network_interfaces": (payload.ElasticNetworkInterface(),)}, "elasticNetwork"),
        ({"proxy_configuration": payload.ProxyConfiguration()}, "proxyConfiguration"),
        (
            {"associations": (payload.Association(type="elastic-inference"),)},
            "association of type elastic-inference",
        ),
        ({"attachments": (payload.Attachment(attachment_type="EBS"),)}, "attachment of type EBS"),
        ({"volumes": (payload.Volume(name="v", type="efs"),)}, "volume v of type efs"),
        (
            {"trusted_execution_configuration": payload.TrustedExecutionConfiguration()},
            "trustedExecutionConfiguration",
        ),
    ],
)
def test_a_task_member_that_is_not_supported_is_named(members: dict[str, object], named: str):
    reason = refuse_unsupported(msgspec.structs.replace(TASK, **members))
    assert reason is not None
    assert reason.startswith("ResourceInitializationError: ")
    assert named in reason


@pytest.mark.parametrize(
    ("members", "named"),
    [
        ({"secrets": (payload.Secret(),)}, "secrets"),
        ({"environment_files": (payload.EnvironmentFile(),)}, "environmentFiles"),
        ({"firelens_configuration": payload.FirelensConfiguration()}, "firelensConfiguration"),
        ({"registry_authentication": payload.RegistryAuthenticationData()}, "registryAuth"),
        ({"credential_specs": ("file",)}, "credentialSpecs"),
        ({"managed_agents": (payload.ManagedAgent(name="ExecuteCommandAgent"),)}, "ExecuteCommand"),
    ],
)
def test_a_container_member_that_is_not_supported_is_named(members: dict[str, object], named: str):
    reason = refuse_unsupported(make_task(make_container("i", **members)))
    assert reason is not None
    assert named in reason
    assert "container web" in reason


@pytest.mark.parametrize("mode", ["", "bridge", "host", "none"])
def test_what_docker_can_do_is_let_through(mode: str):
    volumes = (payload.Volume(name="a", type="host"), payload.Volume(name="b", type="docker"))
    assert refuse_unsupported(make_task(make_container("i"), network_mode=mode)) is None
    assert refuse_unsupported(make_task(make_container("i"), volumes=volumes)) is None
