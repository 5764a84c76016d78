"""A service that wants no tasks is complete with its creation, as its scheduler would do it."""

import pytest
from msgspec.structs import replace

from builders import (
    NOW_MS,
    apply,
    at,
    hex_id,
    make_cluster,
    make_service,
    make_store,
    make_task_definition,
)
from homeport.core.effects import WakeAt
from homeport.core.reconcile.first_step import complete_at_once, wants_no_tasks
from homeport.core.reconcile.service import reconcile_service
from homeport.model.arn import make_service_deployment_arn
from homeport.model.service import (
    CircuitBreaker,
    EarlySuccess,
    PauseHook,
    Service,
    StagedStrategy,
)
from homeport.model.service_deployment import ServiceDeployment
from homeport.state.view import View

DEFINITION = make_task_definition()


def make_started(**members: object) -> tuple[Service, ServiceDeployment]:
    """A service as CreateService starts it, and its first service deployment."""
    service = make_service(desired_count=0, **members)
    record = ServiceDeployment(
        arn=make_service_deployment_arn(service.arn, hex_id("record")),
        service_arn=service.arn,
        cluster_arn=service.cluster_arn,
        deployment_id=service.primary.id,
        target_revision_arn="arn:revision",
        created_at_ms=NOW_MS,
        updated_at_ms=NOW_MS,
    )
    return replace(service, service_deployment_arn=record.arn), record


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"circuit_breaker": CircuitBreaker(rolls_back=True)},
        {"early_success": EarlySuccess(healthy_percent=50, is_cleanup_deferred=True)},
        {"rebalances_zones": True},
    ],
    ids=["plain", "circuit breaker", "early success", "zones"],
)
def test_it_becomes_what_the_schedulers_looks_would_have_made_of_it(members: dict[str, object]):
    service, record = make_started(**members)
    assert wants_no_tasks(service)
    store = make_store(make_cluster(), DEFINITION, service, record)
    view = View(store)
    decision = reconcile_service(view, service.arn, at())
    while decision.changes:
        apply(store, decision)
        decision = reconcile_service(view, service.arn, at())

    completed = complete_at_once(service, record, ids=at().ids(), moment=at())

    assert completed.service == view.service(service.arn)
    assert completed.record == view.service_deployment(record.arn)
    assert list(reversed(completed.events)) == view.service_events(service.arn)


def test_the_scheduler_finds_nothing_left_to_do():
    service, record = make_started()
    completed = complete_at_once(service, record, ids=at().ids(), moment=at())
    store = make_store(make_cluster(), DEFINITION, completed.service, completed.record)

    decision = reconcile_service(View(store), service.arn, at())

    assert decision.changes == ()
    assert [type(effect) for effect in decision.effects] == [WakeAt]


@pytest.mark.parametrize(
    "members",
    [
        {"desired_count": 1},
        {"scheduling_strategy": "DAEMON"},
        {"deployment_controller": "EXTERNAL"},
        {"staged": StagedStrategy(kind="BLUE_GREEN", hooks=(PauseHook(stages=("BAKE_TIME",)),))},
    ],
    ids=["tasks", "daemon", "task sets", "stages"],
)
def test_every_other_service_is_looked_at(members: dict[str, object]):
    service, _record = make_started()
    assert not wants_no_tasks(replace(service, **members))
