"""When kept records are forgotten."""

from builders import (
    NOW_MS,
    apply,
    at,
    make_cluster,
    make_container_instance,
    make_service,
    make_store,
    make_task,
    make_task_definition,
)
from homeport.core.lifecycle.expiry import (
    RECORDS_PER_COMMIT,
    RetentionLimits,
    expire_records,
    next_expiry_ms,
)
from homeport.model.client_token import ClientToken
from homeport.model.instance_turnover import InstanceTurnover
from homeport.model.record import ResourceTags, Tag
from homeport.model.service import Deployment, ServiceEvent
from homeport.model.service_deployment import ServiceDeployment, ServiceRevision
from homeport.state.view import View

LIMITS = RetentionLimits()
HOUR_MS = 3_600_000


def make_token(key: str, expires_at_ms: int) -> ClientToken:
    return ClientToken(key=key, fingerprint=b"", resource_arns=(), expires_at_ms=expires_at_ms)


def test_nothing_expires_in_an_empty_state():
    view = View(make_store())
    assert next_expiry_ms(view, LIMITS) is None
    assert expire_records(view, LIMITS, at()).changes == ()


def test_a_stopped_task_is_kept_for_an_hour_and_goes_with_its_tags():
    task = make_task(last_status="STOPPED")
    store = make_store(
        make_cluster(),
        make_task_definition(),
        make_container_instance(),
        task,
        ResourceTags(arn=task.arn, tags=(Tag("a", "b"),)),
    )
    view = View(store)
    assert next_expiry_ms(view, LIMITS) == NOW_MS + HOUR_MS
    assert expire_records(view, LIMITS, at(NOW_MS + HOUR_MS - 1)).changes == ()
    apply(store, expire_records(view, LIMITS, at(NOW_MS + HOUR_MS)))
    assert view.task(task.arn) is None
    assert view.tags(task.arn) == ()


def test_running_tasks_and_active_instances_never_expire():
    store = make_store(
        make_cluster(),
        make_task_definition(),
        make_container_instance(),
        make_task(last_status="RUNNING"),
    )
    assert next_expiry_ms(View(store), LIMITS) is None


def test_a_deregistered_instance_is_kept_for_an_hour():
    gone = make_container_instance(status="INACTIVE", deregistered_at_ms=NOW_MS)
    store = make_store(gone)
    view = View(store)
    apply(store, expire_records(view, LIMITS, at(NOW_MS + HOUR_MS)))
    assert view.container_instance(gone.arn) is None


def test_an_inactive_service_goes_with_its_events():
    service = make_service(status="INACTIVE", deleted_at_ms=NOW_MS)
    event = ServiceEvent(
        id="e", service_arn=service.arn, sequence=1, created_at_ms=NOW_MS, message="(service web)."
    )
    store = make_store(service, event)
    view = View(store)
    apply(store, expire_records(view, LIMITS, at(NOW_MS + 24 * HOUR_MS)))
    assert view.service(service.arn) is None
    assert view.service_events(service.arn) == []


def test_when_an_inactive_service_goes_is_known_without_a_look_at_its_events(monkeypatch):
    service = make_service(status="INACTIVE", deleted_at_ms=NOW_MS)
    view = View(make_store(service))
    monkeypatch.delattr(View, "service_events")  # it is asked in every turn of the engine
    assert next_expiry_ms(view, LIMITS) == NOW_MS + 24 * HOUR_MS


def test_tokens_expire_each_at_its_own_time():
    store = make_store(make_token("early", NOW_MS + 1), make_token("late", NOW_MS + 2))
    view = View(store)
    assert next_expiry_ms(view, LIMITS) == NOW_MS + 1
    apply(store, expire_records(view, LIMITS, at(NOW_MS + 1)))
    assert view.client_token("early") is None
    assert view.client_token("late") is not None


def test_one_commit_forgets_a_bounded_number_of_records():
    tokens = (make_token(str(number), NOW_MS) for number in range(RECORDS_PER_COMMIT + 5))
    store = make_store(*tokens)
    decision = apply(store, expire_records(View(store), LIMITS, at()))
    assert len(decision.changes) == RECORDS_PER_COMMIT
    assert len(expire_records(View(store), LIMITS, at()).changes) == 5


def test_longer_retention_keeps_stopped_tasks_for_days():
    task = make_task(last_status="STOPPED")
    view = View(make_store(task))
    limits = RetentionLimits(stopped_task_s=7 * 86_400)
    assert next_expiry_ms(view, limits) == NOW_MS + 7 * 24 * HOUR_MS


def test_a_container_instances_version_stays_when_its_tasks_are_forgotten():
    instance = make_container_instance()
    store = make_store(
        make_cluster(),
        make_task_definition(),
        instance,
        make_task(instance=instance, last_status="STOPPED", arn="arn:1"),
        make_task(instance=instance, last_status="STOPPED", arn="arn:2"),
    )
    view = View(store)
    version = view.instance_version(instance)
    assert version == instance.version + 4
    apply(store, expire_records(view, LIMITS, at(NOW_MS + HOUR_MS)))
    assert list(store.tasks) == []
    assert view.instance_version(instance) == version


def test_what_is_kept_of_forgotten_tasks_goes_with_their_container_instance():
    instance = make_container_instance(status="INACTIVE", deregistered_at_ms=NOW_MS)
    kept = InstanceTurnover(container_instance_arn=instance.arn, forgotten=6)
    store = make_store(make_cluster(), instance, kept)
    apply(store, expire_records(View(store), LIMITS, at(NOW_MS + HOUR_MS)))
    assert list(store.container_instances) == []
    assert list(store.instance_turnovers) == []


def test_ended_service_deployments_are_kept_for_ninety_days_and_go_with_their_revisions():
    service = make_service(deployments=(Deployment(**CURRENT, revision_arn="second"),))
    day_ms = 24 * HOUR_MS
    store = make_store(
        make_cluster(),
        make_task_definition(),
        service,
        make_record("a", NOW_MS, target="first"),
        make_record("b", NOW_MS + day_ms, target="second", sources=("first",)),
        make_record("c", None, target="third", sources=("second",)),
        *(make_revision(arn) for arn in ("first", "second", "third")),
    )
    view = View(store)
    assert next_expiry_ms(view, LIMITS) == NOW_MS + 90 * day_ms
    apply(store, expire_records(view, LIMITS, at(NOW_MS + 90 * day_ms)))
    assert view.service_deployment("a") is None
    assert view.service_revision("first") is not None  # the next one came from it
    apply(store, expire_records(view, LIMITS, at(NOW_MS + 91 * day_ms)))
    assert view.service_deployment("b") is None
    assert view.service_revision("first") is None
    assert view.service_revision("second") is not None  # it still runs
    assert next_expiry_ms(view, LIMITS) is None  # what hasn't ended stays


CURRENT = {"id": "ecs-svc/1", "status": "PRIMARY", "task_definition_arn": "web:1"}


def make_record(
    arn: str, finished_at_ms: int | None, *, target: str, sources: tuple[str, ...] = ()
) -> ServiceDeployment:
    service = make_service()
    return ServiceDeployment(
        arn=arn,
        service_arn=service.arn,
        cluster_arn=service.cluster_arn,
        deployment_id="ecs-svc/1",
        target_revision_arn=target,
        source_revision_arns=sources,
        finished_at_ms=finished_at_ms,
    )


def make_revision(arn: str) -> ServiceRevision:
    service = make_service()
    return ServiceRevision(
        arn=arn,
        service_arn=service.arn,
        cluster_arn=service.cluster_arn,
        task_definition_arn="web:1",
    )
