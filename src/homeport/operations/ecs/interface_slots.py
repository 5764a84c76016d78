"""How many network interfaces a container instance can give to tasks in awsvpc.

One of the instance type's goes to the instance itself; a trunk has branches instead. Source:
reference networking-and-lb §2; docs.aws.amazon.com/AWSEC2/latest/UserGuide/AvailableIpPerENI.html;
docs.aws.amazon.com/AmazonECS/latest/developerguide/eni-trunking-supported-instance-types.html.
"""

import ipaddress
from collections.abc import Mapping

from homeport.model.capacity_provider import ATTRIBUTE_SUBNET

ATTRIBUTE_TRUNK = "ecs.awsvpc-trunk-id"
RESERVED_ADDRESSES = 5  # of each subnet, as AWS reserves them

# Size of an instance type: interfaces, and branches of a trunk.
_BY_SIZE = {
    "nano": (2, 0),
    "micro": (2, 0),
    "small": (3, 0),
    "medium": (3, 10),
    "large": (3, 10),
    "xlarge": (4, 20),
    "2xlarge": (4, 40),
    "4xlarge": (8, 60),
    "8xlarge": (8, 60),
    "9xlarge": (8, 60),
    "12xlarge": (8, 60),
    "16xlarge": (15, 120),
    "18xlarge": (15, 120),
    "24xlarge": (15, 120),
    "48xlarge": (15, 120),
}
_FEWER = {  # than others of their size
    "t2.xlarge": 3,
    "t2.2xlarge": 3,
    "g4dn.xlarge": 3,
    "g4dn.2xlarge": 3,
    "g4dn.4xlarge": 3,
    "g4dn.8xlarge": 4,
    "g4dn.16xlarge": 4,
    "g5.16xlarge": 8,
    "g5.48xlarge": 7,
    "p3.16xlarge": 8,
}
_WITHOUT_TRUNKS = ("t2", "t3", "t3a", "t4g")


def count_interface_slots(
    attributes: Mapping[str, str | None], instance_type: str | None
) -> int:
    """Return how many tasks in awsvpc an instance can have: 0 without a subnet for them.

    A type that isn't known, or none, leaves it to the subnet's addresses.
    """
    try:
        subnet = ipaddress.IPv4Network(attributes.get(ATTRIBUTE_SUBNET) or "")
    except ValueError:
        return 0
    addresses = max(subnet.num_addresses - RESERVED_ADDRESSES, 0)
    family, _, size = (instance_type or "").partition(".")
    known = _BY_SIZE.get(size)
    if known is None:
        return addresses
    interfaces, branches = known
    if ATTRIBUTE_TRUNK in attributes and family not in _WITHOUT_TRUNKS and branches:
        return min(branches, addresses)
    return min(_FEWER.get(f"{family}.{size}", interfaces) - 1, addresses)
