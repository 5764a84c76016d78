"""The address 169.254.170.2 on this machine, at which AWS SDKs look for a task's credentials.

Amazon's agent redirects it by iptables; here it is one more address of the loopback interface,
which containers reach through their bridge's gateway, without any NAT. Adding it needs the right to
administer the network (root). It stays when the agent ends, as other agents may use it.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import Final

ADDRESS: Final = "169.254.170.2"

_NEW_ADDRESS: Final = 20  # RTM_NEWADDR
_REQUEST_ACK_CREATE_EXCLUSIVE: Final = 0x1 | 0x4 | 0x200 | 0x400
_ERROR: Final = 2  # NLMSG_ERROR
_ATTRIBUTE_ADDRESS: Final = 1  # IFA_ADDRESS
_ATTRIBUTE_LOCAL: Final = 2  # IFA_LOCAL
_HOST_SCOPE: Final = 254  # RT_SCOPE_HOST
_PREFIX_BITS: Final = 32
_HEADER: Final = struct.Struct("=IHHII")
_REPLY_LIMIT_BYTES: Final = 4_096
_REPLY_TIMEOUT_S: Final = 2.0


def add_address(address: str = ADDRESS, interface: str = "lo") -> None:
    """Give the machine an address; that it has it already is fine. Raises OSError.

    The request is one netlink message (rtnetlink(7)), so that no program has to be there for it.
    """
    family = getattr(socket, "AF_NETLINK", None)
    if family is None:
        raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
    index = socket.if_nametoindex(interface)
    packed = socket.inet_aton(address)
    body = struct.pack("=BBBBI", socket.AF_INET, _PREFIX_BITS, 0, _HOST_SCOPE, index)
    for attribute in (_ATTRIBUTE_LOCAL, _ATTRIBUTE_ADDRESS):
        body += struct.pack("=HH", 4 + len(packed), attribute) + packed
    header = _HEADER.pack(
        _HEADER.size + len(body), _NEW_ADDRESS, _REQUEST_ACK_CREATE_EXCLUSIVE, 1, 0
    )
    with socket.socket(family, socket.SOCK_RAW, 0) as netlink:
        netlink.settimeout(_REPLY_TIMEOUT_S)
        netlink.bind((0, 0))
        netlink.send(header + body)
        reply = netlink.recv(_REPLY_LIMIT_BYTES)
    _, kind, _, _, _ = _HEADER.unpack_from(reply)
    if kind != _ERROR:
        raise OSError(errno.EPROTO, os.strerror(errno.EPROTO))
    (code,) = struct.unpack_from("=i", reply, _HEADER.size)
    if code and -code != errno.EEXIST:
        raise OSError(-code, os.strerror(-code))


def listen_at(address: str, port: int) -> socket.socket:
    """A listening TCP socket; raises OSError when the port is taken or the address isn't here."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen()
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener
