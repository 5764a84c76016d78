"""Capacity providers as AWS describes them. Source: API:CapacityProvider."""

import msgspec

from homeport.api import ecs
from homeport.model.arn import Scope, make_capacity_provider_arn
from homeport.model.capacity_provider import CapacityProvider
from homeport.model.record import Tag
from homeport.operations.ecs.tags import render_tags

encode_group_provider = msgspec.json.Encoder().encode
decode_group_provider = msgspec.json.Decoder(ecs.AutoScalingGroupProvider).decode


def render_capacity_provider(
    provider: CapacityProvider, tags: tuple[Tag, ...] = ()
) -> ecs.CapacityProvider:
    """Render a provider of an Auto Scaling group."""
    return ecs.CapacityProvider(
        capacity_provider_arn=provider.arn,
        name=provider.name,
        status="ACTIVE",
        auto_scaling_group_provider=decode_group_provider(provider.document),
        update_status=provider.update_status,
        tags=render_tags(tags),
        type="EC2_AUTOSCALING",
    )


def render_fargate_provider(scope: Scope, name: str) -> ecs.CapacityProvider:
    """Render FARGATE or FARGATE_SPOT, which are always there."""
    return ecs.CapacityProvider(
        capacity_provider_arn=make_capacity_provider_arn(scope, name),
        name=name,
        status="ACTIVE",
        tags=[],
        type=name,
    )
