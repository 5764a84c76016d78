"""Port mappings on their way to the Engine and back."""

import socket

import pytest

from agent_builders import make_container
from homeport.agent.docker import find_host_ranges
from homeport.agent.ports import (
    RangeWanted,
    bind_ports,
    is_inspect_needed,
    list_bindings,
    parse_range,
)
from homeport.agent.task_state import Binding
from homeport.wire.agent_messages import payload

ADDRESS = "127.0.1.1"
DYNAMIC = payload.PortMapping(container_port=80)
FIXED = payload.PortMapping(container_port=53, host_port=5353, protocol="udp")
RANGE = payload.PortMapping(container_port_range="8000-8002", protocol="tcp")


def test_only_ports_that_the_engine_chose_need_an_inspection():
    assert is_inspect_needed(make_container("i", port_mappings=(FIXED, DYNAMIC)), "bridge")
    assert not is_inspect_needed(make_container("i", port_mappings=(FIXED,)), "bridge")
    assert not is_inspect_needed(make_container("i", port_mappings=(DYNAMIC,)), "host")


def test_bindings_are_what_the_engine_says_and_what_was_asked_for_otherwise():
    container = make_container("i", port_mappings=(DYNAMIC, FIXED))
    engine_ports = {"80/tcp": [{"HostIp": "127.0.1.1", "HostPort": "32768"}]}
    assert list_bindings(container, "bridge", ADDRESS, engine_ports) == (
        Binding(bind_ip=ADDRESS, protocol="tcp", container_port=80, host_port=32768),
        Binding(bind_ip=ADDRESS, protocol="udp", container_port=53, host_port=5353),
    )


def test_one_container_port_on_two_host_ports_gives_each_binding_once():
    twice = tuple(payload.PortMapping(container_port=80, host_port=p) for p in (8080, 8081))
    container = make_container("i", port_mappings=twice)
    bound = [{"HostIp": ADDRESS, "HostPort": str(p)} for p in (8080, 8081)]
    bindings = list_bindings(container, "bridge", ADDRESS, {"80/tcp": bound})
    assert [binding.host_port for binding in bindings] == [8080, 8081]


def test_in_host_mode_the_container_port_is_the_host_port():
    container = make_container("i", port_mappings=(DYNAMIC,))
    [binding] = list_bindings(container, "host", ADDRESS, {})
    assert (binding.bind_ip, binding.host_port) == ("0.0.0.0", 80)
    assert list_bindings(container, "none", ADDRESS, {}) == ()


def test_a_range_is_bound_port_by_port_and_reported_as_a_range():
    container = make_container("i", port_mappings=(RANGE,))
    wanted = RangeWanted("8000-8002", "tcp", 3)
    bound = bind_ports(container, ADDRESS, {wanted: 50_000})
    assert [b["HostPort"] for port in bound.values() for b in port] == ["50000", "50001", "50002"]
    [binding] = list_bindings(container, "bridge", ADDRESS, bound)
    assert binding.container_port_range == "8000-8002"
    assert binding.host_port_range == "50000-50002"
    assert binding.host_port is None


@pytest.mark.parametrize("text", ["", "a-b", "0-3", "5-4", "65535-65536", "1-2-3"])
def test_what_is_no_range_is_refused(text: str):
    with pytest.raises(ValueError, match=r"range|invalid literal"):
        parse_range(text)


def test_a_host_range_avoids_ports_in_use_and_ranges_do_not_overlap():
    other = payload.PortMapping(container_port_range="9000-9001", protocol="tcp")
    container = make_container("i", port_mappings=(RANGE, other))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 49154))
        taken.listen()
        found = find_host_ranges(container, "127.0.0.1")
    first = found[RangeWanted("8000-8002", "tcp", 3)]
    second = found[RangeWanted("9000-9001", "tcp", 2)]
    assert first > 49154
    assert second >= first + 3
