"""The placement that everyone starts from: for each task, look at every instance and keep the best.

It obeys the same resources, ports, constraints and default strategies as the mixes ask for, on
plain Python objects, and keeps nothing in between. It stands beside `placement` as a yardstick.
"""

import time
from collections.abc import Callable

from homeport.bench.placement_mixes import Mix, filling_tasks, make_instances, make_requests
from homeport.core.placement.expressions import InstanceFacts, parse_expression
from homeport.core.placement.request import PlacementRequest
from homeport.model.container_instance import ContainerInstance
from homeport.model.resources import HostPort

BUDGET_S = 2.0

_Match = Callable[[InstanceFacts], bool]


class _Host:
    """One instance, with what is left of it."""

    __slots__ = ("cpu_units", "groups", "instance", "memory_mib", "ports", "zone")

    def __init__(self, instance: ContainerInstance) -> None:
        self.instance = instance
        self.zone = instance.availability_zone
        self.cpu_units = instance.resources.cpu_units
        self.memory_mib = instance.resources.memory_mib
        self.ports = {HostPort(port) for port in instance.resources.reserved_tcp_ports}
        self.groups: dict[str, int] = {}


def measure_baseline(mix: Mix, *, instances: int, tasks: int) -> float:
    """Return placements a second, measured for at most two seconds."""
    fleet = make_instances(instances, tasks)
    hosts = [_Host(instance) for instance in fleet]
    if mix.is_full:
        by_arn = {host.instance.arn: host for host in hosts}
        for task in filling_tasks(fleet):
            host = by_arn[task.container_instance_arn or ""]
            host.cpu_units -= task.resources.cpu_units
            host.memory_mib -= task.resources.memory_mib
    placed = 0
    started = time.perf_counter()
    for request in make_requests(mix, tasks):
        texts = [c.expression for c in request.constraints if c.expression is not None]
        matches = [parse_expression(text).is_match for text in texts]
        is_distinct = any(c.kind == "distinctInstance" for c in request.constraints)
        for _ in range(request.count):
            placed += _place_one(hosts, request, matches, is_distinct=is_distinct)
            if time.perf_counter() - started > BUDGET_S:
                return placed / (time.perf_counter() - started)
    return placed / (time.perf_counter() - started)


def _place_one(
    hosts: list[_Host], request: PlacementRequest, matches: list[_Match], *, is_distinct: bool
) -> bool:
    needs, group = request.resources, request.group
    is_packing = bool(request.strategies)
    zones: dict[str | None, int] = {}
    for host in hosts:
        zones[host.zone] = zones.get(host.zone, 0) + host.groups.get(group, 0)
    best: _Host | None = None
    best_key: tuple[int, int, str] | None = None
    for host in hosts:
        if host.cpu_units < needs.cpu_units or host.memory_mib < needs.memory_mib:
            continue
        if is_distinct and group in host.groups:
            continue
        if needs.host_ports and not host.ports.isdisjoint(needs.host_ports):
            continue
        if not all(name in host.instance.attributes for name in request.requires_attributes):
            continue
        if matches and not all(match(InstanceFacts(host.instance, 0)) for match in matches):
            continue
        first = host.memory_mib if is_packing else zones[host.zone]
        key = (first, host.groups.get(group, 0), host.instance.arn)
        if best_key is None or key < best_key:
            best, best_key = host, key
    if best is None:
        return False
    best.cpu_units -= needs.cpu_units
    best.memory_mib -= needs.memory_mib
    best.ports.update(needs.host_ports)
    best.groups[group] = best.groups.get(group, 0) + 1
    return True
