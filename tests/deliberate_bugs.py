"""Deliberate bugs, one function each: every one must be caught by some checker.

A mutant replaces one piece of production code, and names the scenario that catches it each time.
What catches it is for `simulation/test_mutants` to find out.
"""

from msgspec.structs import replace

from homeport.core.capacity import places
from homeport.core.decision import NOTHING
from homeport.core.lifecycle import new_task
from homeport.core.placement import eligible, filters, kept_instance, placing
from homeport.core.reconcile import census, daemon, rollback, stages, step, throttle
from homeport.core.reconcile import task_sets as reconciled_sets
from homeport.engine import agenda, engine
from homeport.gateway import outgoing
from homeport.model.container_instance import ContainerInstance
from homeport.model.service import Service
from homeport.model.task import Task
from homeport.operations import registry
from homeport.operations.ecs import task_sets
from homeport.sim import agent_disk, agent_process, disk, network
from homeport.state import derived, store
from homeport.state.changes import delete_of
from homeport.storage import encoding, lease


def one_task_too_many_in_a_deployment(patch):
    sound = step.bounds_of

    def bounds_of(*args, **members):
        bounds = sound(*args, **members)
        return replace(bounds, upper=bounds.upper + 1)

    patch.setattr(step, "bounds_of", bounds_of)


def one_healthy_task_too_few_in_a_deployment(patch):
    sound = step.bounds_of

    def bounds_of(*args, **members):
        bounds = sound(*args, **members)
        return replace(bounds, lower=max(bounds.lower - 1, 0))

    patch.setattr(step, "bounds_of", bounds_of)


def ports_are_forgotten_when_placing(patch):
    sound = eligible.rows_with_ports
    for module in (placing, kept_instance):
        patch.setattr(
            module,
            "rows_with_ports",
            lambda fleet, needs: sound(fleet, replace(needs, host_ports=())),
        )


def a_stopped_task_keeps_its_memory(patch):
    sound = derived.InstanceLoad.add

    def add(self, task, sign):
        sound(self, task, sign)
        if sign < 0:
            self.memory_mib += task.resources.memory_mib

    patch.setattr(derived.InstanceLoad, "add", add)


def memory_is_counted_half(patch):
    sound = derived.InstanceLoad.add

    def add(self, task, sign):
        half = replace(task.resources, memory_mib=task.resources.memory_mib // 2)
        sound(self, replace(task, resources=half), sign)

    patch.setattr(derived.InstanceLoad, "add", add)


def answers_leave_before_they_are_durable(patch):
    def commit(self, cause, decision, answer):
        if decision.changes:
            self._apply(cause, decision.changes)
        for effect in decision.effects:
            self._note_for_later(effect)
        self._let_out(decision, answer)
        self._outlet.work_waits()

    patch.setattr(engine.Engine, "_commit", commit)


def a_commit_is_not_journaled(patch):
    def apply(self, cause, changes):
        commit = engine.Commit(self._store.sequence + 1, self._now_ms, cause, changes)
        if cause == "SubmitTaskStateChange" and commit.sequence % 20 == 0:
            commit = engine.Commit(commit.sequence, commit.at_ms, cause, changes[:0])
            self._journal.append(commit)
            self._store.apply(engine.Commit(commit.sequence, commit.at_ms, cause, changes))
            return
        self._journal.append(commit)
        self._store.apply(commit)

    patch.setattr(engine.Engine, "_apply", apply)


def deletions_are_not_kept(patch):
    sound = encoding.encode_commits

    def encode_commits(commits):
        rows, latest = sound(commits)
        return rows, {key: value for key, value in latest.items() if value is not None}

    patch.setattr(disk, "encode_commits", encode_commits)


def a_late_report_revives_a_container(patch):
    from homeport.core.lifecycle import task

    patch.setattr(task, "_ORDER", {"PENDING": 0, "RUNNING": 9, "STOPPED": 2})


def a_stopped_task_takes_reports(patch):
    from homeport.core.lifecycle import task

    def report_task(view, report, moment, *, is_strict=False):
        known = view.task(report.task_arn)
        if known is None:
            return NOTHING
        reported = task.next_task(known, report, moment)
        put = task.Put(replace(reported, version=known.version + 1))
        return task.Decision(changes=(put,))

    from homeport.operations.ecs import agent_reports

    patch.setattr(agent_reports, "report_task", report_task)


def a_stopped_task_wakes_nobody(patch):
    def follow(self, new, old):
        if old is None:
            self.mark(new.service_arn) if new.service_arn else None

    patch.setattr(agenda.Agenda, "_follow_task", follow)


def who_awaits_capacity_is_forgotten(patch):
    patch.setattr(agenda.Agenda, "await_capacity", lambda self, effect: None)


def wake_ups_are_lost(patch):
    patch.setattr(agenda.Agenda, "wake_at", lambda self, effect: None)


def distinct_instances_may_be_the_same(patch):
    patch.setattr(placing, "compile_filters", _without(placing.compile_filters, "distinctInstance"))


def a_container_instance_takes_any_attribute(patch):
    patch.setattr(placing, "compile_filters", _without(placing.compile_filters, "memberOf"))


def _without(sound, kind):
    def compile_filters(request):
        kept = tuple(c for c in request.constraints if c.kind != kind)
        return sound(replace(request, constraints=kept))

    return compile_filters


def the_disconnected_get_tasks(patch):
    patch.setattr(filters, "_refuse_agent", lambda instance: None)
    is_active = property(lambda instance: instance.status == "ACTIVE")
    patch.setattr(ContainerInstance, "is_available", is_active)


def a_lost_payload_is_not_sent_again(patch):
    patch.setattr(engine, "connect_agent", _without_effects(engine.connect_agent))
    patch.setattr(outgoing.Outgoing, "requeue_lost", lambda self, now_ms: 0)


def _without_effects(sound):
    def connect_agent(*args, **members):
        return replace(sound(*args, **members), effects=())

    return connect_agent


def an_agent_gives_a_report_up_after_one_try(patch):
    sound = agent_process.AgentProcess._call

    def call(self, operation, body, on_reply):
        def answered(reply):
            on_reply(network.Reply(200, b"{}") if reply is None else reply)

        sound(self, operation, body, answered if operation.startswith("Submit") else on_reply)

    patch.setattr(agent_process.AgentProcess, "_call", call)


def the_control_plane_forgets_to_bury_the_dead(patch):
    patch.setattr(engine, "expire_records", lambda view, limits, moment: NOTHING)


def stopped_tasks_are_buried_alive(patch):
    sound = engine.expire_records

    def expire_records(view, limits, moment):
        live = [t for c in view.every_cluster() for t in view.live_tasks(c.arn).values()]
        decision = sound(view, limits, moment)
        return replace(decision, changes=(*decision.changes, *map(delete_of, live[:1])))

    patch.setattr(engine, "expire_records", expire_records)


def the_agent_promises_before_it_syncs(patch):
    sound = agent_disk.AgentDisk.write_changes

    def write_changes(self, **members):
        return sound(self, **{**members, "is_promise": False})

    patch.setattr(agent_disk.AgentDisk, "write_changes", write_changes)


def services_are_not_looked_at_after_a_restart(patch):
    def start(self):
        decision = engine.disconnect_every_agent(self.view, self._moment())
        self._commit("ServerStarted", decision, None)

    patch.setattr(engine.Engine, "start", start)


def the_store_forgets_an_index(patch):
    sound = store.Store.apply

    def apply(self, commit):
        sound(self, commit)
        if commit.sequence % 50 == 0:
            self.derived.clusters.clear()

    patch.setattr(store.Store, "apply", apply)


def a_lost_lease_is_accepted(patch):
    patch.setattr(lease.LeaseBook, "check", lambda self, held: None)


def questions_are_answered_without_the_journal(patch):
    sound = engine.Engine._commit

    def _commit(self, cause, decision, answer):
        if answer is not None and not decision.changes:
            answer(decision.reply)
            answer = None
        sound(self, cause, decision, answer)

    patch.setattr(engine.Engine, "_commit", _commit)


def protection_is_ignored(patch):
    patch.setattr(Task, "is_protected", lambda self, now_ms: False)


def a_daemon_starts_beside_the_one_that_stops(patch):
    sound = daemon._tasks_by_instance

    def tasks_by_instance(view, service):
        return {arn: here for arn, here in sound(view, service).items() if here.wanted}

    patch.setattr(daemon, "_tasks_by_instance", tasks_by_instance)


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


def a_providers_tasks_go_anywhere(patch):
    patch.setattr(places, "provider_constraints", lambda provider: ())


def weights_are_all_the_same(patch):
    sound = places.split_tasks

    def split_tasks(strategy, *counts):
        return sound(tuple(replace(item, weight=1) for item in strategy), *counts)

    patch.setattr(places, "split_tasks", split_tasks)


def who_waits_for_capacity_waits_for_ever(patch):
    patch.setattr(engine, "provision_tasks", lambda view, arn, moment: NOTHING)


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


# The scenario that catches a bug; it is `full` for the others.
deletions_are_not_kept.scenario = "long_day"
wake_ups_are_lost.scenario = "staged"
a_lost_lease_is_accepted.scenario = "lost_lease"
questions_are_answered_without_the_journal.scenario = "lost_lease"
protection_is_ignored.scenario = "task_protection"
a_daemon_starts_beside_the_one_that_stops.scenario = "daemons"
the_circuit_breaker_never_trips.scenario = "poisoned_image"
a_rollback_goes_nowhere.scenario = "poisoned_image"
failing_tasks_are_launched_again_at_once.scenario = "crash_loop"
promoted_before_the_bake_time_is_over.scenario = "staged"
pauses_are_answered_by_nobody.scenario = "staged"
all_traffic_moves_at_once.scenario = "staged"
older_tasks_go_before_their_time.scenario = "staged"
unhealthy_tasks_pass_for_healthy.scenario = "failing_health"
a_providers_tasks_go_anywhere.scenario = "capacity_providers"
weights_are_all_the_same.scenario = "capacity_providers"
who_waits_for_capacity_waits_for_ever.scenario = "capacity_providers"
two_task_sets_are_primary.scenario = "task_sets"
a_task_sets_share_is_rounded_down.scenario = "task_sets"
services_are_not_looked_at_after_a_restart.scenario = "calm"
services_are_not_looked_at_after_a_restart.is_killed_at_each_commit = True
one_healthy_task_too_few_in_a_deployment.scenario = "zone_outage"
a_lost_payload_is_not_sent_again.scenario = "lost_lease"
a_side_container_resets_the_circuit_breaker.scenario = "sidecars"
the_agent_promises_before_it_syncs.scenario = "zone_outage"
the_control_plane_forgets_to_bury_the_dead.scenario = "long_day"
stopped_tasks_are_buried_alive.scenario = "long_day"
an_agent_gives_a_report_up_after_one_try.scenario = "storm"

MUTANTS = [
    value
    for name, value in list(globals().items())
    if callable(value) and getattr(value, "__module__", None) == __name__ and name[0] != "_"
]
