"""CreateService, DescribeServices, ListServices and DeleteService as callers see them."""

from __future__ import annotations

import msgspec
import pytest

from builders import SCOPE, make_cluster, make_task_definition
from homeport.api import ecs
from homeport.model.arn import make_service_arn
from service_world import ServiceWorld

ARN = "arn:aws:ecs:us-east-1:123456789012:service/default/web"
WEB = make_task_definition("web", 1)


def create(world: ServiceWorld, name: str = "web", **members: object) -> ecs.Service:
    request = ecs.CreateServiceRequest(service_name=name, task_definition="web", desired_count=0)
    for member, value in members.items():
        setattr(request, member, value)
    reply = world.call("CreateService", request)
    world.reconcile(name)
    return reply.service


def describe(world: ServiceWorld, *names: str, **members: object) -> ecs.DescribeServicesResponse:
    request = ecs.DescribeServicesRequest(services=list(names) or ["web"])
    for member, value in members.items():
        setattr(request, member, value)
    return world.call("DescribeServices", request)


def delete(world: ServiceWorld, name: str = "web", force: bool | None = None) -> ecs.Service:
    reply = world.call("DeleteService", ecs.DeleteServiceRequest(service=name, force=force))
    world.reconcile(name)
    return reply.service


def test_a_plain_service_reads_back_with_awss_defaults():
    world = ServiceWorld(WEB)
    service = msgspec.to_builtins(create(world))
    assert service["deploymentConfiguration"] == {
        "strategy": "ROLLING",
        "maximumPercent": 200,
        "minimumHealthyPercent": 100,
        "bakeTimeInMinutes": 0,
        "alarms": {"alarmNames": [], "enable": False, "rollback": False},
        "deploymentCircuitBreaker": {
            "enable": False,
            "rollback": False,
            "resetOnHealthyTask": True,
            "thresholdConfiguration": {"type": "BOUNDED_PERCENT", "value": 50},
        },
    }
    assert service["roleArn"] == (
        "arn:aws:iam::123456789012:role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS"
    )
    expected = {
        "serviceArn": ARN,
        "serviceName": "web",
        "status": "ACTIVE",
        "launchType": "EC2",
        "schedulingStrategy": "REPLICA",
        "propagateTags": "NONE",
        "enableECSManagedTags": False,
        "enableExecuteCommand": False,
        "availabilityZoneRebalancing": "ENABLED",
        "deploymentController": {"type": "ECS"},
        "loadBalancers": [],
        "serviceRegistries": [],
        "placementConstraints": [],
        "placementStrategy": [],
        "events": [],
        "desiredCount": 0,
        "runningCount": 0,
        "pendingCount": 0,
        "taskDefinition": WEB.arn,
        "createdAt": world.now_ms / 1_000,
    }
    assert {name: service[name] for name in expected} == expected
    assert "tags" not in service
    assert "healthCheckGracePeriodSeconds" not in service


def test_a_new_service_has_one_deployment_in_progress():
    world = ServiceWorld(WEB)
    (deployment,) = create(world, desired_count=2).deployments or []
    assert deployment.status == "PRIMARY"
    assert deployment.rollout_state == "IN_PROGRESS"
    assert deployment.rollout_state_reason == f"ECS deployment {deployment.id} in progress."
    assert (deployment.id or "").startswith("ecs-svc/")
    assert len(deployment.id or "") == len("ecs-svc/") + 19
    assert deployment.desired_count == 2
    assert deployment.task_definition == WEB.arn


def test_what_was_given_is_what_is_described():
    world = ServiceWorld(WEB)
    create(
        world,
        desired_count=1,
        deployment_configuration=ecs.DeploymentConfiguration(
            minimum_healthy_percent=50, maximum_percent=150
        ),
        placement_constraints=[
            ecs.PlacementConstraint(type="distinctInstance"),
            ecs.PlacementConstraint(type="memberOf", expression="attribute:disk == ssd"),
        ],
        placement_strategy=[
            ecs.PlacementStrategy(type="spread", field="attribute:ecs.availability-zone"),
            ecs.PlacementStrategy(type="binpack", field="memory"),
        ],
        health_check_grace_period_seconds=0,
        enable_ecs_managed_tags=True,
        propagate_tags="TASK_DEFINITION",
        enable_execute_command=True,
        availability_zone_rebalancing="DISABLED",
        tags=[ecs.Tag(key="team", value="blue")],
    )
    (found,) = describe(world, include=["TAGS"]).services or []
    service = msgspec.to_builtins(found)
    assert service["deploymentConfiguration"]["maximumPercent"] == 150
    assert service["deploymentConfiguration"]["minimumHealthyPercent"] == 50
    assert service["placementConstraints"] == [
        {"type": "distinctInstance"},
        {"type": "memberOf", "expression": "attribute:disk == ssd"},
    ]
    assert service["placementStrategy"] == [
        {"type": "spread", "field": "attribute:ecs.availability-zone"},
        {"type": "binpack", "field": "memory"},
    ]
    assert service["healthCheckGracePeriodSeconds"] == 0
    assert service["enableECSManagedTags"] is True
    assert service["propagateTags"] == "TASK_DEFINITION"
    assert service["enableExecuteCommand"] is True
    assert service["availabilityZoneRebalancing"] == "DISABLED"
    assert service["tags"] == [{"key": "team", "value": "blue"}]


def test_zone_rebalancing_is_off_where_there_is_no_room_for_it():
    world = ServiceWorld(WEB)
    tight = ecs.DeploymentConfiguration(minimum_healthy_percent=0, maximum_percent=100)
    service = create(world, deployment_configuration=tight)
    assert service.availability_zone_rebalancing == "DISABLED"
    with pytest.raises(ecs.InvalidParameterException, match="maximumPercent greater than 100"):
        create(
            world,
            "other",
            deployment_configuration=tight,
            availability_zone_rebalancing="ENABLED",
        )


def test_the_counts_are_those_of_the_tasks():
    world = ServiceWorld(WEB)
    create(world, desired_count=3)
    world.report(world.tasks()[0], "RUNNING")
    (service,) = describe(world).services or []
    assert (service.desired_count, service.running_count, service.pending_count) == (3, 1, 2)


def test_events_come_newest_first():
    world = ServiceWorld(WEB)
    create(world, desired_count=1)
    world.run_all()
    (service,) = describe(world).services or []
    messages = [event.message or "" for event in service.events or []]
    assert messages[0] == "(service web) has reached a steady state."
    assert messages[-1].startswith("(service web) has started 1 tasks: (task ")


def test_the_waiter_for_stable_services_is_satisfied():
    world = ServiceWorld(WEB)
    create(world, desired_count=2)
    world.run_all()
    (service,) = describe(world).services or []
    assert len(service.deployments or []) == 1
    assert service.running_count == service.desired_count


REFUSED = [
    ({"service_name": ""}, ecs.InvalidParameterException, "Invalid service name."),
    ({"service_name": "a b"}, ecs.InvalidParameterException, "Invalid service name."),
    ({"service_name": "x" * 256}, ecs.InvalidParameterException, "Invalid service name."),
    ({"cluster": "nowhere"}, ecs.ClusterNotFoundException, "Cluster not found."),
    ({"task_definition": "nope"}, ecs.ClientException, "TaskDefinition not found."),
    ({"task_definition": "gone:1"}, ecs.ClientException, "TaskDefinition is inactive"),
    (
        {"task_definition": None},
        ecs.InvalidParameterException,
        "TaskDefinition can not be blank.",
    ),
    ({"desired_count": None}, ecs.InvalidParameterException, "DesiredCount is missing"),
    (
        {"desired_count": -1},
        ecs.InvalidParameterException,
        "DesiredCount can not be lesser than 0",
    ),
    ({"desired_count": 5_001}, ecs.InvalidParameterException, "at most 5000 tasks"),
    (
        {"client_token": "t" * 37},
        ecs.InvalidParameterException,
        "idempotency token longer than 36.",
    ),
    ({"client_token": "two words"}, ecs.InvalidParameterException, "range of 33-126"),
    ({"launch_type": "MANAGED_INSTANCES"}, ecs.UnsupportedFeatureException, "launch type MANAGED"),
    ({"launch_type": "FARGATE"}, ecs.InvalidParameterException, "launch_type FARGATE"),
    (
        {
            "launch_type": "EC2",
            "capacity_provider_strategy": [ecs.CapacityProviderStrategyItem()],
        },
        ecs.InvalidParameterException,
        "Specify either Launch Type or Capacity Provider Strategy, but not both.",
    ),
    (
        {"capacity_provider_strategy": [ecs.CapacityProviderStrategyItem()]},
        ecs.InvalidParameterException,
        "was not found",
    ),
    (
        {"scheduling_strategy": "DAEMON"},
        ecs.InvalidParameterException,
        "The daemon scheduling strategy does not support a desired count for services. "
        "Remove the desired count value and try again",
    ),
    (
        {
            "scheduling_strategy": "DAEMON",
            "desired_count": None,
            "placement_strategy": [ecs.PlacementStrategy(type="random")],
        },
        ecs.InvalidParameterException,
        "Placement strategies are not supported",
    ),
    (
        {
            "scheduling_strategy": "DAEMON",
            "desired_count": None,
            "deployment_configuration": ecs.DeploymentConfiguration(maximum_percent=200),
        },
        ecs.InvalidParameterException,
        "maximumPercent must be 100",
    ),
    (
        {"deployment_controller": ecs.DeploymentController(type="CODE_DEPLOY")},
        ecs.UnsupportedFeatureException,
        "CODE_DEPLOY",
    ),
    ({"load_balancers": [ecs.LoadBalancer()]}, ecs.UnsupportedFeatureException, "loadBalancers"),
    (
        {"service_registries": [ecs.ServiceRegistry()]},
        ecs.UnsupportedFeatureException,
        "serviceRegistries",
    ),
    (
        {"service_connect_configuration": ecs.ServiceConnectConfiguration(enabled=True)},
        ecs.UnsupportedFeatureException,
        "serviceConnectConfiguration",
    ),
    (
        {"deployment_configuration": ecs.DeploymentConfiguration(strategy="PURPLE")},
        ecs.InvalidParameterException,
        "strategy should be one of",
    ),
    (
        {
            "deployment_configuration": ecs.DeploymentConfiguration(
                deployment_circuit_breaker=ecs.DeploymentCircuitBreaker(
                    enable=True,
                    rollback=True,
                    threshold_configuration=ecs.ThresholdConfiguration(type="COUNT", value=0),
                )
            )
        },
        ecs.InvalidParameterException,
        "thresholdConfiguration.value",
    ),
    (
        {
            "deployment_configuration": ecs.DeploymentConfiguration(
                minimum_healthy_percent=100, maximum_percent=100
            )
        },
        ecs.InvalidParameterException,
        "Both maximumPercent and minimumHealthyPercent cannot be 100 as this will block "
        "deployments",
    ),
    (
        {"deployment_configuration": ecs.DeploymentConfiguration(maximum_percent=50)},
        ecs.InvalidParameterException,
        "maximumPercent must be at least 100",
    ),
    (
        {"deployment_configuration": ecs.DeploymentConfiguration(minimum_healthy_percent=101)},
        ecs.InvalidParameterException,
        "minimumHealthyPercent must be between 0 and 100",
    ),
    (
        {"task_definition": "vpc"},
        ecs.InvalidParameterException,
        "Network Configuration must be provided when networkMode 'awsvpc' is specified.",
    ),
    ({"platform_version": "1.4.0"}, ecs.InvalidParameterException, "platform version"),
    ({"role": "ecsServiceRole"}, ecs.InvalidParameterException, "role"),
    ({"tags": [ecs.Tag(key="aws:x")]}, ecs.InvalidParameterException, "aws:"),
    (
        {"placement_strategy": [ecs.PlacementStrategy(type="spread", field="colour")]},
        ecs.InvalidParameterException,
        "spread",
    ),
]


@pytest.mark.parametrize(("members", "error", "words"), REFUSED)
def test_a_service_that_cannot_be_is_refused_and_nothing_is_stored(
    members: dict[str, object], error: type[Exception], words: str
):
    world = ServiceWorld(
        WEB,
        make_task_definition("gone", 1, status="INACTIVE"),
        make_task_definition("vpc", 1, network_mode="awsvpc"),
    )
    before = world.view.sequence
    with pytest.raises(error) as refused:
        create(world, **members)
    assert words in str(refused.value)
    assert world.view.sequence == before


def test_the_same_call_again_answers_with_the_same_service():
    world = ServiceWorld(WEB)
    first = create(world)
    before = world.view.sequence
    assert create(world).created_at == first.created_at
    assert world.view.sequence == before


def test_a_name_in_use_with_other_parameters_is_refused():
    world = ServiceWorld(WEB)
    create(world)
    with pytest.raises(ecs.InvalidParameterException) as refused:
        create(world, desired_count=1)
    assert str(refused.value) == "Creation of service was not idempotent."


def test_an_updated_service_is_no_longer_what_its_creation_asked_for():
    world = ServiceWorld(WEB)
    create(world)
    world.call("UpdateService", ecs.UpdateServiceRequest(service="web", desired_count=1))
    with pytest.raises(ecs.InvalidParameterException, match="not idempotent"):
        create(world)


def test_a_client_token_names_one_service_whatever_else_happens():
    world = ServiceWorld(WEB)
    create(world, client_token="token-1")
    world.call("UpdateService", ecs.UpdateServiceRequest(service="web", desired_count=1))
    assert create(world, client_token="token-1").desired_count == 1
    with pytest.raises(ecs.InvalidParameterException, match="not idempotent"):
        create(world, "other", client_token="token-1")


def test_a_name_that_still_drains_cannot_be_used():
    world = ServiceWorld(WEB)
    create(world, desired_count=1)
    delete(world, force=True)
    with pytest.raises(ecs.InvalidParameterException) as refused:
        create(world)
    assert str(refused.value) == "Unable to Start a service that is still Draining."


def test_a_name_can_be_used_again_once_its_service_is_inactive():
    world = ServiceWorld(WEB)
    create(world, tags=[ecs.Tag(key="old", value="yes")])
    delete(world)
    assert world.service().status == "INACTIVE"
    world.pass_time(5)
    again = create(world)
    assert again.status == "ACTIVE"
    assert again.created_at == world.now_ms / 1_000
    (described,) = describe(world, include=["TAGS"]).services or []
    assert described.tags is None
    assert [event.message for event in described.events or []][1:] == [
        f"(service web) (deployment {world.service().primary.id}) deployment completed."
    ]


def test_deleting_a_service_above_zero_needs_force():
    world = ServiceWorld(WEB)
    create(world, desired_count=1)
    with pytest.raises(ecs.InvalidParameterException) as refused:
        delete(world)
    assert str(refused.value) == "The service cannot be stopped while it is scaled above 0."
    assert delete(world, force=True).status == "DRAINING"


def test_a_deleted_service_is_described_but_not_listed():
    world = ServiceWorld(WEB)
    create(world)
    assert delete(world).status == "DRAINING"
    (service,) = describe(world).services or []
    assert service.status == "INACTIVE"
    assert service.deployments == []
    assert world.call("ListServices", ecs.ListServicesRequest()).service_arns == []


def test_deleting_an_unknown_or_inactive_service_is_refused():
    world = ServiceWorld(WEB)
    create(world)
    delete(world)
    for name in ("web", "nobody"):
        with pytest.raises(ecs.ServiceNotFoundException, match=r"Service not found\."):
            world.call("DeleteService", ecs.DeleteServiceRequest(service=name))


def test_describe_names_each_service_once_and_the_missing_by_full_arn():
    world = ServiceWorld(WEB)
    create(world)
    reply = describe(world, "web", ARN, "nobody")
    assert [service.service_name for service in reply.services or []] == ["web"]
    assert [(f.arn, f.reason) for f in reply.failures or []] == [
        ("arn:aws:ecs:us-east-1:123456789012:service/default/nobody", "MISSING")
    ]


def test_describe_takes_one_to_ten_services():
    world = ServiceWorld(WEB)
    with pytest.raises(ecs.InvalidParameterException):
        world.call("DescribeServices", ecs.DescribeServicesRequest(services=[]))
    with pytest.raises(ecs.InvalidParameterException):
        describe(world, *(f"s{n}" for n in range(11)))


def test_services_are_listed_by_name_ten_a_page():
    world = ServiceWorld(WEB)
    for number in range(12):
        create(world, f"web-{number:02}")
    first = world.call("ListServices", ecs.ListServicesRequest())
    assert len(first.service_arns) == 10
    second = world.call("ListServices", ecs.ListServicesRequest(next_token=first.next_token))
    assert second.next_token is None
    names = [f"web-{number:02}" for number in range(12)]
    assert [*first.service_arns, *second.service_arns] == [
        make_service_arn(SCOPE, "default", name) for name in names
    ]


def test_a_page_goes_on_behind_a_service_that_was_deleted_meanwhile():
    world = ServiceWorld(WEB)
    for name in ("a", "b", "c"):
        create(world, name)
    first = world.call("ListServices", ecs.ListServicesRequest(max_results=1))
    delete(world, "a")
    rest = world.call("ListServices", ecs.ListServicesRequest(next_token=first.next_token))
    assert rest.service_arns == [make_service_arn(SCOPE, "default", name) for name in "bc"]


def test_services_are_listed_by_launch_type_and_strategy():
    world = ServiceWorld(WEB)
    create(world, "one")
    create(world, "two", launch_type="EXTERNAL")

    def listed(**members: object) -> list[str]:
        request = ecs.ListServicesRequest()
        for member, value in members.items():
            setattr(request, member, value)
        arns = world.call("ListServices", request).service_arns
        return [arn.rsplit("/", 1)[-1] for arn in arns]

    assert listed(launch_type="EXTERNAL") == ["two"]
    assert listed(launch_type="FARGATE") == []
    assert listed(scheduling_strategy="REPLICA") == ["one", "two"]
    assert listed(scheduling_strategy="DAEMON") == []
    assert listed(resource_management_type="ECS") == []


def test_services_of_another_cluster_are_not_found_here():
    world = ServiceWorld(WEB, make_cluster("other"))
    create(world)
    assert describe(world, cluster="other").services == []


def test_a_cluster_holds_no_more_services_than_ecs_allows(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("homeport.operations.ecs.services.SERVICES_PER_CLUSTER", 1)
    world = ServiceWorld(WEB)
    create(world)
    with pytest.raises(ecs.InvalidParameterException, match="1 services already"):
        create(world, "other")
