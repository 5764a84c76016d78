"""What a task definition needs of a container instance."""

import pytest

from homeport.api import ecs
from homeport.model.placement import Requirement
from homeport.model.resources import HostPort, TaskResources
from homeport.model.task_definition import ContainerSpec
from homeport.operations.ecs.requirements import (
    list_container_specs,
    list_platform,
    list_required_attributes,
    sum_resources,
)
from homeport.operations.ecs.task_definition_rules_sizes import TaskSize

AGENT = "com.amazonaws.ecs.capability"
NO_SIZE = TaskSize(None, None)
ROLE = "arn:aws:iam::123456789012:role/r"
SSM = "arn:aws:ssm:us-east-1:123456789012:parameter/p"
ASM = "arn:aws:secretsmanager:us-east-1:123456789012:secret:s"
ECR_IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/app:1"


def attributes(container=None, **members):
    request = ecs.RegisterTaskDefinitionRequest(
        container_definitions=[container or ecs.ContainerDefinition(name="app", image="busybox")],
        **members,
    )
    return set(list_required_attributes(request))


def app(**members):
    return ecs.ContainerDefinition(**{"name": "app", "image": "busybox", **members})


def test_a_plain_container_needs_no_attribute():
    assert attributes() == set()


@pytest.mark.parametrize(
    ("container", "needed"),
    [
        (app(privileged=True), {f"{AGENT}.privileged-container"}),
        (app(privileged=False), set()),
        (app(memory_reservation=5), {f"{AGENT}.docker-remote-api.1.21"}),
        (
            app(health_check=ecs.HealthCheck(command=["x"])),
            {"ecs.capability.container-health-check"},
        ),
        (
            app(depends_on=[ecs.ContainerDependency(container_name="b", condition="START")]),
            {"ecs.capability.container-ordering"},
        ),
        (
            app(restart_policy=ecs.ContainerRestartPolicy(enabled=True)),
            {"ecs.capability.container-restart-policy"},
        ),
        (app(restart_policy=ecs.ContainerRestartPolicy(enabled=False)), set()),
        (
            app(port_mappings=[ecs.PortMapping(container_port_range="1-2")]),
            {"ecs.capability.network.container-port-range"},
        ),
        (
            app(log_configuration=ecs.LogConfiguration(log_driver="syslog")),
            {f"{AGENT}.logging-driver.syslog", f"{AGENT}.docker-remote-api.1.18"},
        ),
        (
            app(secrets=[ecs.Secret(name="a", value_from=SSM)]),
            {"ecs.capability.secrets.ssm.environment-variables"},
        ),
        (
            app(secrets=[ecs.Secret(name="a", value_from=ASM)]),
            {"ecs.capability.secrets.asm.environment-variables"},
        ),
        (app(image=ECR_IMAGE), {f"{AGENT}.ecr-auth", f"{AGENT}.docker-remote-api.1.19"}),
        (
            app(
                firelens_configuration=ecs.FirelensConfiguration(
                    type="fluentbit", options={"config-file-type": "s3"}
                )
            ),
            {
                "ecs.capability.firelens.fluentbit",
                "ecs.capability.firelens.options.config.s3",
            },
        ),
        (
            app(docker_security_options=["label:level:x", "apparmor:PROFILE"]),
            {f"{AGENT}.selinux", f"{AGENT}.apparmor"},
        ),
    ],
)
def test_a_containers_members_need_the_agents_capabilities(container, needed):
    assert attributes(container) == needed


@pytest.mark.parametrize(
    ("members", "needed"),
    [
        ({"network_mode": "awsvpc"}, {"ecs.capability.task-eni"}),
        (
            {"task_role_arn": ROLE},
            {f"{AGENT}.task-iam-role", f"{AGENT}.docker-remote-api.1.17"},
        ),
        (
            {"task_role_arn": ROLE, "network_mode": "host"},
            {f"{AGENT}.task-iam-role-network-host", f"{AGENT}.docker-remote-api.1.17"},
        ),
        ({"pid_mode": "host"}, {"ecs.capability.pid-ipc-namespace-sharing"}),
        ({"execution_role_arn": ROLE}, set()),
        (
            {"volumes": [ecs.Volume(docker_volume_configuration=ecs.DockerVolumeConfiguration())]},
            {"ecs.capability.docker-plugin.local"},
        ),
        ({"volumes": [ecs.Volume(host=ecs.HostVolumeProperties(source_path="/x"))]}, set()),
    ],
)
def test_task_members_need_the_agents_capabilities(members, needed):
    assert attributes(**members) == needed


def test_an_execution_role_adds_what_uses_it():
    log = ecs.LogConfiguration(log_driver="awslogs", options={"awslogs-group": "g"})
    needed = attributes(app(image=ECR_IMAGE, log_configuration=log), execution_role_arn=ROLE)
    assert {
        "ecs.capability.execution-role-ecr-pull",
        "ecs.capability.execution-role-awslogs",
    } < needed


def test_attributes_come_sorted_so_that_every_process_writes_the_same_record():
    request = ecs.RegisterTaskDefinitionRequest(
        container_definitions=[app(privileged=True, memory_reservation=5, ulimits=[ecs.Ulimit()])],
        task_role_arn=ROLE,
    )
    names = list_required_attributes(request)
    assert list(names) == sorted(names)


def test_without_a_task_size_the_containers_sums_count_and_reservations_go_first():
    containers = [app(cpu=10, memory=100, memory_reservation=60), app(memory=30), app()]
    assert sum_resources(containers, NO_SIZE, None) == TaskResources(10, 90)


def test_a_task_size_replaces_the_sums_member_by_member():
    containers = [app(cpu=10, memory=100)]
    assert sum_resources(containers, TaskSize(256, None), None) == TaskResources(256, 100)
    assert sum_resources(containers, TaskSize(None, 512), None) == TaskResources(10, 512)


def test_only_fixed_host_ports_are_held():
    mappings = [
        ecs.PortMapping(container_port=80, host_port=8080),
        ecs.PortMapping(container_port=53, host_port=53, protocol="udp"),
        ecs.PortMapping(container_port=81),
        ecs.PortMapping(container_port=82, host_port=0),
        ecs.PortMapping(container_port_range="90-99"),
    ]
    containers = [app(port_mappings=mappings)]
    bridge = sum_resources(containers, NO_SIZE, "bridge").host_ports
    assert bridge == (HostPort(8080, "tcp"), HostPort(53, "udp"))
    assert sum_resources(containers, NO_SIZE, "awsvpc").host_ports == ()


def test_with_host_networking_container_ports_are_host_ports():
    containers = [app(port_mappings=[ecs.PortMapping(container_port=80)])]
    assert sum_resources(containers, NO_SIZE, "host").host_ports == (HostPort(80, "tcp"),)


def test_gpus_are_counted_over_containers():
    two = [ecs.ResourceRequirement(type="GPU", value="2")]
    shared = [ecs.ResourceRequirement(type="GPU", value="ALL")]
    containers = [app(resource_requirements=two), app(resource_requirements=shared)]
    assert sum_resources(containers, NO_SIZE, None).gpu_count == 3


def test_container_specs_hold_what_decisions_read():
    container = app(
        essential=False,
        cpu=1,
        memory=2,
        memory_reservation=3,
        health_check=ecs.HealthCheck(command=["x"]),
    )
    assert list_container_specs([container, app()]) == (
        ContainerSpec(
            name="app",
            image="busybox",
            essential=False,
            cpu_units=1,
            memory_mib=2,
            memory_reservation_mib=3,
            has_health_check=True,
        ),
        ContainerSpec(name="app", image="busybox"),
    )


def test_a_runtime_platform_asks_for_the_operating_system_and_the_architecture():
    assert list_platform(None) == list_platform(ecs.RuntimePlatform()) == ()
    graviton = ecs.RuntimePlatform(operating_system_family="LINUX", cpu_architecture="ARM64")
    assert list_platform(graviton) == (
        Requirement("ecs.os-type", "linux"),
        Requirement("ecs.cpu-architecture", "arm64"),
    )
    windows = ecs.RuntimePlatform(operating_system_family="WINDOWS_SERVER_2022_CORE")
    assert list_platform(windows) == (
        Requirement("ecs.os-type", "windows"),
        Requirement("ecs.os-family", "WINDOWS_SERVER_2022_CORE"),
    )
