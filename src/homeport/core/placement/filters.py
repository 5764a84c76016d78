"""Who can't take the task, and why: one rule after the other, in ECS's order.

Agent, CPU, memory, ports, GPU, ENI, attributes, LOCATION, memberOf, distinctInstance (reference:
placement §1; reasons as RunTask's `failures` name them: task-lifecycle §8). Who is best among those
who can is `strategies`' business.
"""

import msgspec
from msgspec.structs import replace

from homeport.core.placement.candidate import Candidate
from homeport.core.placement.expressions import Expression, parse_expression
from homeport.core.placement.request import PlacementRequest, Refusal
from homeport.model.capacity_provider import FARGATE
from homeport.model.container_instance import ATTRIBUTE_AVAILABILITY_ZONE, ContainerInstance
from homeport.model.placement import Requirement
from homeport.model.resources import HostPort, TaskResources

DISTINCT_INSTANCE = "distinctInstance"
MEMBER_OF = "memberOf"

REASON_AGENT = "AGENT"
REASON_CPU = "RESOURCE:CPU"
REASON_MEMORY = "RESOURCE:MEMORY"
REASON_PORTS = "RESOURCE:PORTS"
REASON_GPU = "RESOURCE:GPU"
REASON_INTERFACES = "RESOURCE:ENI"
REASON_ATTRIBUTE = "ATTRIBUTE"
REASON_LOCATION = "LOCATION"
REASON_MEMBER_OF = "MemberOf placement constraint unsatisfied."
REASON_RESERVED = "RESOURCE:RESERVED"
REASON_DISTINCT_INSTANCE = "DistinctInstance placement constraint unsatisfied."

# In the order in which they are judged: the further an instance came, the closer it matches.
REASONS = (
    REASON_AGENT,
    REASON_CPU,
    REASON_MEMORY,
    REASON_PORTS,
    REASON_GPU,
    REASON_INTERFACES,
    REASON_ATTRIBUTE,
    REASON_LOCATION,
    REASON_MEMBER_OF,
    REASON_DISTINCT_INSTANCE,
    REASON_RESERVED,
)

ATTRIBUTE_EXTERNAL = "ecs.capability.external"

_Why = tuple[str, str]  # reason and detail


class Filters(msgspec.Struct, frozen=True):
    """A request's rules, compiled once for all container instances and all its tasks."""

    request: PlacementRequest
    expressions: tuple[Expression, ...]  # of the platform, the zones, the constraints
    needs_distinct_instance: bool

    @property
    def needs_task_groups(self) -> bool:
        """Whether a rule asks which task groups a container instance hosts."""
        return any(expression.needs_task_groups for expression in self.expressions)

    def refuse(self, candidate: Candidate, distinct_hosts: frozenset[str]) -> Refusal | None:
        """Return why this container instance can't take one more task, by the first such rule.

        `distinct_hosts` are the instances where the group had a wanted task before the call.
        """
        why = (
            _refuse_agent(candidate.instance)
            or _refuse_resources(candidate, self.request.resources)
            or _refuse_attributes(candidate.instance, self.request)
            or self._refuse_expressions(candidate)
            or self._refuse_distinct(candidate, distinct_hosts)
        )
        return None if why is None else Refusal(candidate.arn, *why)

    def _refuse_expressions(self, candidate: Candidate) -> _Why | None:
        for position, expression in enumerate(self.expressions):
            if not expression.is_match(candidate.facts()):
                return self._why_unmatched(candidate, position)
        return None

    def _why_unmatched(self, candidate: Candidate, position: int) -> _Why:
        request = self.request
        if position < len(request.platform):
            name, wanted = request.platform[position].name, request.platform[position].value
            here = candidate.instance.attributes[name]
            return REASON_ATTRIBUTE, f"has {name} {here}, the task definition is for {wanted}"
        if position < self.own_expressions:
            zones = " or ".join(request.zones)
            return REASON_LOCATION, f"isn't in {zones}, where the subnets are"
        return REASON_MEMBER_OF, f"doesn't match {self.expressions[position].text}"

    @property
    def own_expressions(self) -> int:
        """How many of the expressions are of the platform and the zones."""
        return len(self.request.platform) + bool(self.request.zones)

    def _refuse_distinct(self, candidate: Candidate, distinct_hosts: frozenset[str]) -> _Why | None:
        if not self.needs_distinct_instance:
            return None
        if candidate.placed or candidate.arn in distinct_hosts:
            return REASON_DISTINCT_INSTANCE, f"already has a task of {self.request.group}"
        return None


def compile_filters(request: PlacementRequest) -> Filters:
    """Compile a request's constraints; raises ExpressionError for an expression that isn't one.

    Fargate's tasks have their network interfaces from the pool, however many there are, and run on
    the pool's platform.
    """
    if request.launch_type == FARGATE:
        request = _as_for_the_pool(request)
    texts = [c.expression or "" for c in request.constraints if c.kind == MEMBER_OF]
    own = [_platform_expression(requirement) for requirement in request.platform]
    if request.zones:
        quoted = ", ".join(f"'{zone}'" for zone in request.zones)
        own.append(f"attribute:{ATTRIBUTE_AVAILABILITY_ZONE} in [{quoted}]")
    return Filters(
        request=request,
        expressions=tuple(map(parse_expression, (*own, *texts))),
        needs_distinct_instance=any(c.kind == DISTINCT_INSTANCE for c in request.constraints),
    )


def _as_for_the_pool(request: PlacementRequest) -> PlacementRequest:
    if not request.platform and not request.resources.interface_count:
        return request
    resources = replace(request.resources, interface_count=0)
    return replace(request, resources=resources, platform=())


def _platform_expression(requirement: Requirement) -> str:
    name, value = f"attribute:{requirement.name}", requirement.value
    return f"{name} !exists or {name} in [{value}, {value.upper()}]"


def is_suitable(instance: ContainerInstance, request: PlacementRequest) -> bool:
    """Whether an instance is of the launch type and has the attributes that are required."""
    return _refuse_attributes(instance, request) is None


def is_offered(instance: ContainerInstance, request: PlacementRequest) -> bool:
    """Whether the instance is of the capacity asked for: Fargate's local pool, or not of it."""
    return instance.is_fargate == (request.launch_type == FARGATE)


def is_asked_for(instance: ContainerInstance, request: PlacementRequest) -> bool:
    """Whether the instance is offered, and of the capacity provider that the tasks are for."""
    provider = request.capacity_provider
    return is_offered(instance, request) and provider in (None, instance.capacity_provider)


def _refuse_agent(instance: ContainerInstance) -> _Why | None:
    if instance.agent_connected:
        return None
    return REASON_AGENT, "its agent isn't connected"


def _refuse_resources(candidate: Candidate, needs: TaskResources) -> _Why | None:
    if needs.cpu_units > candidate.free_cpu_units:
        left = max(candidate.free_cpu_units, 0)
        return REASON_CPU, f"needs {needs.cpu_units} CPU units, {left} are left"
    if needs.memory_mib > candidate.free_memory_mib:
        left = max(candidate.free_memory_mib, 0)
        return REASON_MEMORY, f"needs {needs.memory_mib} MiB, {left} are left"
    held, instance = candidate.load.ports, candidate.instance
    for port in needs.host_ports:
        if candidate.placed or port in held or is_reserved(instance, port):
            return REASON_PORTS, f"needs port {port.port}/{port.protocol}, which is taken"
    if needs.gpu_count > candidate.free_gpu_count:
        left = max(candidate.free_gpu_count, 0)
        return REASON_GPU, f"needs {needs.gpu_count} GPUs, {left} are left"
    if needs.interface_count and needs.interface_count > candidate.free_interface_count:
        slots = instance.resources.interface_slots
        return REASON_INTERFACES, f"needs a network interface, all of its {slots} are in use"
    return None


def is_reserved(instance: ContainerInstance, port: HostPort) -> bool:
    """Whether a container instance keeps a port for itself."""
    registered = instance.resources
    if port.protocol == "udp":
        return port.port in registered.reserved_udp_ports
    return port.port in registered.reserved_tcp_ports


def _refuse_attributes(instance: ContainerInstance, request: PlacementRequest) -> _Why | None:
    is_external = ATTRIBUTE_EXTERNAL in instance.attributes
    if is_external != (request.launch_type == "EXTERNAL"):
        kind = "EXTERNAL" if is_external else "not EXTERNAL"
        return REASON_ATTRIBUTE, f"is {kind}, the launch type is {request.launch_type}"
    if not is_offered(instance, request):
        return REASON_ATTRIBUTE, f"is of another kind than launch type {request.launch_type}"
    for name in request.requires_attributes:
        if name not in instance.attributes:
            return REASON_ATTRIBUTE, f"has no attribute {name}"
    return None
