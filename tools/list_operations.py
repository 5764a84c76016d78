"""Write docs/operations.md: every operation of the ECS model, and whether Homeport has built it."""

import sys
from pathlib import Path

from homeport.api import ecs
from homeport.operations.registry import OPERATIONS

PAGE = Path(__file__).resolve().parent.parent / "docs" / "operations.md"
INTRODUCTION = """# Operations

Every operation of the pinned ECS model ({built} of {all} are built). One that isn't answers a
`ClientException` that names it; nothing ever pretends. Members of a built operation whose feature
isn't there yet are refused by name, too; `differences.md` lists where behaviour differs from ECS.
This page is written by `make generate`.

| operation | built |
|---|---|
"""


def render() -> str:
    """Return the page's text."""
    built = sum(name in OPERATIONS for name in ecs.OPERATIONS)
    rows = [
        f"| {name} | {'yes' if name in OPERATIONS else ''} |" for name in sorted(ecs.OPERATIONS)
    ]
    return INTRODUCTION.format(built=built, all=len(ecs.OPERATIONS)) + "\n".join(rows) + "\n"


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(0 if PAGE.read_text() == render() else "docs/operations.md lags: make generate")
    PAGE.write_text(render())
