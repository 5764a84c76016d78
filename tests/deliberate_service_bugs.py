"""Deliberate bugs in deployments, stages, rollbacks and task sets; see `deliberate_bugs`."""

from msgspec.structs import replace

from homeport.core.lifecycle import new_task
from homeport.core.reconcile import census, launch, rollback, stages, step, throttle
from homeport.core.reconcile import task_sets as reconciled_sets
from homeport.engine import engine
from homeport.model.service import Service
from homeport.operations import registry
from homeport.operations.ecs import service_updates, task_sets
from homeport.state import derived


def the_circuit_breaker_never_trips(patch):
    patch.setattr(rollback, "has_tripped", lambda service: False)


def a_side_container_resets_the_circuit_breaker(patch):
    from homeport.core.lifecycle import task

    sound = task.report_health

    def report_health(view, instance_arn, reports, moment):
        decision = sound(view, instance_arn, reports, moment)
        arns = {arn for arn, _, status in reports if status == "HEALTHY"}
        tasks = [found for arn in sorted(arns) if (found := view.task(arn)) is not None]
        return replace(
            decision,
            changes=(*decision.changes, *map(task.Put, task._without_failures(view, tasks))),
        )

    patch.setattr(engine, "report_health", report_health)


def a_rollback_goes_nowhere(patch):
    sound = rollback._roll_back

    def roll_back(*args, **members):
        whole = [replace(a, last_completed=a.primary) if type(a) is Service else a for a in args]
        return sound(*whole, **members)

    patch.setattr(rollback, "_roll_back", roll_back)


def failing_tasks_are_launched_again_at_once(patch):
    patch.setattr(throttle, "launch_delay_s", lambda *rounds: 0)


def promoted_before_the_bake_time_is_over(patch):
    sound = stages._work

    def work(view, service, record, strategy, **members):
        if record.lifecycle_stage == stages.BAKE_TIME:
            return record, None
        return sound(view, service, record, strategy, **members)

    patch.setattr(stages, "_work", work)


def pauses_are_answered_by_nobody(patch):
    def expire_hooks(record, moment):
        done = tuple(replace(hook, status="SUCCEEDED") for hook in record.hooks)
        return replace(record, hooks=done), False

    patch.setattr(stages, "_expire_hooks", expire_hooks)


def all_traffic_moves_at_once(patch):
    sound = stages._shift

    def shift(view, record, strategy, moment, **members):
        return sound(view, record, replace(strategy, kind="BLUE_GREEN"), moment, **members)

    patch.setattr(stages, "_shift", shift)


def older_tasks_go_before_their_time(patch):
    patch.setattr(Service, "keeps_older_tasks", False)


def a_stop_is_no_new_version(patch):
    sound = new_task.stop_task

    def stop_task(task, **members):
        return replace(sound(task, **members), version=task.version)

    patch.setattr(step, "stop_task", stop_task)


def unhealthy_tasks_pass_for_healthy(patch):
    sound = census._Taker._health

    def health(self, task):
        found = sound(self, task)
        return "healthy" if found == "unhealthy" else found

    patch.setattr(census._Taker, "_health", health)
    patch.setattr(derived.DeploymentLoad, "unhealthy", property(lambda self: 0, lambda *_: None))


def two_task_sets_are_primary(patch):
    sound = task_sets.update_service_primary_task_set

    def update(view, request, context):
        decision = sound(view, request, context)
        (change,) = decision.changes
        both = tuple(replace(s, status="PRIMARY") for s in change.record.task_sets)
        put = type(change)(replace(change.record, task_sets=both))
        return replace(decision, changes=(put,))

    patch.setitem(registry.OPERATIONS, "UpdateServicePrimaryTaskSet", update)


def a_task_sets_share_is_rounded_down(patch):
    def computed_desired_count(service, task_set):
        if task_set.status == "DRAINING" or service.status != "ACTIVE":
            return 0
        return int(service.desired_count * task_set.scale_percent) // 100

    patch.setattr(reconciled_sets, "computed_desired_count", computed_desired_count)


def older_tasks_are_replaced_on_the_newest_ones_capacity(patch):
    patch.setattr(launch, "as_deployed", lambda view, service, deployment: service)


def a_rollback_stays_on_the_capacity_that_failed(patch):
    patch.setattr(rollback, "on_capacity_of", lambda service, revision: service)


def an_aborted_deployment_goes_on(patch):
    patch.setattr(rollback, "_stop", lambda view, service, moment: service)


def a_hook_that_timed_out_lets_go_on(patch):
    sound = stages._expire_hooks

    def expire_hooks(record, moment):
        done, _ = sound(record, moment)
        return done, False

    patch.setattr(stages, "_expire_hooks", expire_hooks)


def a_rolling_deployment_is_complete_while_it_bakes(patch):
    sound = stages._hold_in

    def hold_in(stage, strategy):
        is_baking = strategy.kind == stages.ROLLING and stage == stages.BAKE_TIME
        return "" if is_baking else sound(stage, strategy)

    patch.setattr(stages, "_hold_in", hold_in)


def tasks_start_before_the_hooks_are_answered(patch):
    patch.setattr(stages, "_hold_in", lambda stage, strategy: "OPEN")


def a_new_deployment_inherits_the_delay(patch):
    sound = service_updates.start_deployment

    def start_deployment(view, service, **members):
        started = sound(view, service, **members)
        late = replace(
            started.service,
            failed_launches=service.failed_launches,
            next_launch_at_ms=service.next_launch_at_ms,
        )
        return replace(started, service=late)

    patch.setattr(service_updates, "start_deployment", start_deployment)


def another_controller_disowns_the_tasks(patch):
    sound = service_updates.change_controller

    def change_controller(*args, **members):
        changed, beside = sound(*args, **members)
        others = tuple(replace(s, id=f"{s.id}0") for s in changed.task_sets)
        return replace(changed, task_sets=others), beside

    patch.setattr(service_updates, "change_controller", change_controller)



# The scenario that catches a bug.
the_circuit_breaker_never_trips.scenario = "poisoned_image"
a_rollback_goes_nowhere.scenario = "poisoned_image"
failing_tasks_are_launched_again_at_once.scenario = "crash_loop"
promoted_before_the_bake_time_is_over.scenario = "staged"
pauses_are_answered_by_nobody.scenario = "staged"
all_traffic_moves_at_once.scenario = "staged"
older_tasks_go_before_their_time.scenario = "staged"
unhealthy_tasks_pass_for_healthy.scenario = "failing_health"
older_tasks_are_replaced_on_the_newest_ones_capacity.scenario = "capacity_moves"
a_rollback_stays_on_the_capacity_that_failed.scenario = "capacity_moves"
an_aborted_deployment_goes_on.scenario = "aborted_deployments"
a_hook_that_timed_out_lets_go_on.scenario = "rolling_pauses"
a_rolling_deployment_is_complete_while_it_bakes.scenario = "rolling_pauses"
tasks_start_before_the_hooks_are_answered.scenario = "rolling_pauses"
a_new_deployment_inherits_the_delay.scenario = "poisoned_image"
another_controller_disowns_the_tasks.scenario = "controller_changes"
two_task_sets_are_primary.scenario = "task_sets"
a_task_sets_share_is_rounded_down.scenario = "task_sets"
a_side_container_resets_the_circuit_breaker.scenario = "sidecars"

MUTANTS = [
    value
    for name, value in list(globals().items())
    if callable(value) and getattr(value, "__module__", None) == __name__ and name[0] != "_"
]
