"""The operations of Homeport's own namespace that the state alone answers."""

from homeport.operations.homeport import explain_services, plan, why
from homeport.operations.registry import Operation

OPERATIONS: dict[str, Operation] = {
    **why.OPERATIONS,
    **plan.OPERATIONS,
    **explain_services.OPERATIONS,
}
