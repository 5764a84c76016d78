"""Truth: nothing is over-committed, no host port or address is held twice. Counts of its own."""

from collections import Counter
from typing import TYPE_CHECKING

from homeport.model.task import Task
from homeport.sim.violation import Violation
from homeport.state.changes import AnyRecord, Commit, Put
from homeport.state.store import Store

if TYPE_CHECKING:
    from homeport.model.resources import HostPort

TRUTH = "nothing is over-committed"


class _Held:
    def __init__(self) -> None:
        self.cpu_units = 0
        self.memory_mib = 0
        self.addresses: Counter[str] = Counter()
        self.ports: Counter[HostPort] = Counter()


class CapacityChecker:
    """Adds up what tasks hold of each container instance, apart from the store's own sums."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._held: dict[str, _Held] = {}
        for task in store.tasks:
            self._count(task, 1)

    def check(self, commit: Commit, replaced: tuple[AnyRecord | None, ...]) -> None:
        """Follow one commit, and look at the container instances that got a task by it."""
        grown: dict[str, None] = {}
        for change, old in zip(commit.changes, replaced, strict=True):
            new = change.record if isinstance(change, Put) else None
            if isinstance(old, Task):
                self._count(old, -1)
            if isinstance(new, Task):
                self._count(new, 1)
                was_there = isinstance(old, Task) and old.container_instance_arn is not None
                if not new.is_stopped and not was_there and new.container_instance_arn is not None:
                    grown[new.container_instance_arn] = None
        for arn in grown:
            self._check_instance(arn)

    def _count(self, task: Task, sign: int) -> None:
        if task.is_stopped or task.container_instance_arn is None:
            return
        held = self._held.setdefault(task.container_instance_arn, _Held())
        held.cpu_units += sign * task.resources.cpu_units
        held.memory_mib += sign * task.resources.memory_mib
        for port in task.resources.host_ports:
            held.ports[port] += sign
        if task.private_ip is not None:
            held.addresses[task.private_ip] += sign

    def _check_instance(self, arn: str) -> None:
        instance = self._store.container_instances.get(arn)
        if instance is None:
            raise Violation(TRUTH, f"a task was placed on {arn}, which doesn't exist")
        held, has = self._held[arn], instance.resources
        if held.cpu_units > has.cpu_units:
            raise Violation(TRUTH, f"{arn}: {held.cpu_units} of {has.cpu_units} CPU units")
        if held.memory_mib > has.memory_mib:
            raise Violation(TRUTH, f"{arn}: {held.memory_mib} of {has.memory_mib} MiB")
        for address, count in sorted(held.addresses.items()):
            if count > 1:
                raise Violation(TRUTH, f"{arn}: {count} tasks have the address {address}")
        reserved = {("tcp", n) for n in has.reserved_tcp_ports}
        reserved |= {("udp", n) for n in has.reserved_udp_ports}
        for port, count in sorted(held.ports.items()):
            if count > 1:
                raise Violation(TRUTH, f"{arn}: port {port.port} is held by {count} tasks")
            if count and (port.protocol, port.port) in reserved:
                raise Violation(TRUTH, f"{arn}: port {port.port} is the instance's own")
