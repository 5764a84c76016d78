"""The operations of Homeport's own namespace that the state alone answers: all about placement."""

from homeport.operations.homeport import plan, why
from homeport.operations.registry import Operation

OPERATIONS: dict[str, Operation] = {**why.OPERATIONS, **plan.OPERATIONS}
