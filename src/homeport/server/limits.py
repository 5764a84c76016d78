"""What the server takes from a client before it says no: sizes, times and numbers.

Limits of ECS itself, such as items in a list, are `operations`' work.
"""

import msgspec

KIB = 1024
MIB = 1024 * KIB


class ServerLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Every limit of the HTTP server, with its unit.

    `drained_bytes` is how much of a body that is too large is read away, without keeping it, so
    that the client gets to see the answer; beyond it the connection is closed.
    """

    body_bytes: int = 1 * MIB
    drained_bytes: int = 16 * MIB
    header_bytes: int = 64 * KIB
    header_timeout_s: float = 10.0
    body_timeout_s: float = 20.0
    keep_alive_s: int = 75
    requests_in_flight: int = 1024
    connections: int = 20_000
    backlog_connections: int = 2048
    websocket_message_bytes: int = 4 * MIB
    stop_grace_s: int = 5
