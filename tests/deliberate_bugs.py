"""Deliberate bugs, one function each: every one must be caught by some checker.

A mutant replaces one piece of production code, and names the scenario that catches it each time.
What catches it is for `simulation/test_mutants` to find out.
"""

from msgspec.structs import replace

from homeport.agent import stimuli, task_machine
from homeport.core.capacity import addresses, handout, places, provisioning
from homeport.core.decision import NOTHING
from homeport.core.placement import daemon_room, eligible, filters, kept_instance, placing
from homeport.core.reconcile import (
    daemon,
    step,
)
from homeport.engine import agenda, engine
from homeport.gateway import outgoing
from homeport.model.container_instance import ContainerInstance
from homeport.model.task import Task
from homeport.operations.ecs import run_task, task_sets
from homeport.sim import agent_process, network
from homeport.state import derived, store
from homeport.state.changes import delete_of


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


def a_stopped_tasks_ports_stay_taken(patch):
    sound = derived.InstanceLoad.add

    def add(self, task, sign):
        sound(self, task, sign)
        if sign < 0:
            self.ports.update((port, 1) for port in task.resources.host_ports)

    patch.setattr(derived.InstanceLoad, "add", add)


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
    def follow(self, new, old, now_ms):
        if old is None:
            self.mark(new.service_arn) if new.service_arn else None

    patch.setattr(agenda.Agenda, "_follow_task", follow)


def who_awaits_capacity_is_forgotten(patch):
    patch.setattr(agenda.Agenda, "await_capacity", lambda self, effect: None)


def who_awaits_a_zone_is_forgotten(patch):
    patch.setattr(agenda.Agenda, "await_zone", lambda self, effect: None)


who_awaits_a_zone_is_forgotten.scenario = "full_zones"


def room_that_comes_too_soon_is_not_looked_at_later(patch):
    def wake(self, wakes, now_ms):
        for effect in wakes:
            if effect.at_ms <= now_ms:
                self.mark(effect.service_arn)

    patch.setattr(agenda.Agenda, "_wake", wake)


room_that_comes_too_soon_is_not_looked_at_later.scenario = "full_zones"


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


def addresses_are_given_twice(patch):
    sound = addresses.free_addresses

    def free_addresses(view, instance):
        return sound(NobodyThere(view), instance)

    class NobodyThere:
        def __init__(self, view):
            self._view = view

        def __getattr__(self, name):
            return getattr(self._view, name)

        def tasks_of_instance(self, _arn):
            return {}

    for module in (handout, provisioning):
        patch.setattr(module, "free_addresses", free_addresses)


def protection_is_ignored(patch):
    patch.setattr(Task, "is_protected", lambda self, now_ms: False)


def a_daemon_starts_beside_the_one_that_stops(patch):
    sound = daemon._tasks_by_instance

    def tasks_by_instance(view, service):
        return {arn: here for arn, here in sound(view, service).items() if here.wanted}

    patch.setattr(daemon, "_tasks_by_instance", tasks_by_instance)


def a_providers_tasks_go_anywhere(patch):
    patch.setattr(provisioning, "provider_constraints", lambda provider: ())


def weights_are_all_the_same(patch):
    sound = places.split_tasks

    def split_tasks(strategy, *counts):
        return sound(tuple(replace(item, weight=1) for item in strategy), *counts)

    patch.setattr(places, "split_tasks", split_tasks)


def who_waits_for_capacity_waits_for_ever(patch):
    patch.setattr(engine, "provision_tasks", lambda view, arn, moment: NOTHING)


def the_base_of_a_strategy_is_forgotten(patch):
    sound = places.split_tasks

    def split_tasks(strategy, *counts):
        return sound(tuple(replace(item, base=0) for item in strategy), *counts)

    patch.setattr(places, "split_tasks", split_tasks)


def protection_never_ends(patch):
    is_protected = lambda self, now_ms: self.protected_until_ms is not None  # noqa: E731
    patch.setattr(Task, "is_protected", is_protected)


def a_client_token_is_forgotten_at_once(patch):
    for module in (run_task, task_sets):
        patch.setattr(module, "find_token", lambda *args: None)


def others_take_a_daemons_room(patch):
    patch.setattr(daemon_room, "_room_on", lambda *args: None)


def only_the_first_daemons_room_is_kept(patch):
    sound = daemon_room._room_on
    patch.setattr(daemon_room, "_room_on", lambda *args: sound(*args[:-1], args[-1][:1]))


def a_step_that_was_given_up_is_never_over(patch):
    sound = task_machine._change_container

    def change(state, container, stimulus, now_ms):
        if isinstance(stimulus, stimuli.StepCancelled):
            return state
        return sound(state, container, stimulus, now_ms)

    patch.setattr(task_machine, "_change_container", change)


# The scenario that catches a bug; it is `full` for the others.
others_take_a_daemons_room.scenario = "full_beside_daemons"
only_the_first_daemons_room_is_kept.scenario = "full_beside_daemons"
a_step_that_was_given_up_is_never_over.scenario = "stopped_deployments"
wake_ups_are_lost.scenario = "staged"
addresses_are_given_twice.scenario = "capacity_moves"
protection_is_ignored.scenario = "task_protection"
a_daemon_starts_beside_the_one_that_stops.scenario = "daemons"
the_base_of_a_strategy_is_forgotten.scenario = "capacity_moves"
protection_never_ends.scenario = "task_protection"
a_client_token_is_forgotten_at_once.scenario = "doubled_messages"
a_providers_tasks_go_anywhere.scenario = "capacity_providers"
weights_are_all_the_same.scenario = "capacity_providers"
who_waits_for_capacity_waits_for_ever.scenario = "capacity_providers"
services_are_not_looked_at_after_a_restart.scenario = "calm"
services_are_not_looked_at_after_a_restart.is_killed_at_each_commit = True
one_healthy_task_too_few_in_a_deployment.scenario = "zone_outage"
a_lost_payload_is_not_sent_again.scenario = "killed_between_commit_and_effect"
the_control_plane_forgets_to_bury_the_dead.scenario = "long_day"
stopped_tasks_are_buried_alive.scenario = "long_day"
an_agent_gives_a_report_up_after_one_try.scenario = "storm"

MUTANTS = [
    value
    for name, value in list(globals().items())
    if callable(value) and getattr(value, "__module__", None) == __name__ and name[0] != "_"
]
