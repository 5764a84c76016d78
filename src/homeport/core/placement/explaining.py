"""Why a task has no place: the first rule that refuses each container instance, and the way out.

The rules are those of `filters`, in their order; instances that aren't ACTIVE, of which placement
never speaks, are told here too.
"""

from collections import Counter
from collections.abc import Iterable

import msgspec

from homeport.core.placement.expressions import parse_expression
from homeport.core.placement.filters import (
    REASON_AGENT,
    REASON_ATTRIBUTE,
    REASON_CPU,
    REASON_DISTINCT_INSTANCE,
    REASON_GPU,
    REASON_INTERFACES,
    REASON_LOCATION,
    REASON_MEMBER_OF,
    REASON_MEMORY,
    REASON_PORTS,
    REASON_RESERVED,
    REASONS,
    compile_filters,
    is_asked_for,
    is_reserved,
)
from homeport.core.placement.refusing import RESERVED_DETAIL, find_refusals
from homeport.core.placement.request import Placement, PlacementRequest, Refusal
from homeport.model.arn import short_id
from homeport.model.container_instance import ACTIVE, ContainerInstance
from homeport.state.view import View

REASON_STATUS = "STATUS"


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One container instance that takes no such task: why, how much is short, what would help."""

    instance: ContainerInstance
    remaining_cpu_units: int
    remaining_memory_mib: int
    reason: str
    detail: str
    remedy: str
    shortage: int  # in the reason's own unit; the smallest is the closest


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """How many container instances could take one more such task, and why the others can't."""

    fitting: int
    verdicts: tuple[Verdict, ...]  # the closest first


def explain(view: View, request: PlacementRequest) -> Explanation:
    """Judge each container instance that isn't INACTIVE by itself, of the capacity asked for."""
    refusals = find_refusals(view, compile_filters(request), {})
    refused = {refusal.container_instance_arn: refusal for refusal in refusals}
    verdicts = []
    fitting = 0
    for arn, instance in view.container_instances(request.cluster_arn).items():
        if not is_asked_for(instance, request):
            continue
        refusal = refused.get(arn)
        if instance.status != ACTIVE:
            refusal = Refusal(arn, REASON_STATUS, f"is {instance.status}, not ACTIVE")
        if refusal is None:
            fitting += 1
        else:
            verdicts.append(_judge(view, request, instance, refusal))
    return Explanation(fitting=fitting, verdicts=tuple(closest_first(verdicts)))


def explain_refusals(
    view: View, request: PlacementRequest, placement: Placement
) -> tuple[Verdict, ...]:
    """Add to what placement refused what would help, the closest first.

    What it placed is counted as if it were there.
    """
    placed = Counter(placement.container_instance_arns)
    verdicts = []
    for refusal in placement.refusals:
        instance = view.container_instance(refusal.container_instance_arn)
        if instance is not None:
            here = placed[instance.arn]
            verdicts.append(_judge(view, request, instance, refusal, placed=here))
    return tuple(closest_first(verdicts))


def closest_first(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Order by how far each instance came, then by how little is short."""
    ranks = {reason: rank for rank, reason in enumerate((REASON_STATUS, *REASONS))}
    return sorted(
        verdicts,
        key=lambda v: (-ranks.get(v.reason, len(ranks)), v.shortage, v.instance.arn),
    )


def _judge(
    view: View,
    request: PlacementRequest,
    instance: ContainerInstance,
    refusal: Refusal,
    *,
    placed: int = 0,
) -> Verdict:
    load = view.instance_load(instance.arn)
    has, needs = instance.resources, request.resources
    cpu_units = has.cpu_units - load.cpu_units - placed * needs.cpu_units
    memory_mib = has.memory_mib - load.memory_mib - placed * needs.memory_mib
    gpu_count = len(has.gpu_ids) - load.gpu_count - placed * needs.gpu_count
    shortages = {
        REASON_CPU: needs.cpu_units - cpu_units,
        REASON_MEMORY: needs.memory_mib - memory_mib,
        REASON_GPU: needs.gpu_count - gpu_count,
    }
    shortage = max(shortages.get(refusal.reason, 0), 0)
    return Verdict(
        instance=instance,
        remaining_cpu_units=cpu_units,
        remaining_memory_mib=memory_mib,
        reason=refusal.reason,
        detail=refusal.detail,
        remedy=_remedy(view, request, instance, refusal, shortage=shortage),
        shortage=shortage,
    )


def _remedy(
    view: View,
    request: PlacementRequest,
    instance: ContainerInstance,
    refusal: Refusal,
    *,
    shortage: int,
) -> str:
    """Say the least that would have to change for the container instance to pass this rule."""
    reason = refusal.reason
    has, needs = instance.resources, request.resources
    if reason == REASON_CPU:
        return _room_remedy(shortage, "CPU units", needs.cpu_units, has.cpu_units)
    if reason == REASON_MEMORY:
        return _room_remedy(shortage, "MiB", needs.memory_mib, has.memory_mib)
    if reason == REASON_GPU:
        return _room_remedy(shortage, "GPUs", needs.gpu_count, len(has.gpu_ids))
    if reason == REASON_MEMBER_OF:
        return _expression_remedy(request, instance)
    if reason == REASON_PORTS:
        return _port_remedy(view, request, instance)
    if reason == REASON_ATTRIBUTE:
        missing = [name for name in request.requires_attributes if name not in instance.attributes]
        if not missing:
            if request.platform:
                return "use a container instance of the task definition's runtimePlatform"
            return "use the launch type that the container instance is for"
        return f"use a container instance that has {', '.join(missing)}"
    if reason == REASON_RESERVED and refusal.detail != RESERVED_DETAIL:
        return "wait for the daemon's task, see why it doesn't start, or add a container instance"
    return {
        REASON_STATUS: "set the container instance ACTIVE again (UpdateContainerInstancesState)",
        REASON_INTERFACES: "stop a task in awsvpc, or use network mode bridge",
        REASON_LOCATION: "give a subnet of the container instance's availability zone as well",
        REASON_AGENT: "start the container instance's agent, or see why it can't connect",
        REASON_RESERVED: "wait: it is kept for ten minutes at most",
        REASON_DISTINCT_INSTANCE: "add a container instance, or leave distinctInstance out",
    }.get(reason, "")


def _room_remedy(shortage: int, unit: str, needed: int, registered: int) -> str:
    if needed > registered:
        return f"ask for at most {registered} {unit}: the container instance has no more in all"
    return f"free {shortage} {unit}, or ask for {needed - shortage} at most"


def _expression_remedy(request: PlacementRequest, instance: ContainerInstance) -> str:
    """Say what the instance has of what the expressions ask for."""
    texts = [c.expression for c in request.constraints if c.expression is not None]
    asked = sorted({name for text in texts for name in parse_expression(text).attribute_names})
    here = [
        f"{name} is {instance.attributes[name] or 'without a value'}"
        if name in instance.attributes
        else f"{name} isn't there"
        for name in asked
    ]
    found = f" ({', '.join(here)})" if here else ""
    return f"change the container instance's attributes{found}, or the expression"


def _port_remedy(view: View, request: PlacementRequest, instance: ContainerInstance) -> str:
    wanted = request.resources.host_ports
    for port in wanted:
        name = f"port {port.port}/{port.protocol}"
        if is_reserved(instance, port):
            return f"use another port than {port.port}: the container instance keeps {name}"
        for task in view.tasks_of_instance(instance.arn).values():
            if port in task.resources.host_ports:
                return f"stop task {short_id(task.arn)}, which holds {name}, or use host port 0"
    return "use host port 0"
