"""Task sets of a service with the EXTERNAL controller, from creation to their last task."""

from __future__ import annotations

import pytest

from builders import make_container_instance, make_task, make_task_definition
from calls import call
from homeport.api import ecs
from homeport.core.capacity.turns import TURN_AFTER_S
from homeport.model.task import PENDING, RUNNING, STOPPED
from homeport.operations.ecs.task_sets import TASK_SETS_PER_SERVICE
from service_world import ServiceWorld

BLUE, GREEN = make_task_definition("web", 1), make_task_definition("web", 2)
EXTERNAL = ecs.DeploymentController(type="EXTERNAL")
ON_FARGATE = ecs.CapacityProviderStrategyItem(capacity_provider="FARGATE")


@pytest.fixture
def world() -> ServiceWorld:
    """A service of four tasks that has no task set yet."""
    world = ServiceWorld(BLUE, GREEN)
    request = ecs.CreateServiceRequest(
        service_name="web", desired_count=4, deployment_controller=EXTERNAL
    )
    world.call("CreateService", request)
    world.reconcile()
    return world


def create(world: ServiceWorld, definition: str, percent: float, **members: object) -> ecs.TaskSet:
    request = ecs.CreateTaskSetRequest(
        service="web", cluster="default", task_definition=definition, scale=scale(percent)
    )
    for name, value in members.items():
        setattr(request, name, value)
    task_set = world.call("CreateTaskSet", request).task_set
    world.reconcile()
    return task_set


def scale(percent: float) -> ecs.Scale:
    return ecs.Scale(value=percent, unit="PERCENT")


def resize(world: ServiceWorld, task_set: ecs.TaskSet, percent: float) -> ecs.TaskSet:
    request = ecs.UpdateTaskSetRequest(
        service="web", task_set=task_set.task_set_arn, scale=scale(percent)
    )
    changed = world.call("UpdateTaskSet", request).task_set
    world.reconcile()
    return changed


def delete(world: ServiceWorld, task_set: ecs.TaskSet, *, force: bool = False) -> None:
    request = ecs.DeleteTaskSetRequest(service="web", task_set=task_set.id, force=force)
    world.call("DeleteTaskSet", request)
    world.reconcile()


def describe(world: ServiceWorld) -> list[ecs.TaskSet]:
    return world.call("DescribeTaskSets", ecs.DescribeTaskSetsRequest(service="web")).task_sets


def service_of(world: ServiceWorld) -> ecs.Service:
    request = ecs.DescribeServicesRequest(services=["web"])
    return world.call("DescribeServices", request).services[0]


def test_a_service_of_task_sets_begins_with_none(world: ServiceWorld):
    service = service_of(world)
    assert (service.deployments, service.task_sets) == ([], [])
    assert service.task_definition is None
    assert service.deployment_controller == EXTERNAL
    assert world.tasks() == []


def test_a_task_set_runs_its_share_rounded_up(world: ServiceWorld):
    task_set = create(world, "web:1", 60)
    assert task_set.computed_desired_count == 3
    assert task_set.stability_status == "STABILIZING"
    assert {t.started_by for t in world.tasks()} == {task_set.id}
    assert len(world.tasks()) == 3
    world.run_all()
    (found,) = describe(world)
    assert (found.running_count, found.stability_status) == (3, "STEADY_STATE")
    assert service_of(world).running_count == 3
    assert f"(service web, taskSet {task_set.id}) has reached a steady state." in world.messages()


def test_shares_move_from_one_task_set_to_the_other(world: ServiceWorld):
    blue = create(world, "web:1", 100)
    world.run_all()
    green = create(world, "web:2", 50)
    world.run_all()
    assert len(world.tasks()) == 6
    resize(world, green, 100)
    resize(world, blue, 0)
    world.run_all()
    assert {t.task_definition_arn for t in world.tasks()} == {GREEN.arn}
    assert len(world.tasks()) == 4


def test_the_primary_gives_the_service_its_task_definition(world: ServiceWorld):
    blue, green = create(world, "web:1", 100), create(world, "web:2", 100)
    for task_set in (blue, green):
        request = ecs.UpdateServicePrimaryTaskSetRequest(
            service="web", primary_task_set=task_set.task_set_arn
        )
        assert world.call("UpdateServicePrimaryTaskSet", request).task_set.status == "PRIMARY"
    assert [s.status for s in describe(world)] == ["ACTIVE", "PRIMARY"]
    assert service_of(world).task_definition == GREEN.arn


def test_a_deleted_task_set_drains_and_is_gone(world: ServiceWorld):
    blue = create(world, "web:1", 50)
    world.run_all()
    with pytest.raises(ecs.InvalidParameterException, match="scale"):
        delete(world, blue)
    delete(world, blue, force=True)
    assert [s.status for s in describe(world)] == ["DRAINING"]
    world.run_all()
    assert describe(world) == []
    assert world.tasks() == []


def test_desired_count_scales_every_task_set(world: ServiceWorld):
    create(world, "web:1", 50)
    world.run_all()
    world.call("UpdateService", ecs.UpdateServiceRequest(service="web", desired_count=8))
    world.reconcile()
    assert len(world.tasks()) == 4


def test_a_task_that_ends_is_replaced_in_its_own_task_set(world: ServiceWorld):
    blue, _ = create(world, "web:1", 50), create(world, "web:2", 50)
    world.run_all()
    world.pass_time(60)
    gone = next(t for t in world.tasks() if t.deployment_id == blue.id)
    world.report(gone, STOPPED)
    (new,) = [t for t in world.tasks() if t.last_status == PENDING]
    assert new.deployment_id == blue.id


def test_tasks_that_never_run_slow_the_launches_down(world: ServiceWorld):
    create(world, "web:1", 25)
    for _ in range(3):
        world.report(world.tasks()[0], STOPPED, "CannotPullContainerError")
    assert world.tasks() == []
    world.pass_time(2)
    world.reconcile()
    assert len(world.tasks()) == 1


def test_deleting_the_service_stops_what_is_pending_too(world: ServiceWorld):
    create(world, "web:1", 100)
    world.report(world.tasks()[0], RUNNING)
    world.call("DeleteService", ecs.DeleteServiceRequest(service="web", force=True))
    world.reconcile()
    assert world.tasks() == []
    world.run_all()
    assert world.service().status == "INACTIVE"


def test_the_same_token_answers_with_the_same_task_set(world: ServiceWorld):
    first = create(world, "web:1", 25, client_token="abc")
    again = create(world, "web:1", 25, client_token="abc")
    assert first.id == again.id
    assert len(describe(world)) == 1


def test_tags_are_shown_when_they_are_asked_for(world: ServiceWorld):
    create(world, "web:1", 0, tags=[ecs.Tag(key="a", value="b")])
    request = ecs.DescribeTaskSetsRequest(service="web", include=["TAGS"], task_sets=["nobody"])
    reply = world.call("DescribeTaskSets", request)
    assert [f.reason for f in reply.failures] == ["MISSING"]
    request.task_sets = None
    assert world.call("DescribeTaskSets", request).task_sets[0].tags == [
        ecs.Tag(key="a", value="b")
    ]


@pytest.mark.parametrize(
    ("members", "error"),
    [
        ({"task_definition": "nobody"}, ecs.ClientException),
        ({"scale": scale(101)}, ecs.InvalidParameterException),
        ({"launch_type": "MARS"}, ecs.UnsupportedFeatureException),
        ({"external_id": "x" * 300}, ecs.InvalidParameterException),
        ({"load_balancers": [ecs.LoadBalancer()]}, ecs.UnsupportedFeatureException),
        ({"service": "nobody"}, ecs.ServiceNotFoundException),
    ],
)
def test_a_task_set_that_cannot_be_is_refused(
    world: ServiceWorld, members: dict[str, object], error: type[Exception]
):
    with pytest.raises(error):
        create(world, "web:1", 10, **members)
    assert describe(world) == []


def test_there_is_a_limit_of_task_sets(world: ServiceWorld):
    for _ in range(TASK_SETS_PER_SERVICE):
        create(world, "web:1", 0)
    with pytest.raises(ecs.LimitExceededException):
        create(world, "web:1", 0)


def test_an_ecs_service_has_no_task_sets():
    world = ServiceWorld(BLUE)
    request = ecs.CreateServiceRequest(service_name="web", task_definition="web", desired_count=1)
    world.call("CreateService", request)
    with pytest.raises(ecs.InvalidParameterException, match="EXTERNAL"):
        describe(world)


@pytest.mark.parametrize(
    "members",
    [
        {"task_definition": "web:1"},
        {"force_new_deployment": True},
        {"platform_version": "LATEST"},
        {"capacity_provider_strategy": [ON_FARGATE]},
    ],
)
def test_updating_such_a_service_starts_no_deployment(
    world: ServiceWorld, members: dict[str, object]
):
    request = ecs.UpdateServiceRequest(service="web")
    for name, value in members.items():
        setattr(request, name, value)
    with pytest.raises(ecs.InvalidParameterException, match="EXTERNAL"):
        world.call("UpdateService", request)


def test_a_task_definition_or_daemons_dont_go_with_task_sets():
    world = ServiceWorld(BLUE)
    request = ecs.CreateServiceRequest(
        service_name="web",
        task_definition="web",
        desired_count=1,
        deployment_controller=EXTERNAL,
    )
    with pytest.raises(ecs.InvalidParameterException, match="TaskDefinition must be blank"):
        world.call("CreateService", request)
    request.task_definition = request.desired_count = None
    request.scheduling_strategy = "DAEMON"
    with pytest.raises(ecs.InvalidParameterException, match="DAEMON"):
        world.call("CreateService", request)


@pytest.mark.parametrize(
    "configuration",
    [
        {"deployment_circuit_breaker": ecs.DeploymentCircuitBreaker(enable=True, rollback=True)},
        {
            "early_success_criteria": ecs.DeploymentEarlySuccessCriteria(
                enable=True, healthy_percent=100, source_service_revision_cleanup="BLOCKING"
            )
        },
    ],
)
def test_what_only_rolling_deployments_have_doesnt_go_with_task_sets(
    configuration: dict[str, object],
):
    request = ecs.CreateServiceRequest(
        service_name="web", desired_count=1, deployment_controller=EXTERNAL
    )
    request.deployment_configuration = ecs.DeploymentConfiguration(**configuration)
    with pytest.raises(ecs.InvalidParameterException, match="EXTERNAL"):
        ServiceWorld(BLUE).call("CreateService", request)


def test_a_task_set_that_others_keep_passing_over_gets_its_turn():
    half = make_task_definition("half", cpu_units=1, memory_mib=512)
    whole = make_task_definition("web", 3, cpu_units=1, memory_mib=1_024)
    hosts = [make_container_instance(name, memory_mib=1_024) for name in ("one", "two")]
    others = [make_task(f"{h.arn} {n}", definition=half, instance=h) for h in hosts for n in "ab"]
    world = ServiceWorld(half, whole, *hosts, *others, instances=0)
    request = ecs.CreateServiceRequest(
        service_name="web", desired_count=1, deployment_controller=EXTERNAL
    )
    world.call("CreateService", request)
    create(world, "web:3", 100)
    assert world.tasks() == []
    world.pass_time(TURN_AFTER_S)
    world.reconcile()
    (cluster,) = world.store.clusters
    assert cluster.kept is not None
    assert cluster.kept.for_arn == world.service().arn
    for task in others:
        if task.container_instance_arn == cluster.kept.container_instance_arn:
            world.report(task, STOPPED)
            refused = call(world.store, "RunTask", taskDefinition="half", now_ms=world.now_ms)
            assert {failure["reason"] for failure in refused["failures"]} >= {"RESOURCE:RESERVED"}
    world.reconcile()
    assert len(world.tasks()) == 1
    (cluster,) = world.store.clusters
    assert cluster.kept is None
