"""The one base of all agent messages: how attribute names meet wire names.

Absent and null members take the default; members with their default aren't written, as the Go
agent's own encoder does. Not here: any message.
"""

import msgspec


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """A shape inside a message: snake_case inside, camelCase on the wire."""


class FullRecord(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A shape whose members are always written, zeros and falses too (statistics, metadata)."""
