"""A task as its agent gets it: definition, overrides and the record, in the protocol's words."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from builders import (
    NOW_MS,
    make_container_instance,
    make_service,
    make_store,
    make_task,
    make_task_definition,
)
from homeport.gateway.payloads import DEFINITIONS_KEPT, PayloadTasks
from homeport.model.resources import TaskResources
from homeport.model.task import Task
from homeport.model.task_definition import ContainerSpec, TaskDefinition
from homeport.state.view import View
from homeport.wire.agent_messages import payload

RECORDED = Path(__file__).parents[2] / "contract/fixtures/recorded_payload_task.json"
INSTANCE = make_container_instance()


def define(
    *containers: dict[str, Any], record: dict[str, Any] | None = None, **members: Any
) -> TaskDefinition:
    specs = tuple(ContainerSpec(name=c["name"], image=c.get("image", "")) for c in containers)
    described = {"family": "web", "revision": 1, "containerDefinitions": containers, **members}
    return make_task_definition(
        containers=specs, document=msgspec.json.encode(described), **(record or {})
    )


def build(definition: TaskDefinition, **members: Any) -> payload.Task:
    task = make_task(definition=definition, instance=INSTANCE, **members)
    return build_task(definition, task)


def build_task(definition: TaskDefinition, task: Task) -> payload.Task:
    built = PayloadTasks(View(make_store(INSTANCE, definition, task))).build(task, NOW_MS)
    assert built is not None
    return built


def build_container(container: dict[str, Any], **members: Any) -> payload.Container:
    return build(define({"name": "app", **container}, **members)).containers[0]


def test_the_payload_is_the_one_that_amazons_agent_was_seen_to_understand() -> None:
    recorded = msgspec.json.decode(RECORDED.read_bytes())
    definition = define(
        {
            "name": "web",
            "image": "busybox:latest",
            "command": ["httpd", "-f", "-p", "80", "-h", "/www"],
            "cpu": 64,
            "memory": 64,
            "essential": True,
            "environment": [{"name": "A", "value": "1"}],
            "portMappings": [{"containerPort": 80, "hostPort": 0, "protocol": "tcp"}],
            "mountPoints": [{"sourceVolume": "data", "containerPath": "/data", "readOnly": False}],
            "dependsOn": [{"containerName": "init", "condition": "SUCCESS"}],
            "healthCheck": {
                "command": ["CMD-SHELL", "wget -q -O - http://127.0.0.1/ || exit 1"],
                "interval": 5,
                "timeout": 2,
                "retries": 2,
                "startPeriod": 1,
            },
        },
        {
            "name": "init",
            "image": "busybox:latest",
            "command": ["/bin/echo", "init"],
            "cpu": 0,
            "memory": 16,
            "essential": False,
        },
        volumes=[{"name": "data", "host": {}}],
        record={
            "family": "demo",
            "cpu": "256",
            "memory": "128",
            "network_mode": "bridge",
            "resources": TaskResources(cpu_units=256, memory_mib=128),
        },
    )
    service = make_service(definition=definition)
    task = make_task(definition=definition, instance=INSTANCE, service=service)
    built = msgspec.to_builtins(build_task(definition, task))
    assert_says(built, recorded)


# What the recording's control side chose and the protocol leaves open.
OWN_CHOICE = {"arn", "containerArn", "hostConfig", "healthCheckType", "version"}


def assert_says(built: Any, recorded: Any) -> None:
    """Check that all that was recorded is said; an absent member is its zero for the agent."""
    if isinstance(recorded, dict):
        for name, value in recorded.items():
            if name == "config" or name not in OWN_CHOICE:
                found = built.get(name)
                if name == "config":
                    found, value = msgspec.json.decode(found), msgspec.json.decode(value)
                assert_says(found if found is not None else type(value)(), value)
    elif isinstance(recorded, list):
        assert len(built) == len(recorded)
        for one, other in zip(built, recorded, strict=True):
            assert_says(one, other)
    else:
        assert built == recorded


def test_the_health_check_type_is_spelled_as_the_agents_model_has_it() -> None:
    assert (
        build_container({"healthCheck": {"command": ["CMD", "true"]}}).health_check_type == "docker"
    )
    assert build_container({}).health_check_type == ""


def test_overrides_are_merged_into_the_container_they_name() -> None:
    definition = define(
        {
            "name": "app",
            "command": ["serve"],
            "cpu": 10,
            "memory": 128,
            "environment": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
            "environmentFiles": [{"type": "s3", "value": "one"}],
        },
        {"name": "side", "command": ["watch"]},
    )
    overrides = {
        "containerOverrides": [
            {
                "name": "app",
                "command": ["migrate", "--now"],
                "environment": [{"name": "B", "value": "two"}, {"name": "C", "value": "3"}],
                "environmentFiles": [{"type": "s3", "value": "two"}],
                "cpu": 20,
                "memory": 256,
                "memoryReservation": 64,
            }
        ]
    }
    built = build(definition, overrides=msgspec.json.encode(overrides))
    app, side = built.containers
    assert app.command == ("migrate", "--now")
    assert app.environment == {"A": "1", "B": "two", "C": "3"}
    assert [file.value for file in app.environment_files] == ["one", "two"]
    assert (app.cpu, app.memory) == (20, 256)
    assert app.docker_config is not None
    assert '"MemoryReservation":67108864' in app.docker_config.host_config
    assert side.command == ("watch",)
    assert msgspec.json.decode(built.overrides) == overrides


def test_a_task_without_overrides_has_an_empty_object_of_them() -> None:
    built = build(define({"name": "app"}))
    assert built.overrides == "{}"
    assert built.containers[0].overrides == "{}"


def test_task_sizes_travel_as_vcpu_and_mib_only_when_the_task_has_them() -> None:
    sized = define(
        {"name": "app"},
        record={
            "cpu": "512",
            "memory": "1024",
            "resources": TaskResources(cpu_units=512, memory_mib=1_024),
        },
    )
    assert (build(sized).cpu, build(sized).memory) == (0.5, 1_024)
    unsized = define({"name": "app"}, record={"resources": TaskResources(cpu_units=9)})
    assert (build(unsized).cpu, build(unsized).memory) == (None, None)


def test_an_overridden_task_size_is_the_one_that_travels() -> None:
    definition = define({"name": "app"})
    overrides = msgspec.json.encode({"cpu": "2048", "memory": "4096"})
    resources = TaskResources(cpu_units=2_048, memory_mib=4_096)
    built = build(definition, overrides=overrides, resources=resources)
    assert (built.cpu, built.memory) == (2.0, 4_096)


def test_the_task_says_where_it_belongs() -> None:
    definition = define({"name": "app"}, pidMode="host", ipcMode="none")
    service = make_service("shop", definition=definition)
    task = make_task(definition=definition, instance=INSTANCE, service=service)
    built = build_task(definition, task)
    assert (built.family, built.version) == ("web", "1")
    assert (built.service_name, built.group) == ("shop", "service:shop")
    assert (built.zone, built.task_definition_account_id) == ("us-east-1a", "123456789012")
    assert (built.pid_mode, built.ipc_mode, built.launch_type) == ("host", "none", "EC2")
    assert built.containers[0].container_arn == task.containers[0].arn


def test_containers_keep_all_that_the_protocol_has_words_for() -> None:
    container = build_container(
        {
            "entryPoint": ["/init"],
            "links": ["db:database"],
            "portMappings": [{"containerPortRange": "8000-8010", "protocol": "udp"}],
            "volumesFrom": [{"sourceContainer": "data", "readOnly": True}],
            "restartPolicy": {
                "enabled": True,
                "ignoredExitCodes": [0, 7],
                "restartAttemptPeriod": 60,
            },
            "startTimeout": 5,
            "stopTimeout": 6,
            "privileged": True,
            "essential": False,
            "linuxParameters": {"initProcessEnabled": True, "sharedMemorySize": 64},
            "firelensConfiguration": {"type": "fluentbit", "options": {"a": "b"}},
            "credentialSpecs": ["credentialspec:x"],
        }
    )
    assert container.entry_point == ("/init",)
    assert container.links == ("db:database",)
    assert container.port_mappings[0].container_port_range == "8000-8010"
    assert container.port_mappings[0].protocol == "udp"
    assert container.volumes_from[0].read_only
    assert container.restart_policy == payload.RestartPolicy(
        enabled=True, ignored_exit_codes=(0, 7), restart_attempt_period=60
    )
    assert (container.start_timeout, container.stop_timeout) == (5, 6)
    assert container.privileged
    assert not container.essential
    assert container.linux_parameters is not None
    assert container.linux_parameters.init_process_enabled
    assert container.firelens_configuration is not None
    assert container.credential_specs == ("credentialspec:x",)


@pytest.mark.parametrize(
    ("value_from", "provider", "region"),
    [
        ("arn:aws:secretsmanager:eu-west-1:1:secret:x", "asm", "eu-west-1"),
        ("arn:aws:ssm:eu-west-2:1:parameter/x", "ssm", "eu-west-2"),
        ("/plain/name", "ssm", "us-east-1"),
    ],
)
def test_a_secret_names_its_store_and_region(value_from: str, provider: str, region: str) -> None:
    secret = build_container({"secrets": [{"name": "S", "valueFrom": value_from}]}).secrets[0]
    assert (secret.provider, secret.region) == (provider, region)
    assert (secret.name, secret.target) == ("S", "CONTAINER")


def test_a_log_drivers_secret_is_marked_as_such() -> None:
    log = {"logDriver": "splunk", "secretOptions": [{"name": "token", "valueFrom": "t"}]}
    assert build_container({"logConfiguration": log}).secrets[0].target == "LOG_DRIVER"


def test_logs_are_sent_with_the_execution_role_when_there_is_one() -> None:
    container = {"logConfiguration": {"logDriver": "awslogs"}}
    assert build_container(container).logs_auth_strategy == ""
    role = "arn:aws:iam::1:role/execution"
    with_role = build_container(container, executionRoleArn=role)
    assert with_role.logs_auth_strategy == "ExecutionRole"


def test_an_ecr_image_and_a_private_registry_say_how_to_authenticate() -> None:
    image = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/web:1"
    ecr = build_container({"image": image}).registry_authentication
    assert ecr is not None and ecr.ecr_auth_data is not None
    assert (ecr.type, ecr.ecr_auth_data.registry_id) == ("ecr", "123456789012")
    assert ecr.ecr_auth_data.region == "eu-west-1"
    parameter = "arn:aws:secretsmanager:eu-west-1:1:secret:x"
    private = build_container(
        {"repositoryCredentials": {"credentialsParameter": parameter}}
    ).registry_authentication
    assert private is not None and private.asm_auth_data is not None
    assert (private.type, private.asm_auth_data.region) == ("asm", "eu-west-1")
    assert build_container({"image": "busybox"}).registry_authentication is None


def volume(described: dict[str, Any]) -> payload.Volume:
    return build(define({"name": "app"}, volumes=[{"name": "v", **described}])).volumes[0]


def test_host_volumes_have_a_path_or_none() -> None:
    assert volume({"host": {"sourcePath": "/srv"}}).host == payload.HostVolumeProperties(
        source_path="/srv"
    )
    for described in ({"host": {}}, {}):
        assert (volume(described).type, volume(described).host) == (
            "host",
            payload.HostVolumeProperties(),
        )


def test_docker_volumes_keep_their_configuration() -> None:
    built = volume(
        {
            "dockerVolumeConfiguration": {
                "scope": "shared",
                "autoprovision": True,
                "driver": "nfs",
                "driverOpts": {"a": "b"},
                "labels": {"c": "d"},
            }
        }
    )
    assert built.type == "docker"
    assert built.docker_volume_configuration == payload.DockerVolumeConfiguration(
        scope="shared", autoprovision=True, driver="nfs", driver_opts={"a": "b"}, labels={"c": "d"}
    )


def test_efs_and_fsx_volumes_keep_their_configuration() -> None:
    efs = volume(
        {
            "efsVolumeConfiguration": {
                "fileSystemId": "fs-1",
                "rootDirectory": "/x",
                "transitEncryption": "ENABLED",
                "transitEncryptionPort": 2_049,
                "authorizationConfig": {"accessPointId": "ap", "iam": "ENABLED"},
            }
        }
    )
    assert efs.efs_volume_configuration is not None
    assert efs.efs_volume_configuration.authorization_config == payload.EfsAuthorizationConfig(
        access_point_id="ap", iam="ENABLED"
    )
    fsx = volume(
        {
            "fsxWindowsFileServerVolumeConfiguration": {
                "fileSystemId": "fs-2",
                "rootDirectory": "x",
                "authorizationConfig": {"credentialsParameter": "p", "domain": "d"},
            }
        }
    )
    assert fsx.type == "fsxWindowsFileServer"


@pytest.mark.parametrize(
    "described",
    [{"s3filesVolumeConfiguration": {"fileSystemArn": "arn"}}, {"configuredAtLaunch": True}],
)
def test_a_volume_without_words_in_the_protocol_is_never_a_silent_empty_one(
    described: dict[str, Any],
) -> None:
    assert volume(described).type not in ("host", "docker")


def test_a_proxy_configuration_travels_by_name_and_value() -> None:
    proxy = {
        "type": "APPMESH",
        "containerName": "envoy",
        "properties": [{"name": "ProxyEgressPort", "value": "15001"}],
    }
    built = build(define({"name": "app"}, proxyConfiguration=proxy)).proxy_configuration
    assert built == payload.ProxyConfiguration(
        type="APPMESH", container_name="envoy", properties={"ProxyEgressPort": "15001"}
    )


def test_the_decoded_definitions_kept_are_bounded() -> None:
    store = make_store(INSTANCE)
    tasks = PayloadTasks(View(store))
    definition = define({"name": "app"})
    task = make_task(definition=definition, instance=INSTANCE)
    for number in range(DEFINITIONS_KEPT + 5):
        arn = f"{definition.arn}{number}"
        store.task_definitions.put(replace(definition, arn=arn))
        assert tasks.build(replace(task, task_definition_arn=arn), NOW_MS) is not None
    assert len(tasks._prepared) == DEFINITIONS_KEPT


@pytest.mark.parametrize(
    ("stop_code", "reason", "may_wait"),
    [
        ("ServiceSchedulerInitiated", "Scaling activity initiated by (deployment x)", True),
        ("ServiceSchedulerInitiated", "Task failed container health checks", False),
        ("UserInitiated", "Task stopped by user", False),
    ],
)
def test_only_the_stop_of_a_task_that_its_service_does_without_may_wait(
    stop_code: str, reason: str, may_wait: bool
) -> None:
    stop = {"desired_status": "STOPPED", "stop_code": stop_code, "stopped_reason": reason}
    built = build(define({"name": "app"}), **stop)
    assert (built.desired_status, built.stop_may_wait) == ("STOPPED", may_wait)


def test_gpus_travel_as_associations_that_name_the_gpu_and_its_container() -> None:
    definition = define({"name": "train"}, {"name": "log"})
    task = make_task(definition=definition, instance=INSTANCE)
    train, log = task.containers
    task = replace(task, containers=(replace(train, gpu_ids=("GPU-1", "GPU-2")), log))
    assert build_task(definition, task).associations == (
        payload.Association(name="GPU-1", type="gpu", containers=("train",)),
        payload.Association(name="GPU-2", type="gpu", containers=("train",)),
    )


def test_tasks_of_one_definition_share_nothing_but_what_it_says() -> None:
    definition = define({"name": "app", "image": "app:1", "command": ["serve"]})
    plain = make_task(definition=definition, instance=INSTANCE)
    override = {"containerOverrides": [{"name": "app", "command": ["migrate"]}]}
    altered = make_task("two", definition=definition, instance=INSTANCE)
    altered = replace(altered, overrides=msgspec.json.encode(override))
    tasks = PayloadTasks(View(make_store(INSTANCE, definition, plain, altered)))

    commands, arns = [], []
    for task in (plain, altered, plain):
        built = tasks.build(task, NOW_MS)
        assert built is not None
        commands.append(built.containers[0].command)
        arns.append(built.containers[0].container_arn)
    assert commands == [("serve",), ("migrate",), ("serve",)]
    assert arns == [each.containers[0].arn for each in (plain, altered, plain)]
