"""Every operation of the model is answered or listed as not built; none has another name."""

import subprocess
import sys
from pathlib import Path

from homeport.api import ecs
from homeport.operations.registry import OPERATIONS

ROOT = Path(__file__).resolve().parents[2]


def test_every_built_operation_is_one_of_the_models_and_is_named_like_it() -> None:
    for name, operation in OPERATIONS.items():
        assert operation.__name__ == ecs.OPERATIONS[name].snake_name


def test_the_list_of_operations_is_up_to_date() -> None:
    command = [sys.executable, "tools/list_operations.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
