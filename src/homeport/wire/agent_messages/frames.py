"""Frames of the agent protocol: `{"type": NAME, "message": {...}}` as text.

`encode_frame` and `decode_frame` are the whole of it. Which message may follow which is for the
sessions in `gateway` and `agent`.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import msgspec

from homeport.wire.agent_messages import acs, tcs
from homeport.wire.agent_messages.record import FullRecord, Record

MAX_FRAME_BYTES: Final = 4 * 1024 * 1024
"""Largest frame either side accepts: a manifest of some 15,000 tasks, far above any instance."""

MAX_QUOTED_CHARACTERS: Final = 120
"""How much of a foreign text an error message quotes."""


class FrameError(ValueError):
    """A frame that can't be understood; the text says what is wrong with it."""


class UnknownMessage(msgspec.Struct, frozen=True):
    """A well-formed frame of a type this version doesn't know, e.g. from a newer peer."""

    type: str
    message: dict[str, Any]


Message: TypeAlias = Record | FullRecord | UnknownMessage

MESSAGE_TYPES: Final[dict[str, type[Record] | type[FullRecord]]] = {
    shape.__name__: shape
    for shape in (
        acs.PayloadMessage,
        acs.AckRequest,
        acs.NackRequest,
        acs.HeartbeatMessage,
        acs.HeartbeatAckRequest,
        acs.TaskManifestMessage,
        acs.TaskStopVerificationMessage,
        acs.TaskStopVerificationAck,
        acs.IAMRoleCredentialsMessage,
        acs.IAMRoleCredentialsAckRequest,
        acs.AttachTaskNetworkInterfacesMessage,
        acs.AttachInstanceNetworkInterfacesMessage,
        acs.ConfirmAttachmentMessage,
        acs.StageUpdateMessage,
        acs.PerformUpdateMessage,
        acs.CloseMessage,
        acs.ErrorMessage,
        acs.InvalidClusterException,
        acs.InvalidInstanceException,
        acs.InactiveInstanceException,
        acs.AccessDeniedException,
        acs.BadRequestException,
        acs.ServerException,
        tcs.PublishMetricsRequest,
        tcs.PublishHealthRequest,
        tcs.PublishInstanceStatusRequest,
        tcs.StartTelemetrySessionRequest,
        tcs.StopTelemetrySessionMessage,
        tcs.AckPublishMetric,
        tcs.AckPublishHealth,
        tcs.AckPublishInstanceStatus,
        tcs.ResourceValidationException,
        tcs.InvalidParameterException,
    )
}


class _Envelope(msgspec.Struct):
    type: str
    message: msgspec.Raw = msgspec.Raw(b"{}")


_ENCODER: Final = msgspec.json.Encoder()
_ENVELOPE: Final = msgspec.json.Decoder(_Envelope)
_BODY: Final[dict[str, msgspec.json.Decoder[Any]]] = {
    name: msgspec.json.Decoder(shape) for name, shape in MESSAGE_TYPES.items()
}
_ANY_OBJECT: Final = msgspec.json.Decoder(dict[str, Any])


def encode_frame(message: Message) -> str:
    """Write a message as a frame; its type is the class's name (an UnknownMessage's own)."""
    if isinstance(message, UnknownMessage):
        return _ENCODER.encode({"type": message.type, "message": message.message}).decode()
    name = type(message).__name__
    if name not in MESSAGE_TYPES:
        raise FrameError(f"{name} is a part of a message, not a message")
    return _ENCODER.encode({"type": name, "message": message}).decode()


def decode_frame(text: str | bytes) -> Message:
    """Read a frame; header lines before a blank line (telemetry) are dropped.

    Unknown members are ignored and null counts as absent; an unknown type comes back as
    UnknownMessage. Raises FrameError for anything else that isn't a frame.
    """
    body = _without_headers(text.encode() if isinstance(text, str) else text)
    if len(body) > MAX_FRAME_BYTES:
        raise FrameError(f"frame of {len(body)} bytes exceeds {MAX_FRAME_BYTES} bytes")
    try:
        envelope = _ENVELOPE.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FrameError(f"not a frame ({error}): {_quote(body)}") from error
    decoder = _BODY.get(envelope.type)
    try:
        if decoder is None:
            return UnknownMessage(envelope.type, _ANY_OBJECT.decode(envelope.message))
        return _decode_body(decoder, MESSAGE_TYPES[envelope.type], envelope.message)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FrameError(f"{_quote(envelope.type.encode())}: {error}") from error


def _decode_body(
    decoder: msgspec.json.Decoder[Any], shape: type[Record] | type[FullRecord], raw: msgspec.Raw
) -> Record | FullRecord:
    """Decode by shape; only when that fails look whether nulls were to blame."""
    try:
        message: Record | FullRecord = decoder.decode(raw)
    except msgspec.ValidationError:
        message = msgspec.convert(_without_nulls(_ANY_OBJECT.decode(raw)), shape)
    return message


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value if item is not None]
    return value


def _without_headers(frame: bytes) -> bytes:
    """Cut what stands before the blank line; JSON text itself starts with a brace at once."""
    body = frame.lstrip()
    if body.startswith(b"{"):
        return body
    for blank_line in (b"\r\n\r\n", b"\n\n"):
        _, found, rest = body.partition(blank_line)
        if found:
            return rest.lstrip()
    return body


def _quote(body: bytes) -> str:
    return repr(body[:MAX_QUOTED_CHARACTERS].decode(errors="replace"))
