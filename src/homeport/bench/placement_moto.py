"""The placement of moto, the other scheduler behind the ECS API that runs here, in process.

It takes the first container instance with room for CPU, memory and TCP ports; it knows no
strategies and no constraints (`moto/ecs/models.py` says so itself), so it stands for its speed only
beside mixes without constraints and ports. Each of its placements includes its record of the task.
"""

import importlib
import importlib.util
import time
from typing import Any

from homeport.bench.placement_mixes import CLUSTER, NEEDS, SCOPE, Mix, make_instances, make_requests
from homeport.model.container_instance import ContainerInstance

BUDGET_S = 4.0
FAMILY = "bench"


def measure_moto(mix: Mix, *, instances: int, tasks: int) -> float | None:
    """Return placements a second of the same tasks on the same fleet, for at most four seconds.

    None for mixes that it can't take, or if moto isn't installed (`make bench` installs it).
    """
    is_plain = mix.constraints == ((),) and not (mix.has_ports or mix.is_full or mix.in_flight)
    if not is_plain or importlib.util.find_spec("moto") is None:
        return None
    backend = _make_backend(instances, tasks)
    placed = 0
    started = time.perf_counter()
    for request in make_requests(mix, tasks):
        placed += len(
            backend.run_task(
                cluster_str=CLUSTER,
                task_definition_str=FAMILY,
                count=request.count,
                overrides=None,
                started_by="",
                tags=None,
                launch_type="EC2",
            )
        )
        if time.perf_counter() - started > BUDGET_S:
            break
    return placed / (time.perf_counter() - started)


class _Host:
    """A container instance as moto's placement reads and changes it, without an EC2 instance."""

    def __init__(self, instance: ContainerInstance) -> None:
        has = instance.resources
        self.container_instance_arn = instance.arn
        self.status = instance.status
        self.running_tasks_count = 0
        self.remaining_resources: list[dict[str, Any]] = [
            {"name": "CPU", "integerValue": has.cpu_units},
            {"name": "MEMORY", "integerValue": has.memory_mib},
            {"name": "PORTS", "stringSetValue": [str(port) for port in has.reserved_tcp_ports]},
        ]


def _make_backend(instances: int, tasks: int) -> Any:
    models: Any = importlib.import_module("moto.ecs.models")
    backend = models.EC2ContainerServiceBackend(SCOPE.region, SCOPE.account_id)
    backend.create_cluster(CLUSTER, [], [])
    container = {
        "name": "app",
        "image": "busybox",
        "cpu": NEEDS.cpu_units,
        "memory": NEEDS.memory_mib,
    }
    backend.register_task_definition(FAMILY, [container])
    backend.container_instances[CLUSTER] = {
        instance.arn: _Host(instance) for instance in make_instances(instances, tasks)
    }
    return backend
