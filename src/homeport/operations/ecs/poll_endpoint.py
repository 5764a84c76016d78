"""DiscoverPollEndpoint: where an agent opens its sockets."""

from collections.abc import Callable

from homeport.api import ecs
from homeport.core.decision import Decision
from homeport.operations.context import CallContext
from homeport.state.view import View


def discover_poll_endpoint(
    view: View, request: ecs.DiscoverPollEndpointRequest, context: CallContext
) -> Decision:
    """Tell an agent the addresses of its sockets, below the URL by which it reached the server.

    It appends `ws?…` to each; nothing is checked here, the sockets refuse strangers themselves
    (reference: container-instances §1).
    """
    base = context.endpoint.rstrip("/")
    return Decision(
        reply=ecs.DiscoverPollEndpointResponse(
            endpoint=f"{base}/acs/",
            telemetry_endpoint=f"{base}/tcs/",
            service_connect_endpoint=f"{base}/sc/",
        )
    )


OPERATIONS: dict[str, Callable[..., Decision]] = {"DiscoverPollEndpoint": discover_poll_endpoint}
