"""The pause container of an awsvpc task: seen where Amazon's agent shows it, and nowhere else."""

from agent_builders import make_container, make_task
from homeport.agent.introspection import render
from homeport.agent.metadata import InstanceNames, Version, render_task
from homeport.agent.task_network import PAUSE_NAME, add_pause
from homeport.agent.task_state import ContainerState, Phase, TaskState
from homeport.agent.telemetry import list_measured
from homeport.wire.agent_messages import payload

INTERFACE = payload.ElasticNetworkInterface(
    ipv4_addresses=(payload.Ipv4AddressAssignment(private_address="10.1.2.4", primary=True),),
    subnet_gateway_ipv4_address="10.1.2.1/24",
)
TASK = add_pause(
    make_task(
        make_container("web:1"), network_mode="awsvpc", elastic_network_interfaces=(INTERFACE,)
    )
)
STATE = TaskState(
    task=TASK,
    containers=tuple(
        ContainerState(name=container.name, phase=Phase.RUNNING) for container in TASK.containers
    ),
)


def test_task_metadata_shows_what_it_is() -> None:
    shown = render_task(STATE, {}, InstanceNames(cluster="default"), Version.V4)
    assert [(each["Name"], each["Type"]) for each in shown["Containers"]] == [
        (PAUSE_NAME, "CNI_PAUSE"),
        ("web", "NORMAL"),
    ]


def test_introspection_and_metrics_leave_it_out() -> None:
    assert [each["Name"] for each in render(STATE)["Containers"]] == ["web"]
    assert [container.name for _, container in list_measured([STATE])] == ["web"]
