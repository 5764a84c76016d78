"""Truth: when nothing fails any more, everything becomes as it is wanted, and stays so.

The world is asked, not only the records: what Docker runs must be what the control plane believes.
"""

from collections.abc import Iterator

from homeport.model.service import Deployment, Service, TaskSet
from homeport.model.task import RUNNING, Task
from homeport.sim.checkers.evenness import find_better_zone
from homeport.sim.checkers.failures import ABORTED, threshold_of
from homeport.sim.checkers.room import DAEMON, find_room, find_room_for, has_space
from homeport.sim.checkers.task_sets import wanted_of
from homeport.sim.machine import SimMachine
from homeport.sim.scenario import Scenario
from homeport.state.store import Store
from homeport.state.view import View

TRUTH = "everything converges"

PERCENT = 100
SOON_FAILURES = 10


def find_unsettled(store: Store, machines: list[SimMachine], scenario: Scenario) -> Iterator[str]:
    """Say what isn't yet as it is wanted, one sentence each; none means it has converged."""
    view = View(store)
    for machine in machines:
        yield from _unsettled_agent(view, machine)
    for service in store.services:
        yield from _unsettled_service(view, service, scenario)
        if service.status == "ACTIVE" and not _is_slowed_down(store, service):
            yield from _unhealthy_tasks(view, service, scenario)
        if service.status == "ACTIVE" and service.deployment_controller != "EXTERNAL":
            uneven = find_better_zone(view, service, store.at_ms)
            if uneven is not None:
                yield uneven
    for cluster in store.clusters:
        for task in view.live_tasks(cluster.arn).values():
            if not _is_settled(view, task) and not _is_poisoned(scenario, task.task_definition_arn):
                yield f"{task.arn} is {task.last_status}, wanted {task.desired_status}"
    yield from _untrue_containers(view, machines)


def _is_settled(view: View, task: Task) -> bool:
    """Whether it is as it is wanted, or waits for capacity that isn't there."""
    if task.is_provisioning:
        return find_room_for(view, task) is None
    return task.last_status == task.desired_status


def _unsettled_agent(view: View, machine: SimMachine) -> Iterator[str]:
    if machine.is_retired:
        return
    instance = None if machine.arn is None else view.container_instance(machine.arn)
    if instance is None or not instance.is_available:
        yield f"{machine.name} isn't an available container instance"
    elif machine.process is None or not machine.process.is_settled:
        yield f"{machine.name} has reports to make"


def _unsettled_service(view: View, service: Service, scenario: Scenario) -> Iterator[str]:
    if service.status == "DRAINING":
        yield f"{service.arn} is still DRAINING"
    if service.status != "ACTIVE":
        return
    is_hopeless = _is_poisoned(scenario, service.task_definition_arn)
    if service.deployment_controller == "EXTERNAL":
        for task_set in service.task_sets:
            yield from _unsettled_task_set(view, service, task_set, scenario)
        return
    if is_hopeless:
        if not _is_stuck_by_configuration(view, service):
            yield from _unbroken(service)
        return
    if service.scheduling_strategy == DAEMON:
        yield from _unsettled_daemon(view, service)
        return
    if _is_stuck_by_configuration(view, service):
        return
    yield from _unsettled_deployment(view, service, service.primary, service.desired_count)
    is_over = service.primary.rollout_state == "FAILED" or _lacks(view, service)
    if not is_over and (len(service.deployments) > 1 or not service.is_steady):
        yield f"{service.arn} hasn't reached its steady state"


def _is_slowed_down(store: Store, service: Service) -> bool:
    """Whether tasks failed so often that the next launch, of replacements too, is yet to come."""
    return service.next_launch_at_ms > store.at_ms


def _unhealthy_tasks(view: View, service: Service, scenario: Scenario) -> Iterator[str]:
    if service.primary.rollout_state == "FAILED":
        return
    if _is_poisoned(scenario, service.task_definition_arn):
        return
    for task in view.tasks_of_service(service.arn).values():
        if task.last_status == RUNNING and task.health_status == "UNHEALTHY":
            yield f"{task.arn} is UNHEALTHY, and hasn't been replaced"


def _lacks(view: View, service: Service) -> bool:
    if any(task.is_provisioning for task in view.tasks_of_service(service.arn).values()):
        return True
    running = view.deployment_load(service.arn, service.primary.id).running
    return running < service.desired_count


def _unsettled_deployment(
    view: View, service: Service, deployment: Deployment, wanted: int
) -> Iterator[str]:
    load = view.deployment_load(service.arn, deployment.id)
    waiting = sum(
        task.is_provisioning and task.deployment_id == deployment.id
        for task in view.tasks_of_service(service.arn).values()
    )
    if load.pending > waiting or load.stopping or load.running > wanted:
        yield f"{service.arn} has {load.running} running, {load.pending} pending tasks"
    elif load.running + waiting < wanted and not _starts_nothing(service, deployment):
        roomy = find_room(view, service, deployment.task_definition_arn)
        if roomy is not None:
            yield f"{service.arn} runs {load.running} of {wanted} tasks though {roomy} has room"


def _starts_nothing(service: Service, deployment: Deployment) -> bool:
    """A FAILED deployment doesn't, unless it was aborted and took over from a completed one."""
    is_aborted = deployment.rollout_state_reason == ABORTED
    is_heir = service.last_completed is not None and len(service.deployments) == 1
    return deployment.rollout_state == "FAILED" and not (is_aborted and is_heir)


def _unsettled_task_set(
    view: View, service: Service, task_set: TaskSet, scenario: Scenario
) -> Iterator[str]:
    if task_set.status == "DRAINING":
        yield f"{task_set.arn} is still DRAINING"
    if _is_poisoned(scenario, task_set.task_definition_arn):
        return
    deployment = Deployment(
        id=task_set.id, status="PRIMARY", task_definition_arn=task_set.task_definition_arn
    )
    wanted = wanted_of(service, task_set)
    yield from _unsettled_deployment(view, service, deployment, wanted)
    running = view.deployment_load(service.arn, task_set.id).running
    if running == wanted and task_set.stability_status != "STEADY_STATE":
        yield f"{task_set.arn} isn't in its steady state"


def _unsettled_daemon(view: View, service: Service) -> Iterator[str]:
    """Every instance with room has one task of the newest deployment, and that one is RUNNING."""
    if service.primary.rollout_state == "FAILED" or service.placement_constraints:
        return
    definition = view.task_definition(service.primary.task_definition_arn)
    assert definition is not None, service.arn
    least = -(-service.desired_count * service.minimum_healthy_percent // PERCENT)
    tasks = view.tasks_of_service(service.arn).values()
    is_stuck = sum(t.last_status == RUNNING for t in tasks) <= least  # no more may end
    for arn, instance in view.container_instances(service.cluster_arn).items():
        here = [t for t in view.tasks_of_instance(arn).values() if t.service_arn == service.arn]
        is_roomy = has_space(view, instance, definition.resources)
        if instance.is_available and not instance.is_fargate and not here and is_roomy:
            yield f"{arn} has no task of {service.arn}"
        for task in here:
            is_older = task.deployment_id != service.primary.id
            if task.last_status != RUNNING or (is_older and not is_stuck):
                yield f"{arn} has {task.arn} of {task.deployment_id}, {task.last_status}"


def _unbroken(service: Service) -> Iterator[str]:
    """A circuit breaker ends every deployment that can't succeed."""
    is_watched = service.circuit_breaker is not None and not service.primary.is_rollback
    if not is_watched or service.capacity_provider_strategy:
        return
    is_trying = service.primary.rollout_state == "IN_PROGRESS" and service.desired_count
    # The throttle lets a round through in 27 minutes: many failures take many hours.
    assert service.circuit_breaker is not None
    bears = threshold_of(service.circuit_breaker, service.desired_count)
    if is_trying and bears <= SOON_FAILURES:
        yield f"{service.primary.id} of {service.arn} can't succeed, and hasn't FAILED"


def _is_stuck_by_configuration(view: View, service: Service) -> bool:
    """Whether the percents allow neither a start nor a stop: ECS says so, and waits."""
    if len(service.deployments) == 1:
        return False
    tasks = view.tasks_of_service(service.arn).values()
    upper = service.desired_count * service.maximum_percent // PERCENT
    lower = -(-service.desired_count * service.minimum_healthy_percent // PERCENT)
    running = sum(task.last_status == task.desired_status == RUNNING for task in tasks)
    return len(tasks) >= upper and running <= lower and running == len(tasks)


def _untrue_containers(view: View, machines: list[SimMachine]) -> Iterator[str]:
    for machine in machines:
        if machine.is_retired:
            continue
        running: dict[str, int] = {}
        for container in machine.docker.running():
            running[container.task_arn] = running.get(container.task_arn, 0) + 1
        believed = view.tasks_of_instance(machine.arn or "")
        for arn, task in believed.items():
            if task.last_status == RUNNING and not running.get(arn):
                yield f"{arn} is RUNNING by the records, and {machine.name} runs nothing of it"
        for arn in running:
            task_record = believed.get(arn)
            if task_record is None:
                yield f"{machine.name} runs containers of {arn}, which nobody wants there"


def _is_poisoned(scenario: Scenario, task_definition_arn: str) -> bool:
    family = task_definition_arn.rpartition("/")[2].rpartition(":")[0]
    task = scenario.tasks.get(family)
    if task is None:
        return False
    images = [task.image, task.sidecar_image]
    return any(name is not None and scenario.images[name].is_poisoned for name in images)
