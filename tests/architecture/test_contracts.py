"""The import picture holds, and nothing about this machine or its network got into the files."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from describe_settings import DOCUMENT, describe_settings

ROOT = Path(__file__).resolve().parents[2]
CHECK_TIMEOUT_S = 120


@pytest.mark.slow
def test_imports_go_downwards_only_and_every_room_has_a_floor():
    command = [Path(sys.executable).parent / "lint-imports", "--no-logo", "--no-cache"]
    checked = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=CHECK_TIMEOUT_S
    )
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("group", ["runtime", "dev", "bench"])
def test_locks_hold_hashes_for_every_package_and_name_no_index(group):
    text = (ROOT / "requirements" / f"{group}.txt").read_text()
    assert "://" not in text
    assert "--find-links" not in text
    packages = re.split(r"^(?=[a-z0-9])", text, flags=re.M)[1:]
    assert packages
    for package in packages:
        assert re.match(r"[a-z0-9._-]+==\S+ ", package), package[:80]
        assert "--hash=sha256:" in package, package[:80]


def test_every_runtime_package_is_locked_alike_for_development():
    def versions(group: str) -> dict[str, str]:
        text = (ROOT / "requirements" / f"{group}.txt").read_text()
        return dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", text, flags=re.M))

    runtime, dev = versions("runtime"), versions("dev")
    assert runtime
    assert {name: dev.get(name) for name in runtime} == runtime


def test_importing_the_package_costs_nothing():
    program = "import sys, homeport; print(len([m for m in sys.modules if 'homeport' in m]))"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30
    )
    assert loaded.stdout.strip() in ("1", "2")  # 2: the finder of an editable installation


def test_the_command_line_does_not_load_what_only_some_commands_need():
    program = "import sys, homeport.cli.main; print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30
    ).stdout.split()
    heavy = {"boto3", "botocore", "aiodocker", "aiohttp", "numpy", "uvicorn", "starlette"}
    assert heavy.isdisjoint(loaded)


def test_the_settings_are_documented_as_they_are():
    assert DOCUMENT.read_text() == describe_settings(), "run: python tools/describe_settings.py"
