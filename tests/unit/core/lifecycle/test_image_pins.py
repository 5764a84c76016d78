"""The first digest that an agent reports pins a service revision's later tasks."""

from __future__ import annotations

import pytest

from builders import make_task_definition
from homeport.api import ecs
from homeport.core.lifecycle.image_pins import pinned_image, pins_of
from homeport.core.lifecycle.task import ContainerReport, TaskReport, report_task
from homeport.gateway.payloads import PayloadTasks
from homeport.model.task_definition import ContainerSpec
from service_world import ServiceWorld

DIGEST, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
LOOSE = (ContainerSpec(name="app", image="busybox", pins_image=False),)


@pytest.fixture
def world() -> ServiceWorld:
    return make_world()


def make_world(containers: tuple[ContainerSpec, ...] | None = None) -> ServiceWorld:
    world = ServiceWorld(make_task_definition("web", 1, containers=containers))
    request = ecs.CreateServiceRequest(service_name="web", task_definition="web", desired_count=2)
    world.call("CreateService", request)
    world.reconcile()
    return world


def report_digest(world: ServiceWorld, number: int, digest: str) -> None:
    task = world.tasks()[number]
    report = TaskReport(
        task_arn=task.arn,
        status="RUNNING",
        containers=(ContainerReport(name="app", status="RUNNING", image_digest=digest),),
    )
    world.commit(report_task(world.view, report, world.moment()))
    world.reconcile()


def revision_images(world: ServiceWorld) -> list[ecs.ContainerImage]:
    arn = world.service().primary.revision_arn
    request = ecs.DescribeServiceRevisionsRequest(service_revision_arns=[arn])
    (revision,) = world.call("DescribeServiceRevisions", request).service_revisions
    return revision.container_images


def test_the_first_digest_is_kept_and_later_ones_change_nothing(world: ServiceWorld):
    report_digest(world, 0, DIGEST)
    report_digest(world, 1, OTHER)
    assert revision_images(world) == [
        ecs.ContainerImage(container_name="app", image="busybox", image_digest=DIGEST)
    ]


def test_later_tasks_are_sent_with_the_digest(world: ServiceWorld):
    report_digest(world, 0, DIGEST)
    world.call("UpdateService", ecs.UpdateServiceRequest(service="web", desired_count=3))
    world.reconcile()
    new = next(t for t in world.tasks() if t.last_status == "PENDING")
    sent = PayloadTasks(world.view).build(new, world.now_ms)
    assert sent is not None
    assert [container.image for container in sent.containers] == [f"busybox@{DIGEST}"]


def test_a_new_deployment_resolves_its_images_anew(world: ServiceWorld):
    report_digest(world, 0, DIGEST)
    request = ecs.UpdateServiceRequest(service="web", force_new_deployment=True)
    world.call("UpdateService", request)
    world.reconcile()
    new = [t for t in world.tasks() if t.deployment_id == world.service().primary.id]
    assert pins_of(world.view, new[0]) == {}


def test_an_image_without_a_repository_digest_isnt_pinned(world: ServiceWorld):
    report_digest(world, 0, "")
    assert revision_images(world) == []


def test_with_version_consistency_disabled_nothing_is_pinned():
    world = make_world(LOOSE)
    report_digest(world, 0, DIGEST)
    assert revision_images(world) == []


@pytest.mark.parametrize(
    ("image", "pinned"),
    [
        ("busybox", f"busybox@{DIGEST}"),
        ("busybox:1.36", f"busybox@{DIGEST}"),
        ("registry:5000/team/app", f"registry:5000/team/app@{DIGEST}"),
        ("registry:5000/team/app:v1", f"registry:5000/team/app@{DIGEST}"),
        (f"busybox@{OTHER}", f"busybox@{OTHER}"),
    ],
)
def test_a_digest_takes_the_place_of_the_tag(image: str, pinned: str):
    assert pinned_image(image, DIGEST) == pinned
