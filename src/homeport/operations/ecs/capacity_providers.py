"""Capacity providers: create, describe, update, delete, and which of them a cluster has.

Providers are those of Auto Scaling groups, and FARGATE and FARGATE_SPOT, which are always there;
Managed Instances aren't built. Homeport has no Auto Scaling groups yet: a container instance says
by an attribute whose it is (docs/fargate.md). Source: API:CreateCapacityProvider and its
neighbours; reference capacity-and-scaling §2, §3.
"""

import re
from collections.abc import Callable, Iterator

from msgspec.structs import replace

from homeport.api import ecs
from homeport.core.decision import Decision
from homeport.model.arn import Scope, make_capacity_provider_arn
from homeport.model.capacity_provider import FARGATE_PROVIDERS, CapacityProvider
from homeport.model.cluster import Cluster
from homeport.operations.context import CallContext
from homeport.operations.ecs.capacity_strategy import (
    check_provider_names,
    check_strategy,
    name_in,
)
from homeport.operations.ecs.tags import check_tags, put_tags
from homeport.operations.lookup import find_cluster
from homeport.operations.names import is_name
from homeport.operations.paging import page_size, read_token, take_page
from homeport.operations.render.capacity_providers import (
    decode_group_provider,
    encode_group_provider,
    render_capacity_provider,
    render_fargate_provider,
)
from homeport.operations.render.clusters import EVERYTHING, render_cluster
from homeport.state.changes import Change, Delete, Put, delete_of
from homeport.state.view import View

PROVIDERS_PER_DESCRIBE = 100
PROVIDERS_PER_PAGE = 10
PROVIDERS_PER_ACCOUNT = 500
_TOGGLE = ("ENABLED", "DISABLED")
_RESERVED = re.compile(r"aws|ecs|fargate", re.IGNORECASE).match
_is_group_arn = re.compile(
    r"arn:[\w-]+:autoscaling:[\w-]+:\d{12}:autoScalingGroup:[\w-]+:autoScalingGroupName/.{1,255}"
).fullmatch

# Member, lowest, highest and default value (API:ManagedScaling).
_SCALING_RANGES = (
    ("target_capacity", "targetCapacity", 1, 100, 100),
    ("minimum_scaling_step_size", "minimumScalingStepSize", 1, 10_000, 1),
    ("maximum_scaling_step_size", "maximumScalingStepSize", 1, 10_000, 10_000),
    ("instance_warmup_period", "instanceWarmupPeriod", 0, 10_000, 300),
)

_GroupProvider = ecs.AutoScalingGroupProvider | ecs.AutoScalingGroupProviderUpdate


def create_capacity_provider(
    view: View, request: ecs.CreateCapacityProviderRequest, context: CallContext
) -> Decision:
    """Create a provider of an Auto Scaling group; it is ACTIVE at once.

    Its name and its group may have no other provider.
    """
    name = _check_name(request.name)
    _refuse_managed_instances(request)
    group = request.auto_scaling_group_provider
    if group is None:
        raise ecs.InvalidParameterException("autoScalingGroupProvider cannot be empty.")
    group_arn = _check_group_arn(group.auto_scaling_group_arn)
    _refuse_taken(view, context.scope, name, group_arn)
    described = _merged(group, ecs.AutoScalingGroupProvider(auto_scaling_group_arn=group_arn))
    tags = check_tags(request.tags)
    provider = CapacityProvider(
        arn=make_capacity_provider_arn(context.scope, name),
        name=name,
        auto_scaling_group_arn=group_arn,
        is_scaling_managed=_is_scaling_managed(described),
        document=encode_group_provider(described),
        created_at_ms=context.moment.now_ms,
    )
    return Decision(
        reply=ecs.CreateCapacityProviderResponse(
            capacity_provider=render_capacity_provider(provider, tags)
        ),
        changes=(Put(provider), *put_tags(provider.arn, tags)),
    )


def describe_capacity_providers(
    view: View, request: ecs.DescribeCapacityProvidersRequest, context: CallContext
) -> Decision:
    """Describe up to 100 providers by name or ARN, or all of them, ten a page.

    FARGATE and FARGATE_SPOT come first; unknown ones are failures MISSING.
    """
    with_tags = "TAGS" in (request.include or ())
    if request.capacity_providers:
        return Decision(reply=_describe_named(view, request, context, with_tags=with_tags))
    size = page_size(request.max_results, PROVIDERS_PER_PAGE, PROVIDERS_PER_PAGE)
    only = None
    if request.cluster:
        only = find_cluster(view, context.scope, request.cluster).capacity_providers
    every = _iterate_all(view, context.scope, read_token(request.next_token))
    named = (name for name in every if only is None or name in only)
    page, token = take_page(named, size, lambda name: name)
    return Decision(
        reply=ecs.DescribeCapacityProvidersResponse(
            capacity_providers=[
                shape
                for name in page
                if (shape := _describe(view, context.scope, name, with_tags=with_tags)) is not None
            ],
            failures=[],
            next_token=token,
        )
    )


def update_capacity_provider(
    view: View, request: ecs.UpdateCapacityProviderRequest, context: CallContext
) -> Decision:
    """Change a provider's managed scaling, termination protection or draining; the rest stays."""
    provider = _find(view, request.name, context.scope)
    _refuse_managed_instances(request)
    asked = request.auto_scaling_group_provider
    if asked is None:
        raise ecs.InvalidParameterException("autoScalingGroupProvider cannot be empty.")
    described = _merged(asked, decode_group_provider(provider.document))
    updated = replace(
        provider,
        is_scaling_managed=_is_scaling_managed(described),
        document=encode_group_provider(described),
        update_status="UPDATE_COMPLETE",
    )
    return Decision(
        reply=ecs.UpdateCapacityProviderResponse(
            capacity_provider=render_capacity_provider(updated, view.tags(updated.arn))
        ),
        changes=() if updated == provider else (Put(updated),),
    )


def delete_capacity_provider(
    view: View, request: ecs.DeleteCapacityProviderRequest, context: CallContext
) -> Decision:
    """Delete a provider that no cluster has any more; it is gone at once.

    Its container instances stay, and no provider has them.
    """
    provider = _find(view, request.capacity_provider, context.scope)
    users = [c for c in view.clusters(context.scope) if provider.name in c.capacity_providers]
    if users:
        raise ecs.InvalidParameterException(
            "The capacity provider cannot be deleted because it is associated with cluster: "
            f"{users[0].name}. Remove the capacity provider from the cluster and try again."
        )
    shape = render_capacity_provider(provider, view.tags(provider.arn))
    shape.status = "INACTIVE"
    shape.update_status = "DELETE_COMPLETE"
    changes: tuple[Change, ...] = (delete_of(provider),)
    if view.tags(provider.arn):
        changes = (*changes, Delete("tags", provider.arn))
    return Decision(
        reply=ecs.DeleteCapacityProviderResponse(capacity_provider=shape), changes=changes
    )


def put_cluster_capacity_providers(
    view: View, request: ecs.PutClusterCapacityProvidersRequest, context: CallContext
) -> Decision:
    """Replace the providers of a cluster, and its default strategy; empty lists take all away.

    A provider that tasks or services use can't be dropped: ResourceInUseException.
    """
    if not request.cluster:
        raise ecs.InvalidParameterException("Cluster should not be null or empty.")
    cluster = find_cluster(view, context.scope, request.cluster)
    if request.capacity_providers is None or request.default_capacity_provider_strategy is None:
        raise ecs.InvalidParameterException(
            "capacityProviders and defaultCapacityProviderStrategy are required; they may be empty."
        )
    updated = replace(
        cluster,
        capacity_providers=check_provider_names(view, context.scope, request.capacity_providers),
        default_strategy=(),
    )
    if request.default_capacity_provider_strategy:
        strategy = check_strategy(view, updated, request.default_capacity_provider_strategy)
        updated = replace(updated, default_strategy=strategy)
    _refuse_dropped_in_use(view, cluster, updated)
    return Decision(
        reply=ecs.PutClusterCapacityProvidersResponse(
            cluster=render_cluster(view, updated, EVERYTHING)
        ),
        changes=() if updated == cluster else (Put(updated),),
    )


def _check_name(name: str | None) -> str:
    if not name:
        raise ecs.InvalidParameterException("Capacity provider name cannot be empty.")
    if not is_name(name):
        raise ecs.InvalidParameterException(
            "The specified capacity provider name is invalid. Up to 255 characters are allowed: "
            "letters (A-Z, a-z), digits, hyphens and underscores."
        )
    if _RESERVED(name):
        raise ecs.InvalidParameterException(
            f'The specified capacity provider name "{name}" is reserved. A name cannot begin with '
            '"aws", "ecs" or "fargate".'
        )
    return name


def _check_group_arn(arn: str | None) -> str:
    if not arn or _is_group_arn(arn) is None:
        raise ecs.InvalidParameterException(
            "autoScalingGroupArn must be the ARN of an Auto Scaling group, like arn:aws:autoscaling"
            ":REGION:ACCOUNT:autoScalingGroup:ID:autoScalingGroupName/NAME."
        )
    return arn


def _refuse_taken(view: View, scope: Scope, name: str, group_arn: str) -> None:
    count = 0
    for known in view.capacity_providers(scope):
        count += 1
        if known.name == name:
            raise ecs.InvalidParameterException(
                f"The specified capacity provider already exists: {name}. Use another name, or "
                "UpdateCapacityProvider."
            )
        if known.auto_scaling_group_arn == group_arn:
            raise ecs.InvalidParameterException(
                "The specified Auto Scaling group ARN is already being used by another capacity "
                f"provider: {known.name}. Specify a unique Auto Scaling group ARN and try again."
            )
    if count >= PROVIDERS_PER_ACCOUNT:
        raise ecs.LimitExceededException(
            f"An account can have at most {PROVIDERS_PER_ACCOUNT} capacity providers in a region."
        )


def _refuse_managed_instances(
    request: ecs.CreateCapacityProviderRequest | ecs.UpdateCapacityProviderRequest,
) -> None:
    if request.managed_instances_provider is not None:
        raise ecs.UnsupportedFeatureException(
            "Homeport does not support managedInstancesProvider yet: use autoScalingGroupProvider, "
            "or the capacity provider FARGATE."
        )


def _merged(
    asked: _GroupProvider, known: ecs.AutoScalingGroupProvider
) -> ecs.AutoScalingGroupProvider:
    """Lay what is asked over what is known, with AWS's defaults underneath."""
    scaling = _merged_scaling(asked.managed_scaling, known.managed_scaling)
    protection = _toggle(
        asked.managed_termination_protection or known.managed_termination_protection or "DISABLED",
        "managedTerminationProtection",
    )
    if protection == "ENABLED" and scaling.status != "ENABLED":
        raise ecs.InvalidParameterException(
            "The managed termination protection setting for the capacity provider is invalid. To "
            "enable managed termination protection for a capacity provider, enable managed scaling."
        )
    return ecs.AutoScalingGroupProvider(
        auto_scaling_group_arn=known.auto_scaling_group_arn,
        managed_scaling=scaling,
        managed_termination_protection=protection,
        managed_draining=_toggle(
            asked.managed_draining or known.managed_draining or "ENABLED", "managedDraining"
        ),
    )


def _merged_scaling(
    asked: ecs.ManagedScaling | None, known: ecs.ManagedScaling | None
) -> ecs.ManagedScaling:
    asked, known = asked or ecs.ManagedScaling(), known or ecs.ManagedScaling()
    merged = ecs.ManagedScaling(
        status=_toggle(asked.status or known.status or "DISABLED", "managedScaling.status")
    )
    for attribute, member, least, most, default in _SCALING_RANGES:
        value = getattr(asked, attribute)
        if value is None:
            value = getattr(known, attribute)
        if value is None:
            value = default
        if not least <= value <= most:
            raise ecs.InvalidParameterException(
                f"managedScaling.{member} must be between {least} and {most}, it is {value}."
            )
        setattr(merged, attribute, value)
    if (merged.minimum_scaling_step_size or 0) > (merged.maximum_scaling_step_size or 0):
        raise ecs.InvalidParameterException(
            "managedScaling.minimumScalingStepSize must not be greater than maximumScalingStepSize."
        )
    return merged


def _toggle(value: str, member: str) -> str:
    if value not in _TOGGLE:
        raise ecs.InvalidParameterException(f"{member} should be one of [ENABLED,DISABLED]")
    return value


def _is_scaling_managed(described: ecs.AutoScalingGroupProvider) -> bool:
    scaling = described.managed_scaling
    return scaling is not None and scaling.status == "ENABLED"


def _find(view: View, identifier: str | None, scope: Scope) -> CapacityProvider:
    name = name_in(scope, identifier or "")
    if name in FARGATE_PROVIDERS:
        raise ecs.InvalidParameterException(
            f"The capacity provider {name} is reserved: it can't be changed or deleted."
        )
    provider = view.capacity_provider(scope, name)
    if provider is None:
        raise ecs.InvalidParameterException(
            f"The specified capacity provider '{(identifier or '')[:255]}' was not found. Specify "
            "a valid name or ARN and try again."
        )
    return provider


def _describe_named(
    view: View,
    request: ecs.DescribeCapacityProvidersRequest,
    context: CallContext,
    *,
    with_tags: bool,
) -> ecs.DescribeCapacityProvidersResponse:
    asked = request.capacity_providers or []
    if len(asked) > PROVIDERS_PER_DESCRIBE:
        raise ecs.InvalidParameterException(
            f"A call can describe at most {PROVIDERS_PER_DESCRIBE} capacity providers, this one "
            f"names {len(asked)}."
        )
    found: list[ecs.CapacityProvider] = []
    failures: list[ecs.Failure] = []
    for name in dict.fromkeys(name_in(context.scope, identifier) for identifier in asked):
        shape = _describe(view, context.scope, name, with_tags=with_tags)
        if shape is not None:
            found.append(shape)
            continue
        arn = name
        if not name.startswith("arn:"):
            arn = make_capacity_provider_arn(context.scope, name)
        failures.append(ecs.Failure(arn=arn, reason="MISSING"))
    return ecs.DescribeCapacityProvidersResponse(capacity_providers=found, failures=failures)


def _describe(
    view: View, scope: Scope, name: str, *, with_tags: bool
) -> ecs.CapacityProvider | None:
    if name in FARGATE_PROVIDERS:
        return render_fargate_provider(scope, name)
    provider = view.capacity_provider(scope, name)
    if provider is None:
        return None
    return render_capacity_provider(provider, view.tags(provider.arn) if with_tags else ())


def _iterate_all(view: View, scope: Scope, after: str | None) -> Iterator[str]:
    """Name FARGATE and FARGATE_SPOT, then the account's own, from behind one of them."""
    if after in FARGATE_PROVIDERS or after is None:
        first = 0 if after is None else FARGATE_PROVIDERS.index(after) + 1
        yield from FARGATE_PROVIDERS[first:]
        after = None
    for provider in view.capacity_providers(scope, after):
        yield provider.name


def _refuse_dropped_in_use(view: View, cluster: Cluster, updated: Cluster) -> None:
    dropped = set(cluster.capacity_providers) - set(updated.capacity_providers)
    if not dropped:
        return
    used = {
        item.provider
        for service in view.services(cluster.arn)
        for item in service.capacity_provider_strategy
    }
    used.update(task.capacity_provider or "" for task in view.live_tasks(cluster.arn).values())
    for name in sorted(dropped & used):
        raise ecs.ResourceInUseException(
            f"The specified capacity provider {name} is in use and cannot be removed from the "
            "cluster. Stop its tasks, or move its services elsewhere, and try again."
        )


OPERATIONS: dict[str, Callable[..., Decision]] = {
    "CreateCapacityProvider": create_capacity_provider,
    "DescribeCapacityProviders": describe_capacity_providers,
    "UpdateCapacityProvider": update_capacity_provider,
    "DeleteCapacityProvider": delete_capacity_provider,
    "PutClusterCapacityProviders": put_cluster_capacity_providers,
}
