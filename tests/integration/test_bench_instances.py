"""A few agents over real sockets, the server killed under them: every figure is there."""

import uvloop

from homeport.bench.instances import measure_instances
from homeport.bench.report import instance_lines


def test_agents_come_back_after_their_server_was_killed_and_every_figure_is_there() -> None:
    said: list[str] = []

    result = uvloop.run(measure_instances(12, said.append, seconds=1.0))

    assert (result.instances, result.sockets) == (12, 24)
    assert result.heartbeats >= result.sockets
    assert result.storm_seconds > result.restart_seconds > 0
    assert result.storm_cpu_seconds > 0
    assert 0 < result.resident_without_mib < result.resident_with_mib
    assert said[-1].startswith("killed and started again: all are back")
    assert next(line.is_met for line in instance_lines(result)) is True
