"""The network interface of a task that has an address of its own: names that follow from the task.

Nothing is stored of it but the address: the names are the same whenever they are asked for.
"""

import hashlib
import ipaddress

from homeport.model.arn import dashed_uuid, make_attachment_arn, short_id
from homeport.model.task import Task

_ID_DIGITS = 17


def attachment_id(task: Task) -> str:
    """Name the attachment of the interface to its task: a UUID."""
    return dashed_uuid(_digest(task, "attachment", 16))


def attachment_arn(task: Task) -> str:
    """Return the attachment's ARN."""
    return make_attachment_arn(task.cluster_arn, attachment_id(task))


def interface_id(task: Task) -> str:
    """Name the interface as EC2 names its own."""
    return f"eni-{_digest(task, 'interface', 16)[:_ID_DIGITS]}"


def mac_address(private_ip: str) -> str:
    """Return the address of the link layer that Docker gives to an IPv4 address by default."""
    octets = ipaddress.IPv4Address(private_ip).packed
    return ":".join(f"{octet:02x}" for octet in (0x02, 0x42, *octets))


def _digest(task: Task, what: str, size_bytes: int) -> str:
    text = f"{short_id(task.arn)}/{what}".encode()
    return hashlib.blake2b(text, digest_size=size_bytes).hexdigest()
