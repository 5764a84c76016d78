"""Figures of scale beside their targets, and the commands that print them."""

import json

import pytest
from typer.testing import CliRunner

from homeport.bench.fleet import FleetResult, histogram
from homeport.bench.restart import RestartResult
from homeport.bench.scale_lines import fleet_lines, restart_lines
from homeport.cli.main import app
from homeport.sim.scale import rates_of


def make_fleet_result(**given: object) -> FleetResult:
    usual: dict[str, object] = {
        "instances": 2,
        "tasks": 100,
        "seconds": 1.0,
        "connect_seconds": 0.1,
        "scheduled_seconds": 0.5,
        "scheduled_per_second": 3_750.0,
        "running_per_second": 1_500.0,
        "server_peak_rss_mib": 100.0,
        "server_cpu_seconds": 1.0,
        "server_cpu_us_per_task": 10_000.0,
        "latency_median_ms": 1_200.0,
        "latency_p99_ms": 2_400.0,
        "report_median_ms": 100.0,
        "report_p99_ms": 200.0,
        "latency_ms": {"50": 0, "2500": 99, "more": 1},
    }
    return FleetResult(**(usual | given))


def test_times_are_counted_by_the_first_bound_that_they_stay_under():
    counts = histogram([0.01, 0.05, 0.051, 59.0, 61.0])
    assert (counts["50"], counts["100"], counts["60000"], counts["more"]) == (2, 1, 1, 1)
    assert sum(counts.values()) == 5


def test_a_fleet_meets_both_rates_or_says_which_it_missed():
    assert [line.is_met for line in fleet_lines(make_fleet_result())][:2] == [True, True]
    slow = make_fleet_result(scheduled_per_second=3_749.0)
    assert [line.is_met for line in fleet_lines(slow)][:2] == [False, True]
    late = [line.what for line in fleet_lines(slow) if "not before" in line.what]
    assert late == ["RUNNING within 2.5 s, not before", "RUNNING later, not before"]


def test_a_restart_of_five_seconds_is_too_slow():
    found = RestartResult(
        instances=1,
        tasks=10,
        data_mib=1.0,
        seconds_to_answer=[4.0, 5.0, 6.0],
        median_seconds=5.0,
        server_peak_rss_mib=50.0,
    )
    (line, *_) = restart_lines(found)
    assert line.is_met is False
    assert line.beside == "each time: 4.00, 5.00, 6.00 s"


def test_rates_are_between_marks():
    assert rates_of([(0, 1.0), (10, 2.0), (40, 4.0)]) == [10.0, 15.0]


@pytest.mark.parametrize("as_json", [True, False])
def test_scale_prints_the_rate_of_each_part(as_json: bool):
    arguments = ["bench", "scale", "--instances", "5", "--services", "10", "--tasks", "100"]
    done = CliRunner().invoke(app, [*arguments, *(["--json"] if as_json else [])])
    assert done.exit_code == 0, done.output
    if as_json:
        found = json.loads(done.stdout)
        assert len(found["rates_per_second"]) == 10
        assert {"last_to_first", "bytes_per_task", "tasks", "seconds"} <= found.keys()
    else:
        assert "tasks 90 to 100" in done.stdout


def test_scale_writes_its_flame_graph_when_asked_to(tmp_path):
    arguments = ["bench", "scale", "--instances", "5", "--services", "10", "--tasks", "1000"]
    done = CliRunner().invoke(app, [*arguments, "--profile", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "homeport/sim/scale:ScaleRun.run" in (tmp_path / "scale.collapsed.txt").read_text()


def test_commits_is_a_command_with_worlds_of_its_own():
    sizes = ["--tasks", "10", "--tasks", "20"]
    arguments = ["bench", "commits", "--instances", "3", "--rounds", "2", "--json", *sizes]
    found = json.loads(CliRunner().invoke(app, arguments).stdout)
    assert {cost["tasks"] for cost in found["costs"]} == {10, 20}
    assert found["growth"].keys() == {cost["change"] for cost in found["costs"]}
