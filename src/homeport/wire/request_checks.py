"""What the JSON types alone cannot say: required members present, enumerated values known.

The tables are generated from AWS's model; from them one plan per request shape is compiled once.
Limits and meaning of values are `operations`' work, and so are members for which AWS has its own
words and which it therefore does not mark as required.
"""

import functools
import typing
from collections.abc import Callable
from operator import attrgetter
from typing import Any, Literal, NamedTuple

from homeport.api import ecs
from homeport.api.errors import AwsError
from homeport.api.shapes import OperationModel, Shape

SHOWN_VALUE_CHARS = 128

Holding = Literal["one", "list", "map"]

# Where ECS says it its own way (reference api-errors-and-limits, section 3).
SPECIFIC_MESSAGES: dict[tuple[type[Shape], str], tuple[type[AwsError], str]] = {
    (ecs.DescribeTasksRequest, "tasks"): (
        ecs.InvalidParameterException,
        "Tasks cannot be empty.",
    ),
    (ecs.DescribeContainerInstancesRequest, "container_instances"): (
        ecs.ClientException,
        "Container Instances cannot be empty.",
    ),
    (ecs.CreateServiceRequest, "service_name"): (
        ecs.InvalidParameterException,
        "Invalid service name.",
    ),
    (ecs.AwsVpcConfiguration, "subnets"): (
        ecs.InvalidParameterException,
        "subnets can not be empty.",
    ),
    (ecs.DaemonContainerDefinition, "image"): (
        ecs.ClientException,
        "Container.image should not be null or empty.",
    ),
}
ENUM_LABELS = {"LaunchType": "launch type", "SchedulingStrategy": "Scheduling strategy"}
# ECS counts one value more than its published model has.
ENUM_LISTS = {"LaunchType": "EC2,FARGATE,EXTERNAL,FMI,MANAGED_INSTANCES"}
# ECS takes these as the CLI's samples write them, too, and answers in lower case.
ENUMS_IN_CAPITALS = frozenset({"PlacementStrategyType"})
# These name the refused value itself instead of the member.
ENUMS_NAMING_THE_VALUE = frozenset({"SettingName"})
# The content of a definition is refused as ClientException, other requests as
# InvalidParameterException (reference api-errors-and-limits, end of section 3).
CLIENT_EXCEPTION_OPERATIONS = frozenset({"RegisterTaskDefinition", "RegisterDaemonTaskDefinition"})


class Fault(NamedTuple):
    """The first thing wrong with a request: where, and the unknown value unless it is missing."""

    path: str
    owner: type[Shape]
    attribute: str
    enum: str | None = None
    value: str = ""


class EnumCheck(NamedTuple):
    attribute: str
    wire_name: str
    enum: str
    values: frozenset[str]
    holding: Holding


class Plan:
    """What to look at in one shape; filled after creation, since shapes may nest themselves."""

    __slots__ = ("checks", "is_complete", "read", "required", "shape")

    def __init__(self, shape: type[Shape]) -> None:
        self.shape = shape
        self.is_complete = False
        self.required: tuple[tuple[str, str], ...] = ()
        self.checks: tuple[EnumCheck | NestedCheck, ...] = ()
        self.read: Callable[[Shape], tuple[Any, ...]] = _read_nothing  # the members to check

    @property
    def is_empty(self) -> bool:
        return not (self.required or self.checks)


class NestedCheck(NamedTuple):
    attribute: str
    wire_name: str
    holding: Holding
    plan: Plan


def check_request(operation: OperationModel, request: Shape) -> None:
    """Refuse a request that lacks a required member or has a value AWS's model does not know.

    Raises InvalidParameterException, or ClientException for the content of task definitions.
    """
    plan = _plan_for(operation.input_type)
    if plan.is_empty:
        return
    fault = _find_fault(plan, request)
    if fault is not None:
        raise _refusal(operation, fault)


def _refusal(operation: OperationModel, fault: Fault) -> AwsError:
    is_definition = operation.name in CLIENT_EXCEPTION_OPERATIONS
    refuse = ecs.ClientException if is_definition else ecs.InvalidParameterException
    if fault.enum is None:
        specific = SPECIFIC_MESSAGES.get((fault.owner, fault.attribute))
        if specific is not None:
            return specific[0](specific[1])
        return refuse(f"{fault.path} is missing.")
    if fault.enum in ENUMS_NAMING_THE_VALUE:
        label = fault.value[:SHOWN_VALUE_CHARS]
    else:
        label = ENUM_LABELS.get(fault.enum, fault.path)
    known = ENUM_LISTS.get(fault.enum) or ",".join(ecs.ENUM_VALUES[fault.enum])
    return refuse(f"{label} should be one of [{known}]")


def _find_fault(plan: Plan, shape: Shape) -> Fault | None:
    for attribute, wire_name in plan.required:
        if getattr(shape, attribute) is None:
            return Fault(wire_name, plan.shape, attribute)
    for check, value in zip(plan.checks, plan.read(shape), strict=True):
        if value is None:
            continue
        if isinstance(check, EnumCheck):
            fault = _find_enum_fault(plan, check, value)
        else:
            fault = _find_nested_fault(check, value)
        if fault is not None:
            return fault
    return None


def _find_enum_fault(plan: Plan, check: EnumCheck, value: Any) -> Fault | None:
    unknown = _find_unknown(check, value)
    if unknown is None:
        return None
    where, found = unknown
    return Fault(f"{check.wire_name}{where}", plan.shape, check.attribute, check.enum, found)


def _find_unknown(check: EnumCheck, value: Any) -> tuple[str, str] | None:
    """Find the first value outside the enumeration: where below the member, and what it is."""
    if check.holding == "one":
        return None if value in check.values else ("", value)
    if check.holding == "list":
        for index, item in enumerate(value):
            if item not in check.values:
                return f"[{index}]", item
        return None
    for key in value:
        if key not in check.values:
            return f".{key[:SHOWN_VALUE_CHARS]}", key
    return None


def _find_nested_fault(nested: NestedCheck, value: Any) -> Fault | None:
    if nested.holding == "one":
        fault = _find_fault(nested.plan, value)
        return fault and fault._replace(path=f"{nested.wire_name}.{fault.path}")
    pairs = enumerate(value) if nested.holding == "list" else value.items()
    for key, item in pairs:
        fault = _find_fault(nested.plan, item)
        if fault is not None:
            shown = str(key)[:SHOWN_VALUE_CHARS]
            return fault._replace(path=f"{nested.wire_name}[{shown}].{fault.path}")
    return None


@functools.cache
def _plan_for(shape: type[Shape]) -> Plan:
    return _compile_plan(shape, {})


def _compile_plan(shape: type[Shape], known: dict[type[Shape], Plan]) -> Plan:
    if shape in known:
        return known[shape]
    plan = known[shape] = Plan(shape)
    wire_names = dict(zip(shape.__struct_fields__, shape.__struct_encode_fields__, strict=True))
    required = ecs.REQUIRED_MEMBERS.get(shape, ())
    plan.required = tuple((attribute, wire_names[attribute]) for attribute in required)
    enums, nested = [], []
    enumerated = ecs.ENUM_MEMBERS.get(shape, {})
    for attribute, annotation in typing.get_type_hints(shape).items():
        holding, inner = _unwrap(annotation)
        wire_name = wire_names[attribute]
        if attribute in enumerated:
            enum = enumerated[attribute]
            values = frozenset(ecs.ENUM_VALUES[enum])
            if enum in ENUMS_IN_CAPITALS:
                values |= {value.upper() for value in values}
            enums.append(EnumCheck(attribute, wire_name, enum, values, holding))
        elif isinstance(inner, type) and issubclass(inner, Shape):
            below = _compile_plan(inner, known)
            # A plan still being compiled belongs to a shape that nests itself: keep it.
            if not (below.is_complete and below.is_empty):
                nested.append(NestedCheck(attribute, wire_name, holding, below))
    plan.checks = (*enums, *nested)
    plan.read = _reader_of([check.attribute for check in plan.checks])
    plan.is_complete = True
    return plan


def _reader_of(attributes: list[str]) -> Callable[[Shape], tuple[Any, ...]]:
    """Return what reads these attributes at once: one call in C, where most are absent."""
    if not attributes:
        return _read_nothing
    if len(attributes) == 1:
        read_one = attrgetter(attributes[0])
        return lambda shape: (read_one(shape),)
    return attrgetter(*attributes)


def _read_nothing(_shape: Shape) -> tuple[Any, ...]:
    return ()


def _unwrap(annotation: Any) -> tuple[Holding, Any]:
    """Take `T | None`, `list[T] | None` or `dict[str, T] | None` apart."""
    inner = next((part for part in typing.get_args(annotation) if part is not type(None)), Any)
    if typing.get_origin(inner) is list:
        return "list", typing.get_args(inner)[0]
    if typing.get_origin(inner) is dict:
        return "map", typing.get_args(inner)[1]
    return "one", inner
