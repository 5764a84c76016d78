"""`homeport bench rolling` and `bench services`, so small that they take seconds."""

import json
import subprocess
import sys
from typing import Any

import pytest

pytestmark = pytest.mark.slow

LIMIT_S = 240


def bench(*arguments: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "homeport", "bench", *arguments, "--json"],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_services_are_measured_beside_a_crashing_one_and_beside_others_at_rest():
    lines = bench("services", "--tasks", "3", "--many", "4", "--seconds", "1")
    by_name = {line["what"].partition(",")[0].partition(" of ")[0]: line for line in lines}
    assert len(lines) == 5
    assert "% of a core" in by_name["server"]["homeport"]
    others = next(line for line in lines if "another service" in line["what"])
    assert others["homeport"] == "0"
    assert others["is_met"] is True


@pytest.mark.docker
def test_a_rolling_update_of_real_containers_never_has_too_few_and_stands_beside_swarm(
    docker_engine: Any,
):
    update, alone, fewest = bench("rolling", "--tasks", "3", "--rounds", "1")
    assert update["what"] == "rolling update of 3 tasks"
    assert "Docker Swarm" in update["beside"]
    assert alone["beside"].startswith("Engine calls")
    assert fewest["homeport"] == "3"
    assert fewest["is_met"] is True
