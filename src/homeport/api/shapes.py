"""What generated shapes rest on: the struct base, number types, the description of an operation.

No shape of any AWS service is written by hand here; those are in the generated modules.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

INTEGER_MIN = -(2**31)
INTEGER_MAX = 2**31 - 1
LONG_MIN = -(2**63)
LONG_MAX = 2**63 - 1

Integer = Annotated[int, msgspec.Meta(ge=INTEGER_MIN, le=INTEGER_MAX)]
Long = Annotated[int, msgspec.Meta(ge=LONG_MIN, le=LONG_MAX)]


class Shape(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """A structure of an AWS service model; a member that is None is absent on the wire.

    Shapes are trees and never hold a cycle, so the garbage collector need not look at them.
    """


class OperationModel(msgspec.Struct, frozen=True, kw_only=True):
    """One public operation: its AWS name, our function's name, its shapes and modelled errors."""

    name: str
    snake_name: str
    input_type: type[Shape]
    output_type: type[Shape]
    is_read_only: bool
    errors: tuple[type[Exception], ...]
