"""A small fleet over real sockets: every task becomes RUNNING, and the figures are all there."""

import uvloop

from homeport.bench.fleet import measure_fleet


def test_a_fleet_brings_every_task_to_running_over_real_sockets() -> None:
    said: list[str] = []

    result = uvloop.run(measure_fleet(instances=4, tasks=60, progress=said.append))

    assert (result.instances, result.tasks) == (4, 60)
    assert sum(result.latency_ms.values()) == 60
    assert result.scheduled_per_second >= result.running_per_second > 0
    assert result.server_peak_rss_mib > 0
    assert said[-1].startswith("60 tasks RUNNING")
