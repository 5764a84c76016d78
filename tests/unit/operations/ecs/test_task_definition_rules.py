"""What RegisterTaskDefinition refuses, in whose words, and what it must not refuse."""

import re

import pytest

from builders import make_store
from calls import call, decide
from homeport.api import ecs

APP = {"name": "app", "image": "busybox", "memory": 64}
ROLE = "arn:aws:iam::123456789012:role/execution"
AWSVPC = {"networkMode": "awsvpc"}
FARGATE = {"requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc"}
SIZED = {**FARGATE, "cpu": "256", "memory": "512"}


def definition(*containers, **members):
    """A request: each container is what it has beyond APP."""
    filled = [{**APP, **container} for container in (containers or ({},))]
    return {"family": "web", "containerDefinitions": filled, **members}


def side(**members):
    return {"name": "side", **members}


def ports(*mappings, **members):
    return definition({"portMappings": list(mappings)}, **members)


def health(**members):
    return definition({"healthCheck": {"command": ["CMD", "true"], **members}})


def volume(**members):
    return definition(volumes=[{"name": "data", **members}])


def log(driver, **options):
    return {"logConfiguration": {"logDriver": driver, "options": options}}


def without(member, value=None):
    container = {**APP, member: value} if value is not None else dict(APP)
    if value is None:
        del container[member]
    return {"family": "web", "containerDefinitions": [container]}


CYCLE = [{"containerName": "side", "condition": "START"}]
TASK_REFUSALS = [
    (definition(family="a b"), "Family contains invalid characters."),
    (definition(family=""), "Family should not be null or empty."),
    ({"family": "web", "containerDefinitions": []}, "Container list cannot be empty."),
    (definition(*({"name": f"c{n}"} for n in range(11))), "Too many containers."),
    (definition({}, {}), "Container names must be unique within a Task Definition."),
    (definition({"essential": False}), "At least one container must be marked as essential."),
    (definition(cpu="much"), "Invalid 'cpu' setting for task."),
    (definition(cpu="64"), "Invalid 'cpu' setting for task."),
    (definition(cpu="200 vCPU"), "Invalid 'cpu' setting for task."),
    (definition(cpu="vCPU"), "Invalid 'cpu' setting for task."),
    (definition(cpu="9" * 40), "Invalid 'cpu' setting for task."),
    (definition(memory="-1"), "Invalid 'memory' setting for task."),
    (definition(memory="1 TB"), "Invalid 'memory' setting for task."),
    (
        definition(placementConstraints=[{"type": "memberOf"}]),
        "Placement constraint expression should not be empty.",
    ),
    (
        definition(placementConstraints=[{"type": "memberOf", "expression": "a =="}]),
        "Invalid placement constraint expression",
    ),
    (
        definition(placementConstraints=[{"type": "distinctInstance"}]),
        "placementConstraints[0].type should be one of [memberOf]",
    ),
    (
        definition(
            placementConstraints=[{"type": "memberOf", "expression": "attribute:a == b"}] * 11
        ),
        "Too many placement constraints.",
    ),
    (definition(ephemeralStorage={"sizeInGiB": 20}), "Invalid 'ephemeralStorage' setting"),
    (
        definition(proxyConfiguration={"containerName": "app"}),
        "proxyConfiguration is only supported when networkMode=awsvpc.",
    ),
    (
        definition(proxyConfiguration={"containerName": "x"}, **AWSVPC),
        "The proxyConfiguration names the container 'x'",
    ),
    (
        definition({"environment": [{"name": "A", "value": "x" * 65_536}]}),
        "Actual length: '66",
    ),
]
CONTAINER_REFUSALS = [
    (without("name"), "Container.name should not be null or empty."),
    (without("name", "a/b"), "Container.name contains invalid characters."),
    (without("image"), "Container.image should not be null or empty."),
    (without("image", ""), "Container.image should not be null or empty."),
    (
        without("memory"),
        "Invalid setting for container 'app'. At least one of 'memory' or 'memoryReservation' "
        "must be specified.",
    ),
    (definition({"memory": 3}), "Invalid 'memory' setting for container 'app'."),
    (definition({"cpu": -1}), "Invalid 'cpu' setting for container 'app'."),
    (definition({"memoryReservation": 65}), "Invalid setting for container 'app'. 'memory' must"),
    (
        definition({"memory": 513}, memory="512"),
        "The 'memory' setting for container 'app' is greater than for the task.",
    ),
    (
        definition({"memory": 300}, side(memory=300), memory="512"),
        "The total memory reserved for all containers",
    ),
    (
        definition({"cpu": 200}, side(cpu=100), cpu="256"),
        "The sum of all container 'cpu' values cannot be greater than the value of the task 'cpu'.",
    ),
    (health(interval=4), "Invalid health check 'interval' setting for container 'app'."),
    (health(timeout=61), "Invalid health check 'timeout' setting for container 'app'."),
    (health(retries=11), "Invalid health check 'retries' setting for container 'app'."),
    (health(startPeriod=301), "Invalid health check 'startPeriod' setting for container 'app'."),
    (health(command=[]), "Health check command for container 'app' must not be empty."),
    (
        definition({"secrets": [{"name": "S", "valueFrom": "x"}]}),
        "When you are specifying container secrets, you must also specify a value for "
        "'executionRoleArn'",
    ),
    (
        definition(
            {
                "secrets": [{"name": "S", "valueFrom": "x"}],
                "environment": [{"name": "S", "value": "y"}],
            },
            executionRoleArn=ROLE,
        ),
        "The secret name must be unique and not shared with any new or existing environment "
        "variables set on the container, such as 'S'.",
    ),
    (definition({"environment": [{"value": "x"}]}), "Environment variable name should not be"),
    (
        definition({"environmentFiles": [{"type": "s3", "value": "/x.env"}]}),
        "Invalid environment file '/x.env'.",
    ),
    (
        definition({"environmentFiles": [{"type": "s3", "value": "arn:aws:s3:::b/x.env"}] * 11}),
        "Too many environment files",
    ),
    (
        definition(log("awslogs", **{"awslogs-region": "r"})),
        "Log driver awslogs requires options: awslogs-group",
    ),
    (
        definition(log("awslogs")),
        "Log driver awslogs requires options: awslogs-region, awslogs-group",
    ),
    (definition(log("awsfirelens")), "When the awsfirelens log driver is specified"),
    (
        definition({"firelensConfiguration": {"type": "fluentbit"}}),
        "When a firelensConfiguration object is specified, at least one container has to be "
        "configured with the awsfirelens log driver.",
    ),
    (
        definition({"restartPolicy": {"enabled": True, "restartAttemptPeriod": 59}}),
        "Invalid 'restartAttemptPeriod' setting for container 'app'.",
    ),
    (
        definition({"restartPolicy": {"enabled": True, "ignoredExitCodes": list(range(51))}}),
        "Too many 'ignoredExitCodes' for container 'app'.",
    ),
    (
        definition({"ulimits": [{"name": "nofile", "softLimit": 2, "hardLimit": 1}]}),
        "Invalid ulimit 'nofile' for container 'app'.",
    ),
    (
        definition({"ulimits": [{"name": "nofile", "softLimit": 1, "hardLimit": 1}] * 2}),
        "Ulimit 'nofile' is specified multiple times",
    ),
    (definition({"linuxParameters": {"swappiness": 101}}), "Invalid 'swappiness' setting"),
    (definition({"linuxParameters": {"maxSwap": -1}}), "Invalid 'maxSwap' setting"),
    (
        definition({"linuxParameters": {"tmpfs": [{"containerPath": "/t", "size": 0}]}}),
        "Invalid 'tmpfs' setting for container 'app'.",
    ),
    (definition({"stopTimeout": -1}), "Invalid 'stopTimeout' setting for container 'app'."),
    (
        definition({"resourceRequirements": [{"type": "GPU", "value": "some"}]}),
        "Invalid resource requirement 'GPU'",
    ),
    (
        definition({"resourceRequirements": [{"type": "InferenceAccelerator", "value": "d"}]}),
        "Invalid resource requirement 'InferenceAccelerator'",
    ),
    (
        definition({"disableNetworking": True}, **AWSVPC),
        "Disable Networking is not supported on container when networkMode=awsvpc",
    ),
    (
        definition({"hostname": "h"}, **AWSVPC),
        "Hostname is not supported on container when networkMode=awsvpc",
    ),
]
PORT_REFUSALS = [
    (ports({}), "Invalid 'containerPort' setting for container 'app'."),
    (ports({"hostPort": 80}), "Invalid 'containerPort' setting for container 'app'."),
    (ports({"containerPort": 65_536}), "Invalid 'containerPort' setting for container 'app'."),
    (
        ports({"containerPort": 1, "hostPort": 65_536}),
        "Invalid 'hostPort' setting for container 'app'.",
    ),
    (
        ports({"containerPort": 1, "containerPortRange": "1-2"}),
        "cannot specify both single port and port range",
    ),
    (ports({"containerPortRange": "2-1"}), "Invalid 'containerPortRange' setting"),
    (ports({"containerPortRange": "1-65536"}), "Invalid 'containerPortRange' setting"),
    (
        ports({"containerPortRange": "1-5"}, {"containerPortRange": "5-9"}),
        "Port ranges overlap for container 'app'",
    ),
    (
        ports({"containerPortRange": "1-5"}, {"containerPort": 3}),
        "Port ranges overlap for container 'app'",
    ),
    (
        ports(*({"containerPortRange": f"{2 * n + 1}-{2 * n + 2}"} for n in range(101))),
        "Too many port ranges for container 'app'.",
    ),
    (
        ports({"containerPort": 80, "hostPort": 81}, networkMode="host"),
        "When networkMode=host, the host ports and container ports in port mappings must match.",
    ),
    (
        ports({"containerPort": 80, "hostPort": 81}, **AWSVPC),
        "When networkMode=awsvpc, the host ports and container ports in port mappings must match.",
    ),
    (
        ports({"containerPortRange": "1-2"}, networkMode="host"),
        "Port ranges are not supported when networkMode=host.",
    ),
    (
        ports({"containerPort": 80}, networkMode="none"),
        "Port mappings are not supported when networkMode=none.",
    ),
    (
        ports({"containerPort": 1, "hostPort": 3000}, {"containerPort": 2, "hostPort": 3000}),
        "TCP host port '3000' is mapped multiple times in task.",
    ),
    (
        definition(
            {"portMappings": [{"containerPort": 53, "protocol": "udp"}]},
            side(portMappings=[{"containerPort": 53, "protocol": "udp"}]),
            **AWSVPC,
        ),
        "UDP host port '53' is mapped multiple times in task.",
    ),
    (ports({"containerPort": 1, "name": "Web"}), "PortMapping.name contains invalid characters."),
    (
        ports({"containerPort": 1, "name": "web"}, {"containerPort": 2, "name": "web"}),
        "Port mapping names must be unique within a Task Definition",
    ),
]
REFERENCE_REFUSALS = [
    (
        definition({"dependsOn": CYCLE}),
        "Cannot depend on container + 'side' because it does not exist",
    ),
    (
        definition({"dependsOn": [{"containerName": "side", "condition": "SUCCESS"}]}, side()),
        "A dependency container with SUCCESS or COMPLETE condition cannot be an essential "
        "container",
    ),
    (
        definition({"dependsOn": [{"containerName": "side", "condition": "HEALTHY"}]}, side()),
        "Container 'app' depends on container 'side' with HEALTHY condition",
    ),
    (
        definition(
            {"dependsOn": CYCLE},
            side(dependsOn=[{"containerName": "app", "condition": "START"}]),
        ),
        "Container dependencies should not have a cycle",
    ),
    (
        definition({"dependsOn": [{"containerName": "app", "condition": "START"}]}),
        "Container dependencies should not have a cycle",
    ),
    (
        definition({"links": ["side"]}, side(links=["app:a"])),
        "Container links should not have a cycle",
    ),
    (
        definition({"dependsOn": CYCLE}, side(volumesFrom=[{"sourceContainer": "app"}])),
        "Container dependencies, links and volumesFrom together should not have a cycle",
    ),
    (definition({"links": ["x"]}), "Container 'app' links to container 'x', which does not"),
    (definition({"links": ["side:"]}, side()), "Invalid link 'side:' for container 'app'."),
    (
        definition({"links": ["side"]}, side(), **AWSVPC),
        "Links are not supported when networkMode=awsvpc.",
    ),
    (
        definition({"volumesFrom": [{"sourceContainer": "x"}]}),
        "Container 'app' takes volumes from container 'x', which does not exist.",
    ),
    (
        definition({"mountPoints": [{"sourceVolume": "data", "containerPath": "/d"}]}),
        "Unknown volume 'data'.",
    ),
    (
        definition({"mountPoints": [{"sourceVolume": "v"}]}, volumes=[{"name": "v"}]),
        "MountPoint.containerPath should not be null or empty.",
    ),
    (volume(name=""), "Volume.name should not be null or empty."),
    (volume(host={"sourcePath": ""}), "host.sourcePath should not be blank."),
    (
        volume(host={}, dockerVolumeConfiguration={}),
        "Volume 'data' specifies host and dockerVolumeConfiguration.",
    ),
    (
        volume(dockerVolumeConfiguration={"autoprovision": True}),
        "Volume 'data' specifies autoprovision",
    ),
    (
        volume(configuredAtLaunch=True, host={"sourcePath": "/d"}),
        "Volume 'data' is configuredAtLaunch",
    ),
    (
        volume(
            efsVolumeConfiguration={"fileSystemId": "fs", "authorizationConfig": {"iam": "ENABLED"}}
        ),
        "Volume 'data' specifies an authorizationConfig, which needs transitEncryption ENABLED.",
    ),
    (
        definition(volumes=[{"name": "v"}, {"name": "v"}]),
        "Volume names must be unique within a Task Definition, 'v' is not.",
    ),
]
FARGATE_REFUSALS = [
    (definition(requiresCompatibilities=["FARGATE"]), "Fargate only supports network mode"),
    (definition(**FARGATE), "Fargate requires that 'cpu' be defined at the task level"),
    (definition(**FARGATE, cpu="256"), "Fargate requires that 'memory' be defined at the task"),
    (
        definition(**FARGATE, cpu="256", memory="4096"),
        "No Fargate configuration exists for given values.",
    ),
    (
        definition(**SIZED, volumes=[{"name": "v", "dockerVolumeConfiguration": {}}]),
        "Fargate compatible task definitions do not support dockerVolumeConfiguration",
    ),
    (
        definition(**SIZED, volumes=[{"name": "v", "host": {"sourcePath": "/x"}}]),
        "Fargate compatible task definitions do not support sourcePath",
    ),
    (
        definition({"privileged": True}, **SIZED),
        "Fargate compatible task definitions do not support privileged",
    ),
    (
        definition(log("json-file"), **SIZED),
        "Fargate compatible task definitions do not support log driver json-file",
    ),
    (
        definition({"stopTimeout": 121}, **SIZED),
        "Fargate compatible task definitions do not support timeouts above 120 seconds",
    ),
    (
        definition(**AWSVPC, requiresCompatibilities=["EXTERNAL"]),
        "External compatible task definitions do not support networkMode awsvpc.",
    ),
]


@pytest.mark.parametrize(
    ("request_members", "words"),
    TASK_REFUSALS + CONTAINER_REFUSALS + PORT_REFUSALS + REFERENCE_REFUSALS + FARGATE_REFUSALS,
    ids=lambda value: value[:50] if isinstance(value, str) else "",
)
def test_an_unsound_definition_is_a_client_exception_in_awss_words(request_members, words):
    with pytest.raises(ecs.ClientException, match=f"^{re.escape(words)}"):
        decide(make_store(), "RegisterTaskDefinition", **request_members)


@pytest.mark.parametrize(
    "request_members",
    [
        definition({"memoryReservation": 64}),
        definition({"links": ["side:db"], "dependsOn": CYCLE}, side()),
        definition({"healthCheck": {"command": ["/healthcheck"]}}),
        definition({"ulimits": [{"name": "core", "softLimit": -1, "hardLimit": -1}]}),
        definition({"resourceRequirements": [{"type": "GPU", "value": "2"}]}),
        definition(
            placementConstraints=[
                {"type": "memberOf", "expression": "attribute:ecs.os-type == linux"}
            ]
        ),
        definition({"firelensConfiguration": {"type": "fluentd"}}, side(**log("awsfirelens"))),
        ports({"containerPort": 53}, {"containerPort": 53, "protocol": "udp"}, networkMode="host"),
        ports({"containerPort": 80, "hostPort": 80}, {"containerPort": 80, "hostPort": 81}),
        definition({"stopTimeout": 3_600}),
        definition(**SIZED),
        without("memory") | {"memory": "512"},
    ],
)
def test_a_sound_definition_is_registered(request_members):
    reply = call(make_store(), "RegisterTaskDefinition", **request_members)
    assert reply["taskDefinition"]["revision"] == 1


@pytest.mark.parametrize(
    ("cpu", "memory", "described"),
    [
        ("256", "512", ("256", "512")),
        (".25 vCPU", "0.5GB", ("256", "512")),
        ("1 vcpu", "1 gb", ("1024", "1024")),
        ("0.125vCPU", "2GB", ("128", "2048")),
        (" 2048 ", " 4096 ", ("2048", "4096")),
    ],
)
def test_task_sizes_are_described_in_units_and_mib(cpu, memory, described):
    reply = call(make_store(), "RegisterTaskDefinition", **definition(cpu=cpu, memory=memory))
    assert (reply["taskDefinition"]["cpu"], reply["taskDefinition"]["memory"]) == described


@pytest.mark.parametrize(
    ("members", "compatibilities"),
    [
        ({}, ["EXTERNAL", "EC2"]),
        (AWSVPC, ["EC2"]),
        ({**AWSVPC, "cpu": "256", "memory": "512"}, ["EC2", "FARGATE"]),
        ({"requiresCompatibilities": ["MANAGED_INSTANCES"]}, None),
    ],
)
def test_compatibilities_name_the_launch_types_that_could_run_it(members, compatibilities):
    reply = call(make_store(), "RegisterTaskDefinition", **definition(**members))
    expected = compatibilities or ["EXTERNAL", "EC2", "MANAGED_INSTANCES"]
    assert reply["taskDefinition"]["compatibilities"] == expected


def test_a_refused_definition_uses_up_no_revision():
    store = make_store()
    with pytest.raises(ecs.ClientException):
        call(store, "RegisterTaskDefinition", **definition({"cpu": -1}))
    assert call(store, "RegisterTaskDefinition", **definition())["taskDefinition"]["revision"] == 1
