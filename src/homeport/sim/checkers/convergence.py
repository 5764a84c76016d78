"""Truth: when nothing fails any more, everything becomes as it is wanted, and stays so.

The world is asked, not only the records: what Docker runs must be what the control plane believes.
"""

from collections.abc import Iterator

from homeport.model.container_instance import ContainerInstance
from homeport.model.service import Service
from homeport.model.task import RUNNING
from homeport.sim.machine import SimMachine
from homeport.sim.scenario import Scenario
from homeport.state.store import Store
from homeport.state.view import View

TRUTH = "everything converges"

PERCENT = 100


def find_unsettled(store: Store, machines: list[SimMachine], scenario: Scenario) -> Iterator[str]:
    """Say what isn't yet as it is wanted, one sentence each; none means it has converged."""
    view = View(store)
    for machine in machines:
        yield from _unsettled_agent(view, machine)
    for service in store.services:
        yield from _unsettled_service(view, service, scenario)
    for cluster in store.clusters:
        for task in view.live_tasks(cluster.arn).values():
            is_settled = task.last_status == task.desired_status
            if not is_settled and not _is_poisoned(scenario, task.task_definition_arn):
                yield f"{task.arn} is {task.last_status}, wanted {task.desired_status}"
    yield from _untrue_containers(view, machines)


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
    if service.status != "ACTIVE" or _is_poisoned(scenario, service.task_definition_arn):
        return
    if _is_stuck_by_configuration(view, service):
        return
    load = view.deployment_load(service.arn, service.primary.id)
    if load.pending or load.stopping or load.running > service.desired_count:
        yield f"{service.arn} has {load.running} running, {load.pending} pending tasks"
    elif load.running < service.desired_count:
        roomy = _find_room(view, service)
        if roomy is not None:
            yield (
                f"{service.arn} runs {load.running} of {service.desired_count} tasks "
                f"though {roomy} has room"
            )
    elif len(service.deployments) > 1 or not service.is_steady:
        yield f"{service.arn} hasn't reached its steady state"


def _is_stuck_by_configuration(view: View, service: Service) -> bool:
    """Whether the percents allow neither a start nor a stop: ECS says so, and waits."""
    if len(service.deployments) == 1:
        return False
    tasks = view.tasks_of_service(service.arn).values()
    upper = service.desired_count * service.maximum_percent // PERCENT
    lower = -(-service.desired_count * service.minimum_healthy_percent // PERCENT)
    running = sum(task.last_status == task.desired_status == RUNNING for task in tasks)
    return len(tasks) >= upper and running <= lower and running == len(tasks)


def _find_room(view: View, service: Service) -> str | None:
    """Return an instance that could take one more task of the service, by counts of its own."""
    definition = view.task_definition(service.primary.task_definition_arn)
    assert definition is not None
    for arn, instance in view.container_instances(service.cluster_arn).items():
        if instance.is_available and _fits(view, service, instance):
            return arn
    return None


def _fits(view: View, service: Service, instance: ContainerInstance) -> bool:
    definition = view.task_definition(service.primary.task_definition_arn)
    assert definition is not None
    tasks = list(view.tasks_of_instance(instance.arn).values())
    needs = definition.resources
    ports = {port for task in tasks for port in task.resources.host_ports}
    if instance.resources.cpu_units - sum(t.resources.cpu_units for t in tasks) < needs.cpu_units:
        return False
    held_mib = sum(t.resources.memory_mib for t in tasks)
    if instance.resources.memory_mib - held_mib < needs.memory_mib:
        return False
    if ports.intersection(needs.host_ports):
        return False
    for constraint in service.placement_constraints:
        if constraint.kind == "memberOf":
            return False  # whether it would fit is the query language's to say
        if any(t.service_arn == service.arn for t in tasks):
            return False
    return True


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
