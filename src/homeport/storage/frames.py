"""What the server and its journal's writer say to each other over a socket, and how it is framed.

A frame is its length and MessagePack. The server sends turns of commits, an empty one when it
closes; the writer answers with reports. Not here: who sends what when (`sqlite`, `journal_writer`).
"""

import socket
import struct
from collections.abc import Sequence
from typing import Generic, TypeVar

import msgspec

from homeport.storage import errors
from homeport.storage.encoding import Written
from homeport.storage.errors import StorageError

READ_CHUNK_BYTES = 256 * 1024
_LENGTH = struct.Struct("<I")
_ENCODER = msgspec.msgpack.Encoder()
_KINDS = {
    kind.__name__: kind
    for kind in (
        *(errors.StorageUnavailable, errors.StorageVersionUnknown, errors.StorageCorrupt),
        *(errors.StorageRefused, errors.LeaseLost),
    )
}


class Held(msgspec.Struct, frozen=True, array_like=True, tag="held"):
    """The journal is open and this server's: what it holds may be read."""

    epoch: int


class Durable(msgspec.Struct, frozen=True, array_like=True, tag="durable"):
    """Every commit up to this one is on the disk."""

    through: int


class Refused(msgspec.Struct, frozen=True, array_like=True, tag="refused"):
    """Nothing more will be written; `kind` is a class of `storage.errors`."""

    kind: str
    message: str

    def error(self) -> StorageError:
        """Return what the server is to raise."""
        return _KINDS[self.kind](self.message)


Report = Held | Durable | Refused
Said = TypeVar("Said")

TURNS = msgspec.msgpack.Decoder(list[Written])
REPORTS: "msgspec.msgpack.Decoder[Report]" = msgspec.msgpack.Decoder(Report)


def frame(said: Sequence[Written] | Report) -> bytearray:
    """Write one frame."""
    found = bytearray(_LENGTH.size)
    _ENCODER.encode_into(said, found, _LENGTH.size)
    _LENGTH.pack_into(found, 0, len(found) - _LENGTH.size)
    return found


class FrameReader(Generic[Said]):
    """Takes whole frames out of a stream socket; what is half there at its end is dropped."""

    def __init__(self, stream: socket.socket, decoder: "msgspec.msgpack.Decoder[Said]") -> None:
        self.is_at_end = False  # of the stream; some of its frames may not be taken yet
        self._stream = stream
        self._decoder = decoder
        self._chunk = memoryview(bytearray(READ_CHUNK_BYTES))
        self._received = bytearray()
        self._taken = 0

    def receive(self) -> bool:
        """Take what the socket has by now; False when that is nothing yet."""
        try:
            size = self._stream.recv_into(self._chunk, 0, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except ConnectionResetError:  # the other end is gone, and hadn't read everything
            size = 0
        self.is_at_end = size == 0
        del self._received[: self._taken]
        self._taken = 0
        self._received += self._chunk[:size]
        return True

    def take(self) -> Said | None:
        """Return the next whole frame, if it is here."""
        start = self._taken + _LENGTH.size
        if len(self._received) < start:
            return None
        (size,) = _LENGTH.unpack_from(self._received, self._taken)
        if len(self._received) < start + size:
            return None
        self._taken = start + size
        with memoryview(self._received) as whole, whole[start : self._taken] as payload:
            return self._decoder.decode(payload)
