"""`homeport bench placement` on fleets so small that it takes no time: every mix does its work."""

import importlib.util
import json

import msgspec
import pytest
from typer.testing import CliRunner

from homeport.bench.placement import measure_memory, measure_placement
from homeport.bench.placement_mixes import MIXES
from homeport.bench.placement_moto import measure_moto
from homeport.cli.main import app


@pytest.mark.parametrize("name", sorted(MIXES))
def test_a_mix_places_all_its_tasks(name: str):
    mix = msgspec.structs.replace(MIXES[name], batch=min(MIXES[name].batch, 20))
    found = measure_placement(mix, instances=200, tasks=100, with_baseline=False)
    assert found.placed == 100
    assert found.placements_per_second > 0


def test_the_baseline_stands_beside():
    found = measure_placement(MIXES["member-of"], instances=30, tasks=30, with_baseline=True)
    assert found.ratio is not None
    assert found.ratio > 0


def test_moto_stands_beside_mixes_that_it_can_take_where_it_is_installed():
    is_there = importlib.util.find_spec("moto") is not None
    found = measure_moto(MIXES["spread-zone"], instances=30, tasks=30)
    assert (found is not None and found > 0) is is_there
    assert measure_moto(MIXES["distinct"], instances=30, tasks=30) is None


def test_the_engine_keeps_less_than_a_kibibyte_an_instance_and_300_bytes_a_task():
    found = measure_memory(MIXES["spread-zone"], instances=2_000, tasks=4_000)
    assert found.bytes_per_instance < 1_024
    assert found.bytes_per_task < 300


def test_the_json_has_what_programs_read():
    arguments = ["bench", "placement", "--instances", "100", "--tasks", "50", "--json"]
    done = CliRunner().invoke(app, [*arguments, "--mix", "binpack-memory", "--no-baseline"])
    found = json.loads(done.stdout)
    assert found["instances"] == 100
    assert found["tasks"] == found["placed"] == 50
    assert {"seconds", "placements_per_second", "peak_rss_mib"} <= found.keys()


def test_an_unknown_mix_is_refused_by_name():
    done = CliRunner().invoke(app, ["bench", "placement", "--mix", "cocktail"])
    assert done.exit_code == 2
    assert "churn" in done.output
