"""Addresses of tasks' network interfaces: the lowest free ones of an instance's subnet.

The subnet is the container instance's own, so that no other instance gives the same address away.
"""

import ipaddress
from collections.abc import Iterator

from homeport.model.container_instance import ContainerInstance
from homeport.state.view import View

FIRST_HOST = 4  # .0 names the net, .1 is its gateway; AWS keeps the next two for itself as well


def free_addresses(view: View, instance: ContainerInstance) -> Iterator[str]:
    """Iterate the addresses that no task of the instance holds; none if it has no subnet."""
    try:
        network = ipaddress.IPv4Network(instance.subnet or "", strict=True)
    except ValueError:
        return
    taken = {task.private_ip for task in view.tasks_of_instance(instance.arn).values()}
    first = int(network.network_address) + FIRST_HOST
    for number in range(first, int(network.broadcast_address)):
        address = str(ipaddress.IPv4Address(number))
        if address not in taken:
            yield address
