"""UpdateService: what starts a deployment, what doesn't, and what is refused."""

from __future__ import annotations

import pytest

from builders import make_task_definition
from homeport.api import ecs
from service_world import ServiceWorld

V1, V2 = make_task_definition("web", 1), make_task_definition("web", 2)
OLD = make_task_definition("old", 1, status="INACTIVE")


@pytest.fixture
def world() -> ServiceWorld:
    world = ServiceWorld(V1, V2, OLD)
    request = ecs.CreateServiceRequest(service_name="web", task_definition="web:1", desired_count=2)
    world.call("CreateService", request)
    world.reconcile()
    world.run_all()
    return world


def update(world: ServiceWorld, **members: object) -> ecs.Service:
    request = ecs.UpdateServiceRequest(service="web")
    for member, value in members.items():
        setattr(request, member, value)
    return world.call("UpdateService", request).service


def test_another_task_definition_starts_a_deployment(world: ServiceWorld):
    before = world.service().primary
    service = update(world, task_definition="web:2")
    primary, active = service.deployments or []
    assert (primary.status, primary.task_definition) == ("PRIMARY", V2.arn)
    assert (active.status, active.id) == ("ACTIVE", before.id)
    assert service.task_definition == V2.arn
    assert active.running_count == 2
    assert primary.rollout_state == "IN_PROGRESS"


def test_a_larger_desired_count_that_comes_with_a_revision_is_that_revisions(world: ServiceWorld):
    update(world, task_definition="web:2", desired_count=5)
    world.reconcile()
    revisions = [task.task_definition_arn for task in world.tasks()]
    assert sorted(revisions) == [V1.arn] * 2 + [V2.arn] * 5


def test_the_family_alone_means_its_newest_revision(world: ServiceWorld):
    assert update(world, task_definition="web").task_definition == V2.arn


def test_the_same_task_definition_starts_none(world: ServiceWorld):
    before = world.view.sequence
    assert len(update(world, task_definition="web:1").deployments or []) == 1
    assert world.view.sequence == before


def test_a_forced_deployment_replaces_every_task(world: ServiceWorld):
    before = {task.arn for task in world.tasks()}
    update(world, force_new_deployment=True)
    world.reconcile()
    world.run_all()
    assert len(world.tasks()) == 2
    assert before.isdisjoint(task.arn for task in world.tasks())


@pytest.mark.parametrize(
    "members",
    [
        {"desired_count": 3},
        {
            "deployment_configuration": ecs.DeploymentConfiguration(
                minimum_healthy_percent=50, maximum_percent=150
            )
        },
        {"placement_strategy": [ecs.PlacementStrategy(type="random")]},
        {"placement_constraints": [ecs.PlacementConstraint(type="distinctInstance")]},
        {"health_check_grace_period_seconds": 30},
        {"enable_execute_command": True},
        {"enable_ecs_managed_tags": True},
        {"propagate_tags": "SERVICE"},
        {"availability_zone_rebalancing": "DISABLED"},
    ],
)
def test_settings_change_without_a_deployment(world: ServiceWorld, members: dict[str, object]):
    before = world.service()
    update(world, **members)
    after = world.service()
    assert after != before
    assert after.deployments == before.deployments


def test_what_is_not_given_stays(world: ServiceWorld):
    update(
        world,
        placement_strategy=[ecs.PlacementStrategy(type="random")],
        deployment_configuration=ecs.DeploymentConfiguration(maximum_percent=150),
        propagate_tags="SERVICE",
        health_check_grace_period_seconds=30,
    )
    service = update(world, desired_count=1)
    assert [s.type for s in service.placement_strategy or []] == ["random"]
    assert service.deployment_configuration is not None
    assert service.deployment_configuration.maximum_percent == 150
    assert service.deployment_configuration.minimum_healthy_percent == 100
    assert service.propagate_tags == "SERVICE"
    assert service.health_check_grace_period_seconds == 30


@pytest.mark.parametrize("empty", [[], [ecs.PlacementStrategy()]])
def test_an_empty_list_or_object_clears_the_strategy(
    world: ServiceWorld, empty: list[ecs.PlacementStrategy]
):
    update(world, placement_strategy=[ecs.PlacementStrategy(type="random")])
    assert update(world, placement_strategy=empty).placement_strategy == []


def test_lowering_the_maximum_to_100_switches_zone_rebalancing_off(world: ServiceWorld):
    tight = ecs.DeploymentConfiguration(minimum_healthy_percent=50, maximum_percent=100)
    service = update(world, deployment_configuration=tight)
    assert service.availability_zone_rebalancing == "DISABLED"


def test_an_inactive_task_definition_goes_on_but_cannot_be_chosen(world: ServiceWorld):
    world.put(make_task_definition("web", 1, status="INACTIVE"))
    assert update(world, desired_count=3).desired_count == 3
    world.reconcile()
    assert len(world.tasks()) == 3
    with pytest.raises(ecs.ClientException, match="TaskDefinition is inactive"):
        update(world, task_definition="old:1")


@pytest.mark.parametrize(
    ("members", "error", "words"),
    [
        ({"service": "nobody"}, ecs.ServiceNotFoundException, "Service not found."),
        ({"cluster": "nowhere"}, ecs.ClusterNotFoundException, "Cluster not found."),
        (
            {"desired_count": -1},
            ecs.InvalidParameterException,
            "Task count can not be lesser than 0",
        ),
        ({"task_definition": "nope"}, ecs.ClientException, "TaskDefinition not found."),
        (
            {"load_balancers": [ecs.LoadBalancer()]},
            ecs.UnsupportedFeatureException,
            "loadBalancers",
        ),
        (
            {"deployment_controller": ecs.DeploymentController(type="CODE_DEPLOY")},
            ecs.UnsupportedFeatureException,
            "CODE_DEPLOY",
        ),
        (
            {
                "deployment_configuration": ecs.DeploymentConfiguration(
                    minimum_healthy_percent=100, maximum_percent=100
                )
            },
            ecs.InvalidParameterException,
            "block deployments",
        ),
    ],
)
def test_an_update_that_cannot_be_is_refused_and_changes_nothing(
    world: ServiceWorld, members: dict[str, object], error: type[Exception], words: str
):
    before = world.view.sequence
    with pytest.raises(error) as refused:
        update(world, **members)
    assert words in str(refused.value)
    assert world.view.sequence == before


def test_a_service_that_drains_or_is_inactive_cannot_be_updated(world: ServiceWorld):
    world.call("DeleteService", ecs.DeleteServiceRequest(service="web", force=True))
    for status in ("DRAINING", "INACTIVE"):
        world.reconcile()
        assert world.service().status == status
        with pytest.raises(ecs.ServiceNotActiveException, match=r"Service was not ACTIVE\."):
            update(world, desired_count=1)
        world.run_all()
