"""Every member that AWS's model has for a resource is kept and described, or refused by its name.

A member that is neither would be a difference that Terraform, CDK and Ansible show for ever. Task
definitions have their own test next door.
"""

from typing import Any

import msgspec
import pytest

from builders import make_cluster, make_container_instance, make_store, put
from calls import call
from homeport.api import ecs
from homeport.api.errors import AwsError
from homeport.api.shapes import Shape
from homeport.state.store import Store
from model_members import given_names, member_names

ARN = "arn:aws:ecs:us-east-1:123456789012"
TAGS = [{"key": "Größe", "value": "M"}]
SUBNETS = {"subnets": ["subnet-1"], "securityGroups": ["sg-1"], "assignPublicIp": "DISABLED"}
STRATEGY = [{"capacityProvider": "FARGATE", "base": 1, "weight": 2}]
ALARMS = {"alarmNames": ["latency"], "enable": False, "rollback": True}
BREAKER = {
    "enable": True,
    "rollback": True,
    "resetOnHealthyTask": False,
    "thresholdConfiguration": {"type": "COUNT", "value": 4},
}
PAUSE = {
    "targetType": "PAUSE",
    "lifecycleStages": ["PRE_SCALE_UP"],
    "timeoutConfiguration": {"timeoutInMinutes": 5, "action": "ROLLBACK"},
}
# Each is sent as it is, and must come back as it is; ARNs where AWS answers ARNs.
SAMPLES: dict[str, list[dict[str, Any]]] = {
    "CreateCluster": [
        {
            "clusterName": "full",
            "settings": [{"name": "containerInsights", "value": "enhanced"}],
            "configuration": {
                "executeCommandConfiguration": {
                    "kmsKeyId": "k",
                    "logging": "OVERRIDE",
                    "logConfiguration": {
                        "cloudWatchLogGroupName": "g",
                        "cloudWatchEncryptionEnabled": True,
                        "s3BucketName": "b",
                        "s3EncryptionEnabled": False,
                        "s3KeyPrefix": "p",
                    },
                },
                "managedStorageConfiguration": {
                    "kmsKeyId": "x",
                    "fargateEphemeralStorageKmsKeyId": "y",
                },
            },
            "serviceConnectDefaults": {
                "namespace": "arn:aws:servicediscovery:us-east-1:123456789012:namespace/ns-1"
            },
            "capacityProviders": ["FARGATE"],
            "defaultCapacityProviderStrategy": STRATEGY,
            "tags": TAGS,
        }
    ],
    "CreateService": [
        {
            "serviceName": "full",
            "taskDefinition": f"{ARN}:task-definition/web:1",
            "desiredCount": 3,
            "launchType": "EC2",
            "schedulingStrategy": "REPLICA",
            "deploymentController": {"type": "ECS"},
            "deploymentConfiguration": {
                "strategy": "ROLLING",
                "maximumPercent": 150,
                "minimumHealthyPercent": 50,
                "bakeTimeInMinutes": 3,
                "alarms": ALARMS,
                "deploymentCircuitBreaker": BREAKER,
                "lifecycleHooks": [PAUSE],
                "earlySuccessCriteria": {
                    "enable": True,
                    "healthyPercent": 75,
                    "sourceServiceRevisionCleanup": "DEFERRED",
                },
            },
            "placementConstraints": [{"type": "memberOf", "expression": "attribute:a == b"}],
            "placementStrategy": [{"type": "binpack", "field": "memory"}],
            "availabilityZoneRebalancing": "DISABLED",
            "enableECSManagedTags": True,
            "enableExecuteCommand": True,
            "healthCheckGracePeriodSeconds": 30,
            "propagateTags": "SERVICE",
            "tags": TAGS,
        },
        {
            "serviceName": "staged",
            "taskDefinition": f"{ARN}:task-definition/net:1",
            "desiredCount": 1,
            "capacityProviderStrategy": STRATEGY,
            "platformVersion": "LATEST",
            "networkConfiguration": {"awsvpcConfiguration": SUBNETS},
            "deploymentConfiguration": {
                "strategy": "LINEAR",
                "linearConfiguration": {"stepPercent": 20.0, "stepBakeTimeInMinutes": 1},
            },
        },
        {
            "serviceName": "canary",
            "taskDefinition": f"{ARN}:task-definition/web:1",
            "desiredCount": 1,
            "deploymentConfiguration": {
                "strategy": "CANARY",
                "canaryConfiguration": {"canaryPercent": 10.0, "canaryBakeTimeInMinutes": 2},
            },
        },
    ],
    "CreateTaskSet": [
        {
            "cluster": f"{ARN}:cluster/default",
            "service": f"{ARN}:service/default/outside",
            "externalId": "mine",
            "taskDefinition": f"{ARN}:task-definition/web:1",
            "launchType": "EC2",
            "scale": {"value": 50.0, "unit": "PERCENT"},
            "tags": TAGS,
        },
        {
            "cluster": f"{ARN}:cluster/default",
            "service": f"{ARN}:service/default/outside",
            "taskDefinition": f"{ARN}:task-definition/net:1",
            "capacityProviderStrategy": STRATEGY,
            "platformVersion": "LATEST",
            "networkConfiguration": {"awsvpcConfiguration": SUBNETS},
        },
    ],
    "CreateCapacityProvider": [
        {
            "name": "full",
            "autoScalingGroupProvider": {
                "autoScalingGroupArn": "arn:aws:autoscaling:us-east-1:123456789012:"
                "autoScalingGroup:id:autoScalingGroupName/group",
                "managedScaling": {
                    "status": "ENABLED",
                    "targetCapacity": 90,
                    "minimumScalingStepSize": 2,
                    "maximumScalingStepSize": 20,
                    "instanceWarmupPeriod": 60,
                },
                "managedTerminationProtection": "ENABLED",
                "managedDraining": "DISABLED",
            },
            "tags": TAGS,
        }
    ],
    "RunTask": [
        {
            "cluster": f"{ARN}:cluster/default",
            "taskDefinition": f"{ARN}:task-definition/web:1",
            "launchType": "EC2",
            "group": "batch",
            "startedBy": "me",
            "enableExecuteCommand": True,
            "overrides": {
                "containerOverrides": [
                    {
                        "name": "app",
                        "command": ["sleep", "1"],
                        "environment": [{"name": "A", "value": "B"}],
                        "environmentFiles": [{"value": "arn:aws:s3:::b/f.env", "type": "s3"}],
                        "cpu": 5,
                        "memory": 50,
                        "memoryReservation": 40,
                    }
                ],
                "cpu": "128",
                "memory": "256",
                "executionRoleArn": "arn:aws:iam::123456789012:role/e",
                "taskRoleArn": "arn:aws:iam::123456789012:role/t",
            },
            "tags": TAGS,
        },
        {
            "taskDefinition": f"{ARN}:task-definition/net:1",
            "launchType": "FARGATE",
            "platformVersion": "1.4.0",
            "networkConfiguration": {"awsvpcConfiguration": SUBNETS},
            "overrides": {"ephemeralStorage": {"sizeInGiB": 30}},
        },
    ],
}
_CREATED_ONLY = {"serviceName", "launchType", "schedulingStrategy", "tags"}
SAMPLES["UpdateService"] = [
    {
        "cluster": f"{ARN}:cluster/default",
        "service": f"{ARN}:service/default/plain",
        "forceNewDeployment": True,
        **{name: members[name] for name in members if name not in _CREATED_ONLY},
    }
    for members in SAMPLES["CreateService"]
]
# What is asked of a call and is no member of what it makes; who reads it has tests of its own.
NOT_OF_THE_RESOURCE = {
    "CreateService": {"client_token", "cluster", "role"},
    "UpdateService": {"cluster", "service", "force_new_deployment"},
    "CreateTaskSet": {"client_token", "cluster"},
    "CreateCapacityProvider": {"cluster"},
    "RunTask": {
        *("client_token", "count", "reference_id"),
        *("placement_constraints", "placement_strategy"),  # placement's tests
        *("propagate_tags", "enable_ecs_managed_tags"),  # test_run_task
        *("capacity_provider_strategy", "platform_version", "network_configuration"),
    },
}
LAMBDA = {
    "hookTargetArn": "f",
    "roleArn": "r",
    "lifecycleStages": ["PRE_SCALE_UP"],
    "hookDetails": {},
}
GPUS = {
    "type": "GPU",
    "value": "1",
    "sharingStrategy": {"type": "MPS", "nvidiaMps": {"maxComputePercent": 10, "memory": 9}},
}
ACCELERATOR = {"deviceName": "d", "deviceType": "t"}
# What isn't built: each is refused in a message with its name, which is the key's last part.
REFUSED: dict[str, dict[str, Any]] = {
    "CreateService": {
        "loadBalancers": [{"targetGroupArn": "a", "containerName": "app", "containerPort": 80}],
        "serviceRegistries": [{"registryArn": "a"}],
        "serviceConnectConfiguration": {"enabled": True},
        "volumeConfigurations": [{"name": "v", "managedEBSVolume": {"roleArn": "r"}}],
        "vpcLatticeConfigurations": [{"roleArn": "r", "targetGroupArn": "t", "portName": "p"}],
        "gatewayConnectors": [{"portName": "p"}],
        "monitoring": {"metricConfigurations": [{"metricNames": ["m"]}]},
        "deploymentConfiguration AWS_LAMBDA": {"lifecycleHooks": [LAMBDA]},
    },
    "CreateTaskSet": {
        "loadBalancers": [{"targetGroupArn": "a", "containerName": "app", "containerPort": 80}],
        "serviceRegistries": [{"registryArn": "a"}],
    },
    "CreateCapacityProvider": {
        "managedInstancesProvider": {
            "infrastructureRoleArn": "r",
            "instanceLaunchTemplate": {
                "ec2InstanceProfileArn": "p",
                "networkConfiguration": {"subnets": ["s"]},
            },
        }
    },
    "RunTask": {
        "volumeConfigurations": [{"name": "v", "managedEBSVolume": {"roleArn": "r"}}],
        "overrides resourceRequirements": {
            "containerOverrides": [{"name": "app", "resourceRequirements": [GPUS]}]
        },
        "overrides accelerators": {"inferenceAcceleratorOverrides": [ACCELERATOR]},
    },
}

REFUSED["UpdateService"] = REFUSED["CreateService"]


def make_world() -> Store:
    """A cluster with a container instance, two task definitions, and a service of task sets."""
    store = make_store()
    put(store, make_cluster(), make_container_instance(attributes={"a": "b"}))
    container = {"name": "app", "image": "busybox", "memory": 64}
    call(store, "RegisterTaskDefinition", family="web", containerDefinitions=[container])
    call(
        store,
        "RegisterTaskDefinition",
        family="net",
        networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"],
        cpu="256",
        memory="512",
        containerDefinitions=[container],
    )
    call(store, "PutClusterCapacityProviders", cluster="default", **PROVIDERS)
    call(store, "CreateService", serviceName="outside", **OUTSIDE)
    call(store, "CreateService", serviceName="plain", taskDefinition="web", desiredCount=0)
    return store


PROVIDERS = {"capacityProviders": ["FARGATE"], "defaultCapacityProviderStrategy": []}
OUTSIDE = {"desiredCount": 2, "deploymentController": {"type": "EXTERNAL"}}
DESCRIBED = {
    "CreateCluster": ("cluster", "clusterArn", "DescribeClusters", "clusters"),
    "CreateService": ("service", "serviceArn", "DescribeServices", "services"),
    "UpdateService": ("service", "serviceArn", "DescribeServices", "services"),
    "CreateTaskSet": ("taskSet", "taskSetArn", "DescribeTaskSets", "taskSets"),
    "CreateCapacityProvider": (
        *("capacityProvider", "capacityProviderArn"),
        *("DescribeCapacityProviders", "capacityProviders"),
    ),
    "RunTask": ("tasks", "taskArn", "DescribeTasks", "tasks"),
}
INCLUDES = {"CreateCluster": ["CONFIGURATIONS", "SETTINGS", "TAGS"]}
RENAMED = {"cluster": "clusterArn", "taskDefinition": "taskDefinitionArn", "service": "serviceArn"}


def make_and_show(operation: str, members: dict[str, Any]) -> tuple[Any, Any]:
    """What the call that makes a resource answers, and what describing it answers."""
    store = make_world()
    member, arn, describe, list_member = DESCRIBED[operation]
    made = call(store, operation, **members)[member]
    if isinstance(made, list):
        (made,) = made
    of_service = {name: members.get(name) for name in ("cluster", "service")}
    within = of_service if operation == "CreateTaskSet" else {}
    asked = {list_member: [made[arn]], "include": INCLUDES.get(operation, ["TAGS"]), **within}
    (shown,) = call(store, describe, **asked)[list_member]
    return made, shown


def drift(sent: Any, found: Any, path: str = "") -> list[str]:
    """Every member of `sent` that `found` lacks or has otherwise; defaults may be added."""
    if isinstance(sent, dict) and isinstance(found, dict):
        return [
            line
            for name, value in sent.items()
            for line in drift(
                value, found.get(name, found.get(RENAMED.get(name, ""))), f"{path}.{name}"
            )
        ]
    if isinstance(sent, list) and isinstance(found, list) and len(sent) == len(found):
        pairs = zip(sent, found, strict=True)
        return [line for pair in pairs for line in drift(*pair, f"{path}[]")]
    return [] if sent == found else [f"{path}: sent {sent!r}, found {found!r}"]


@pytest.mark.parametrize(
    ("operation", "members"),
    [(operation, members) for operation, several in SAMPLES.items() for members in several],
)
def test_what_was_asked_for_is_answered_and_described(operation, members):
    made, shown = make_and_show(operation, members)
    elsewhere = NOT_OF_THE_RESOURCE.get(operation, ())
    fields = msgspec.structs.fields(ecs.OPERATIONS[operation].input_type)
    own = {each.encode_name for each in fields if each.name not in elsewhere}
    wanted = {name: value for name, value in members.items() if name in own}
    assert drift(wanted, shown) == []
    assert drift({name: wanted[name] for name in wanted if name != "tags"}, made) == []


@pytest.mark.parametrize(
    ("operation", "key"), [(name, member) for name in REFUSED for member in REFUSED[name]]
)
def test_what_is_not_built_is_refused_by_its_name(operation, key):
    store = make_world()
    member, _, name = key.partition(" ")
    members = {**SAMPLES[operation][0], member: REFUSED[operation][key]}
    with pytest.raises(AwsError, match=f"(?i){name or member}"):
        call(store, operation, **members)


@pytest.mark.parametrize("operation", SAMPLES)
def test_no_member_of_the_model_is_taken_in_silence(operation):
    request = ecs.OPERATIONS[operation].input_type
    refused = REFUSED.get(operation, {})
    tried = [*SAMPLES[operation], *({key.split()[0]: refused[key]} for key in refused)]
    seen = {name for each in tried for name in given_names(msgspec.convert(each, request))}
    spared = NOT_OF_THE_RESOURCE.get(operation, set()) | {
        each.name for each in msgspec.structs.fields(request) if each.encode_name in refused
    }
    assert members_but(request, spared) - seen == set()


def members_but(request: type[Shape], spared: set[str]) -> set[str]:
    """Name every member of a request and of the shapes below, but for these and what they hold."""
    kept = msgspec.defstruct(
        request.__name__,
        [
            (each.name, each.type, None)
            for each in msgspec.structs.fields(request)
            if each.name not in spared
        ],
        bases=(Shape,),
        kw_only=True,
    )
    return member_names(kept)
