"""Service deployments and revisions as callers see them, from PENDING to their end."""

from __future__ import annotations

import pytest

from builders import NOW_MS, make_task_definition
from homeport.api import ecs
from homeport.core.reconcile.service_deployments import HISTORY_LIMIT
from homeport.model.task import PENDING, STOPPED
from service_world import ServiceWorld

V1, V2 = make_task_definition("web", 1), make_task_definition("web", 2)


def create(world: ServiceWorld, **members: object) -> ecs.Service:
    request = ecs.CreateServiceRequest(service_name="web", task_definition="web:1", desired_count=2)
    for name, value in members.items():
        setattr(request, name, value)
    return world.call("CreateService", request).service


@pytest.fixture
def world() -> ServiceWorld:
    """A steady service of web:1, one minute old."""
    world = ServiceWorld(V1, V2)
    create(world)
    world.reconcile()
    world.run_all()
    world.pass_time(60)
    return world


def update(world: ServiceWorld, definition: str = "web:2") -> ecs.Service:
    request = ecs.UpdateServiceRequest(service="web", task_definition=definition)
    request.force_new_deployment = True
    return world.call("UpdateService", request).service


def describe(world: ServiceWorld, arn: str | None) -> ecs.ServiceDeployment:
    request = ecs.DescribeServiceDeploymentsRequest(service_deployment_arns=[arn or ""])
    (found,) = world.call("DescribeServiceDeployments", request).service_deployments
    return found


def listed(world: ServiceWorld, **members: object) -> list[ecs.ServiceDeploymentBrief]:
    request = ecs.ListServiceDeploymentsRequest(service="web")
    for name, value in members.items():
        setattr(request, name, value)
    return world.call("ListServiceDeployments", request).service_deployments


def stop(world: ServiceWorld, arn: str | None, stop_type: str | None = None) -> str:
    request = ecs.StopServiceDeploymentRequest(service_deployment_arn=arn, stop_type=stop_type)
    reply = world.call("StopServiceDeployment", request)
    world.reconcile()
    return reply.service_deployment_arn


def test_a_new_service_has_a_service_deployment_that_is_pending_until_the_scheduler_looks():
    world = ServiceWorld(V1)
    service = create(world)
    found = describe(world, service.current_service_deployment)
    assert found.status == "PENDING"
    assert found.started_at is None
    assert found.source_service_revisions == []
    assert found.service_arn == service.service_arn
    world.reconcile()
    found = describe(world, service.current_service_deployment)
    assert (found.status, found.started_at) == ("IN_PROGRESS", NOW_MS / 1_000)


def test_a_completed_deployment_is_successful_and_no_longer_current(world: ServiceWorld):
    (brief,) = listed(world)
    assert brief.status == "SUCCESSFUL"
    found = describe(world, brief.service_deployment_arn)
    assert found.finished_at == NOW_MS / 1_000
    assert found.stopped_at is None
    request = ecs.DescribeServicesRequest(services=["web"])
    (service,) = world.call("DescribeServices", request).services
    assert service.current_service_deployment is None
    (summary,) = service.current_service_revisions
    assert summary.arn == brief.target_service_revision_arn
    assert (summary.requested_task_count, summary.running_task_count) == (2, 2)


def test_the_arns_look_like_awss(world: ServiceWorld):
    (brief,) = listed(world)
    kind, cluster, name, tail = (brief.service_deployment_arn or "").split(":")[-1].split("/")
    assert (kind, cluster, name, len(tail)) == ("service-deployment", "default", "web", 21)
    revision = (brief.target_service_revision_arn or "").split("/")
    assert revision[1:3] == ["default", "web"]
    assert revision[3].isdigit() and len(revision[3]) == 19


def test_an_update_names_its_source_and_its_target_with_their_tasks(world: ServiceWorld):
    source = listed(world)[0].target_service_revision_arn
    service = update(world)
    world.reconcile()
    found = describe(world, service.current_service_deployment)
    (before,) = found.source_service_revisions or []
    target = found.target_service_revision
    assert target is not None
    assert (before.arn, before.running_task_count) == (source, 2)
    assert (target.requested_task_count, target.pending_task_count) == (2, 2)
    assert found.deployment_configuration == service.deployment_configuration


def test_a_revision_tells_what_it_brings_out(world: ServiceWorld):
    arn = listed(world)[0].target_service_revision_arn
    request = ecs.DescribeServiceRevisionsRequest(service_revision_arns=[arn or "", f"{arn}9"])
    reply = world.call("DescribeServiceRevisions", request)
    (revision,) = reply.service_revisions
    assert revision.task_definition == V1.arn
    assert revision.launch_type == "EC2"
    assert revision.network_configuration is None
    assert revision.container_images == []
    assert [f.reason for f in reply.failures] == ["MISSING"]


def test_a_newer_deployment_stops_the_one_in_progress(world: ServiceWorld):
    first = update(world)
    world.reconcile()
    world.pass_time(1)
    second = update(world, "web:1")
    found = describe(world, first.current_service_deployment)
    assert found.status == "STOPPED"
    assert found.stopped_at == found.finished_at == world.now_ms / 1_000
    assert second.current_service_deployment != first.current_service_deployment


def test_a_stopped_deployment_is_rolled_back(world: ServiceWorld):
    kept = {task.arn for task in world.tasks()}
    good = listed(world)[0].target_service_revision_arn
    arn = update(world).current_service_deployment
    world.reconcile()
    assert stop(world, arn) == arn
    found = describe(world, arn)
    assert found.status == "ROLLBACK_IN_PROGRESS"
    assert found.rollback is not None
    assert found.rollback.service_revision_arn == good
    world.run_all()
    found = describe(world, arn)
    assert found.status == "ROLLBACK_SUCCESSFUL"
    assert {task.arn for task in world.tasks()} == kept
    assert world.service().task_definition_arn == V1.arn


def test_a_deployment_can_be_stopped_before_it_has_started(world: ServiceWorld):
    arn = update(world).current_service_deployment
    request = ecs.StopServiceDeploymentRequest(service_deployment_arn=arn)
    world.call("StopServiceDeployment", request)
    assert describe(world, arn).status == "ROLLBACK_REQUESTED"
    world.reconcile()
    world.run_all()
    assert describe(world, arn).status == "ROLLBACK_SUCCESSFUL"


@pytest.mark.parametrize("stop_type", [None, "ABORT"])
def test_stopping_what_is_being_stopped_answers_and_changes_nothing(
    world: ServiceWorld, stop_type: str | None
):
    arn = update(world).current_service_deployment
    request = ecs.StopServiceDeploymentRequest(service_deployment_arn=arn, stop_type=stop_type)
    world.call("StopServiceDeployment", request)
    before = world.view.sequence
    assert world.call("StopServiceDeployment", request).service_deployment_arn == arn
    assert world.view.sequence == before


def test_an_aborted_deployment_stays_as_far_as_it_is(world: ServiceWorld):
    kept = {task.arn for task in world.tasks()}
    arn = update(world).current_service_deployment
    world.reconcile()
    stop(world, arn, "ABORT")
    found = describe(world, arn)
    assert found.status == "STOPPED"
    assert "without a rollback" in (found.status_reason or "")
    assert found.rollback is None
    primary = world.service().primary
    assert (primary.task_definition_arn, primary.rollout_state) == (V2.arn, "FAILED")
    assert primary.rollout_state_reason == "ECS deployment stopped by a caller."
    for task in [t for t in world.tasks() if t.deployment_id == primary.id]:
        world.report(task, STOPPED)
    assert {task.arn for task in world.tasks()} == kept
    again = update(world).current_service_deployment
    world.reconcile()
    world.run_all()
    assert describe(world, again).status == "SUCCESSFUL"


def test_the_first_deployment_can_be_aborted():
    world = ServiceWorld(V1)
    arn = create(world).current_service_deployment
    stop(world, arn, "ABORT")
    assert describe(world, arn).status == "STOPPED"
    assert world.tasks() == []


def test_what_has_ended_cannot_be_stopped(world: ServiceWorld):
    with pytest.raises(ecs.ConflictException, match="SUCCESSFUL"):
        stop(world, listed(world)[0].service_deployment_arn)


def test_the_first_deployment_cannot_be_rolled_back():
    world = ServiceWorld(V1)
    arn = create(world).current_service_deployment
    with pytest.raises(ecs.ConflictException, match="no completed deployment"):
        stop(world, arn)


@pytest.mark.parametrize(
    ("arn", "stop_type", "error"),
    [
        (
            "arn:aws:ecs:us-east-1:123456789012:service-deployment/default/web/x",
            None,
            ecs.ServiceDeploymentNotFoundException,
        ),
        ("web", None, ecs.ServiceDeploymentNotFoundException),
        ("current", "NOW", ecs.InvalidParameterException),
    ],
)
def test_a_stop_that_cannot_be_is_refused(
    world: ServiceWorld, arn: str, stop_type: str | None, error: type[Exception]
):
    current = update(world).current_service_deployment
    with pytest.raises(error):
        stop(world, current if arn == "current" else arn, stop_type)


def test_a_rollback_that_is_overtaken_has_failed(world: ServiceWorld):
    arn = update(world).current_service_deployment
    world.reconcile()
    stop(world, arn)
    world.pass_time(1)
    update(world)
    assert describe(world, arn).status == "ROLLBACK_FAILED"


def test_the_circuit_breaker_is_told_with_its_numbers():
    world = ServiceWorld(V1, V2)
    breaker = ecs.DeploymentCircuitBreaker(enable=True, rollback=True)
    configuration = ecs.DeploymentConfiguration(deployment_circuit_breaker=breaker)
    create(world, deployment_configuration=configuration)
    world.reconcile()
    world.run_all()
    world.pass_time(60)
    world.reconcile()
    arn = update(world).current_service_deployment
    world.reconcile()
    for failures in (1, 2):
        world.report(_pending(world), STOPPED, "CannotPullContainerError")
        told = describe(world, arn).deployment_circuit_breaker
        assert told == ecs.ServiceDeploymentCircuitBreaker(
            status="MONITORING", failure_count=failures, threshold=3
        )
    world.pass_time(60)
    world.reconcile()
    world.report(_pending(world), STOPPED, "CannotPullContainerError")
    found = describe(world, arn)
    assert found.deployment_circuit_breaker is not None
    assert found.deployment_circuit_breaker.status == "TRIGGERED"
    assert found.status_reason == (
        "Service deployment rolled back because the circuit breaker threshold was exceeded."
    )


def test_deployments_are_listed_newest_first_by_status_time_and_page(world: ServiceWorld):
    first = listed(world)[0].service_deployment_arn
    second = update(world).current_service_deployment
    assert [b.service_deployment_arn for b in listed(world)] == [second, first]
    assert [b.service_deployment_arn for b in listed(world, status=["SUCCESSFUL"])] == [first]
    since = ecs.CreatedAt(after=(NOW_MS + 1_000) / 1_000)
    assert [b.service_deployment_arn for b in listed(world, created_at=since)] == [second]
    until = ecs.CreatedAt(before=(NOW_MS + 1_000) / 1_000)
    assert [b.service_deployment_arn for b in listed(world, created_at=until)] == [first]
    request = ecs.ListServiceDeploymentsRequest(service="web", max_results=1)
    page = world.call("ListServiceDeployments", request)
    request = ecs.ListServiceDeploymentsRequest(service="web", next_token=page.next_token)
    rest = world.call("ListServiceDeployments", request)
    assert [b.service_deployment_arn for b in rest.service_deployments] == [first]
    assert rest.next_token is None


def test_unknown_statuses_tokens_and_too_many_arns_are_refused(world: ServiceWorld):
    with pytest.raises(ecs.InvalidParameterException, match="status"):
        listed(world, status=["DONE"])
    with pytest.raises(ecs.InvalidParameterException, match="Invalid token"):
        listed(world, next_token="eA==")
    for count in (0, 21):
        request = ecs.DescribeServiceDeploymentsRequest(service_deployment_arns=["a"] * count)
        with pytest.raises(ecs.InvalidParameterException, match="serviceDeploymentArns"):
            world.call("DescribeServiceDeployments", request)


def test_only_the_newest_deployments_are_kept_and_revisions_that_they_need(world: ServiceWorld):
    for _ in range(HISTORY_LIMIT + 5):
        world.pass_time(1)
        update(world)
        world.reconcile()
    arn = world.service().arn
    assert len(list(world.view.service_deployments(arn))) == HISTORY_LIMIT
    revisions = {revision.arn for revision in world.view.service_revisions(arn)}
    assert len(revisions) < HISTORY_LIMIT + 5
    last = world.service().last_completed
    assert last is not None and last.revision_arn in revisions


def test_the_history_goes_with_its_service(world: ServiceWorld):
    arn = world.service().arn
    world.call("DeleteService", ecs.DeleteServiceRequest(service="web", force=True))
    world.reconcile()
    world.run_all()
    assert list(world.view.service_deployments(arn)) == []
    assert list(world.view.service_revisions(arn)) == []


def _pending(world: ServiceWorld):
    return next(task for task in world.tasks() if task.last_status == PENDING)
