"""Which operation a request means: the `X-Amz-Target` header of AWS JSON.

Reading the request's body is `homeport.wire.json11`'s work.
"""

from homeport.api import ecs, homeport
from homeport.api.errors import UnknownOperationException
from homeport.api.shapes import OperationModel

SHOWN_TARGET_CHARS = 128

_OPERATIONS_BY_TARGET: dict[bytes, OperationModel] = {
    f"{service.TARGET_PREFIX}.{name}".encode(): operation
    for service in (ecs, homeport)
    for name, operation in service.OPERATIONS.items()
}


def find_operation(target: bytes | None) -> OperationModel:
    """Find the operation an `X-Amz-Target` header names.

    Takes the raw header value, or None when there is none; refuses with UnknownOperationException.
    Source: reference api-errors-and-limits, section 1.
    """
    if target is None:
        raise UnknownOperationException(
            f"The request has no X-Amz-Target header; send {ecs.TARGET_PREFIX}.<Operation>."
        )
    operation = _OPERATIONS_BY_TARGET.get(target)
    if operation is None:
        shown = target[:SHOWN_TARGET_CHARS].decode("ascii", "replace")
        raise UnknownOperationException(f"{shown} is not an operation of Amazon ECS or Homeport.")
    return operation
