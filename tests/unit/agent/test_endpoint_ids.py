"""How a container names itself to the agent, and what tells it where to ask."""

import msgspec
import pytest

from agent_builders import make_container, make_task
from homeport.agent.endpoint_ids import (
    EndpointFacts,
    find_port,
    list_variables,
    make_container_id,
    without_port,
)
from homeport.agent.task_state import ContainerState, TaskState
from homeport.wire.agent_messages import payload

FACTS = EndpointFacts(
    base_url="http://169.254.170.2", port=51_680, secret="s3cret", has_credentials=True
)
UUID = "0f7b2f2e-6c0b-4c8e-9a43-5a3f0f3c1d2e"


def state(**members: object) -> TaskState:
    task = make_task(make_container("i"), **members)
    return TaskState(task=task, containers=(ContainerState(name="web"),))


def test_every_container_has_an_id_of_its_own_that_stays():
    ids = {make_container_id(FACTS, task, name) for task in ("t1", "t2") for name in ("a", "b")}
    assert len(ids) == 4
    assert make_container_id(FACTS, "t1", "a") in ids


def test_another_instances_secret_makes_other_ids():
    other = msgspec.structs.replace(FACTS, secret="other")
    assert make_container_id(other, "t", "a") != make_container_id(FACTS, "t", "a")


def test_an_id_says_which_agent_of_the_machine_knows_it():
    assert find_port(make_container_id(FACTS, "t", "a")) == 51_680


@pytest.mark.parametrize("bare", [UUID, "0f7b2f2e-6c0b-4c8e-9a43-123456789012", "x", ""])
def test_an_id_without_a_port_belongs_to_whoever_is_asked(bare: str):
    assert find_port(bare) is None
    assert without_port(bare) == bare


def test_the_control_planes_id_comes_back_from_the_agents():
    assert without_port(f"{UUID}-51680") == UUID


def test_a_container_is_told_where_its_metadata_is():
    task = state()
    variables = list_variables(FACTS, task, "web")
    container_id = make_container_id(FACTS, task.arn, "web")
    assert variables == {
        "AWS_EXECUTION_ENV": "AWS_ECS_EC2",
        "ECS_AGENT_URI": f"http://169.254.170.2/api/{container_id}",
        "ECS_CONTAINER_METADATA_URI": f"http://169.254.170.2/v3/{container_id}",
        "ECS_CONTAINER_METADATA_URI_V4": f"http://169.254.170.2/v4/{container_id}",
    }


def test_a_task_with_a_role_is_told_where_its_credentials_are():
    role = payload.IamRoleCredentials(credentials_id=UUID)
    told = list_variables(FACTS, state(role_credentials=role), "web")
    assert told["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] == f"/v2/credentials/{UUID}-51680"


def test_no_credentials_are_promised_where_sdks_would_not_look():
    facts = msgspec.structs.replace(FACTS, has_credentials=False)
    role = payload.IamRoleCredentials(credentials_id=UUID)
    told = list_variables(facts, state(role_credentials=role), "web")
    assert "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI" not in told
