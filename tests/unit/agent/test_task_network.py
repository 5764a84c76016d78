"""awsvpc on the agent: one namespace a task, held by a pause container with the task's address."""

from msgspec.structs import replace

from homeport.agent.container_spec import name_container
from homeport.agent.dependencies import check_stop, list_needs
from homeport.agent.task_network import (
    PAUSE_NAME,
    TaskNetwork,
    add_pause,
    fill_namespaces,
    fill_network,
    find_network,
)
from homeport.agent.task_state import ContainerState, TaskState
from homeport.agent.unsupported import refuse_unsupported
from homeport.wire.agent_messages import payload

INTERFACE = payload.ElasticNetworkInterface(
    ipv4_addresses=(payload.Ipv4AddressAssignment(private_address="10.1.2.4", primary=True),),
    subnet_gateway_ipv4_address="10.1.2.1/24",
)
TASK = payload.Task(
    arn="arn:aws:ecs:us-east-1:123456789012:task/c/1",
    family="web",
    version="1",
    network_mode="awsvpc",
    containers=(payload.Container(name="a"), payload.Container(name="b")),
    elastic_network_interfaces=(INTERFACE,),
)


def test_the_network_follows_from_the_interface_of_the_payload() -> None:
    assert find_network(TASK) == TaskNetwork(
        name="homeport-10.1.2.0-24", subnet="10.1.2.0/24", gateway="10.1.2.1", address="10.1.2.4"
    )


def test_every_container_starts_after_the_pause_container_and_it_stops_last() -> None:
    task = add_pause(TASK)
    assert [container.name for container in task.containers] == [PAUSE_NAME, "a", "b"]
    for container in task.containers[1:]:
        assert [(n.container_name, n.condition) for n in list_needs(container)] == [
            (PAUSE_NAME, "START")
        ]
    states = tuple(ContainerState(name=container.name) for container in task.containers)
    assert not check_stop(TaskState(task=task, containers=states), PAUSE_NAME)


def test_a_pause_container_is_added_once_and_to_awsvpc_tasks_only() -> None:
    once = add_pause(TASK)
    assert add_pause(once) is once
    bridge = replace(TASK, network_mode="bridge", elastic_network_interfaces=())
    assert add_pause(bridge) is bridge


def test_the_pause_container_gets_the_address_and_the_others_join_it() -> None:
    task = add_pause(TASK)
    config, host = {}, {}
    fill_network(config, host, task, task.containers[0], name_of=name_container)
    assert host["NetworkMode"] == "homeport-10.1.2.0-24"
    assert config["NetworkingConfig"]["EndpointsConfig"] == {
        "homeport-10.1.2.0-24": {"IPAMConfig": {"IPv4Address": "10.1.2.4"}}
    }
    config, host = {"Hostname": "x", "ExposedPorts": {"80/tcp": {}}, "Image": "i"}, {}
    fill_network(config, host, task, task.containers[1], name_of=name_container)
    assert host["NetworkMode"] == f"container:{name_container(task, PAUSE_NAME)}"
    assert config == {"Image": "i"}
    assert "~" not in host["NetworkMode"]


def test_a_task_that_shares_processes_or_ipc_has_a_pause_container_that_holds_them() -> None:
    bridge = replace(TASK, network_mode="bridge", elastic_network_interfaces=())
    assert add_pause(bridge) is bridge
    task = add_pause(replace(bridge, pid_mode="task", ipc_mode="task"))
    joined = f"container:{name_container(task, PAUSE_NAME)}"
    hosts: list[dict[str, object]] = []
    for container in task.containers[:2]:
        hosts.append({})
        fill_namespaces({}, hosts[-1], task, container, name_of=name_container)
    assert hosts == [{"IpcMode": "shareable"}, {"PidMode": joined, "IpcMode": joined}]


def test_awsvpc_without_an_address_in_its_subnet_is_refused_with_the_reason() -> None:
    assert refuse_unsupported(TASK) is None
    outside = replace(INTERFACE, subnet_gateway_ipv4_address="10.9.9.1/24")
    for interfaces in ((), (INTERFACE, INTERFACE), (outside,)):
        refused = refuse_unsupported(replace(TASK, elastic_network_interfaces=interfaces))
        assert refused is not None
        assert "awsvpc" in refused
