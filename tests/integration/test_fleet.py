"""A small fleet over real sockets: every task becomes RUNNING, and the figures are all there."""

from pathlib import Path

import uvloop

from homeport.bench.fleet import measure_fleet
from homeport.bench.restart import measure_restart


def test_a_fleet_brings_every_task_to_running_over_real_sockets() -> None:
    said: list[str] = []

    result = uvloop.run(measure_fleet(instances=4, tasks=60, progress=said.append))

    assert (result.instances, result.tasks) == (4, 60)
    assert sum(result.latency_ms.values()) == 60
    assert result.scheduled_per_second >= result.running_per_second > 0
    assert result.server_peak_rss_mib > 0
    assert said[-1].startswith("60 tasks scheduled")


def test_the_server_of_a_fleet_is_profiled_without_the_machines_folders(tmp_path: Path) -> None:
    uvloop.run(measure_fleet(instances=2, tasks=200, progress=lambda _: None, profile=tmp_path))

    collapsed = (tmp_path / "fleet-server.collapsed.txt").read_text()
    assert "homeport/engine/engine:Engine.call" in collapsed
    assert str(Path.cwd()) not in collapsed
    assert (tmp_path / "fleet-server.svg").read_text().startswith("<svg")


def test_a_killed_server_answers_again_and_knows_every_task() -> None:
    result = uvloop.run(measure_restart(instances=2, tasks=40, progress=lambda _: None, restarts=1))

    assert result.tasks == 40
    assert 0 < result.median_seconds < 30
    assert result.data_mib > 0
