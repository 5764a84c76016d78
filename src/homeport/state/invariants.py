"""What must hold across tables; derived counts from scratch. For tests and simulation."""

from homeport.model.task import Task
from homeport.state.derived import Derived
from homeport.state.store import Store


def find_violations(store: Store) -> list[str]:
    """Return a sentence for each truth that doesn't hold; an empty list is a sound state."""
    return _compare_derived(store) + find_unsound_records(store)


def find_unsound_records(store: Store) -> list[str]:
    """Do so for what doesn't depend on the counts being true: they have just been made."""
    violations: list[str] = []
    for instance in store.container_instances:
        load = store.derived.instances.get(instance.arn)
        if load is None:
            continue
        if load.cpu_units > instance.resources.cpu_units:
            violations.append(f"{instance.arn} has more CPU placed than it registered")
        if load.memory_mib > instance.resources.memory_mib:
            violations.append(f"{instance.arn} has more memory placed than it registered")
        for port, holders in load.ports.items():
            if holders > 1:
                violations.append(f"{instance.arn} has port {port} held by {holders} tasks")
    for task in store.tasks:
        violations.extend(_task_violations(store, task))
    for service in store.services:
        if sum(d.status == "PRIMARY" for d in service.deployments) != 1:
            violations.append(f"{service.arn} must have exactly one PRIMARY deployment")
    return violations


def _task_violations(store: Store, task: Task) -> list[str]:
    found = []
    if store.clusters.get(task.cluster_arn) is None:
        found.append(f"{task.arn} is in a cluster that doesn't exist")
    if store.task_definitions.get(task.task_definition_arn) is None:
        found.append(f"{task.arn} runs a task definition that doesn't exist")
    if task.is_stopped and task.desired_status != "STOPPED":
        found.append(f"{task.arn} is STOPPED but still wanted")
    if task.is_stopped and task.stopped_at_ms is None:
        found.append(f"{task.arn} is STOPPED without a time")
    return found


def _compare_derived(store: Store) -> list[str]:
    fresh = Derived()
    for task in store.tasks:
        fresh.replace_task(None, task)
    found = []
    pairs = (
        ("container instance", store.derived.instances, fresh.instances),
        ("deployment", store.derived.deployments, fresh.deployments),
        ("cluster", store.derived.clusters, fresh.clusters),
    )
    for kind, kept, computed in pairs:
        for key in dict.fromkeys([*kept, *computed]):
            have = kept[key].values() if key in kept else None
            want = computed[key].values() if key in computed else None
            if have != want and any(any(v) if isinstance(v, tuple) else v for v in (have, want)):
                found.append(f"{kind} {key}: counts {have} are kept, {want} are true")
    for cluster_arn, fleet in store.derived.fleets.items():
        if fleet.values() != fresh.fleet(cluster_arn).values():
            found.append(f"{cluster_arn}: the fleet's counts of task groups and ports are wrong")
    return found
