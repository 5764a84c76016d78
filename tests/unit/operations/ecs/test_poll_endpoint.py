"""DiscoverPollEndpoint."""

import pytest

from builders import SCOPE, at, make_store
from homeport.api import ecs
from homeport.operations.context import CallContext
from homeport.operations.ecs.poll_endpoint import discover_poll_endpoint
from homeport.state.view import View


@pytest.mark.parametrize("endpoint", ["http://10.0.0.1:4566", "http://10.0.0.1:4566/"])
def test_agents_are_told_to_connect_where_they_reached_the_server(endpoint):
    context = CallContext(scope=SCOPE, moment=at(), endpoint=endpoint)
    request = ecs.DiscoverPollEndpointRequest(cluster="default")
    reply = discover_poll_endpoint(View(make_store()), request, context).reply
    assert reply.endpoint == "http://10.0.0.1:4566/acs/"
    assert reply.telemetry_endpoint == "http://10.0.0.1:4566/tcs/"
    assert reply.service_connect_endpoint == "http://10.0.0.1:4566/sc/"
