"""In which availability zones the subnets of a network configuration are.

Homeport has no VPC: where a subnet is, its container instances' attributes tell.
"""

import re
from collections.abc import Sequence

import msgspec

from homeport.state.view import View

ATTRIBUTE_SUBNET_ID = "ecs.subnet-id"

_is_zone = re.compile(r"[A-Za-z0-9_.-]{1,128}").fullmatch


class _AwsVpc(msgspec.Struct, frozen=True, rename="camel"):
    subnets: tuple[str, ...] = ()


class _Network(msgspec.Struct, frozen=True, rename="camel"):
    awsvpc_configuration: _AwsVpc | None = None


class _Networked(msgspec.Struct, frozen=True, rename="camel"):
    network_configuration: _Network | None = None


_decode = msgspec.json.Decoder(_Networked).decode


def subnets_of(document: bytes) -> tuple[str, ...]:
    """Return the subnets that a document's `networkConfiguration` names; () for none."""
    network = _decode(document).network_configuration
    if network is None or network.awsvpc_configuration is None:
        return ()
    return network.awsvpc_configuration.subnets


def zones_of_subnets(view: View, cluster_arn: str, subnets: Sequence[str]) -> tuple[str, ...]:
    """Return the zones in which tasks of these subnets may be, sorted; () for any.

    A subnet of which no container instance tells (ecs.subnet-id) may be anywhere.
    """
    zone_of: dict[str, str] = {}
    for instance in view.container_instances(cluster_arn).values():
        subnet, zone = instance.attributes.get(ATTRIBUTE_SUBNET_ID), instance.availability_zone
        if subnet is not None and zone is not None and _is_zone(zone):
            zone_of[subnet] = zone
    if not all(subnet in zone_of for subnet in subnets):
        return ()
    return tuple(sorted({zone_of[subnet] for subnet in subnets}))
