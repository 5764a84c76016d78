"""What the gateway takes from agents and sends to them before it says no: times and numbers.

The size of one frame is the listening socket's (`server.limits`) and the wire's own
(`wire.agent_messages.frames.MAX_FRAME_BYTES`).
"""

import msgspec

KIB = 1024
MIB = 1024 * KIB


class GatewayLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Every limit of the gateway, with its unit.

    Amazon's agent drops a socket on which nothing arrived for one to two minutes, so heartbeats
    go at least every 30 s. A payload that isn't acknowledged is built anew and sent again after
    `payload_resend_ms`, then after twice as long, up to `payload_resend_max_ms`.

    A payload of ten tasks stays below the size of a frame even when every task definition has its
    64 KiB, all of it quotation marks that JSON text inside JSON text writes as four characters.
    """

    heartbeat_interval_ms: int = 30_000
    agent_silence_ms: int = 90_000
    tasks_per_payload: int = 10
    unacknowledged_payloads: int = 64
    payload_resend_ms: int = 15_000
    payload_resend_max_ms: int = 300_000
    stop_candidates: int = 10_000
    outbox_frames: int = 2_000
    outbox_bytes: int = 16 * MIB
    connections: int = 10_000
    connections_per_instance: int = 4
    metrics_instances: int = 10_000
    metrics_tasks: int = 50_000
    stop_grace_s: float = 2.0
