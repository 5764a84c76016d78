"""`python -m homeport.bench.profiled FILE ...`: a Homeport program that is sampled until it ends.

For servers under measurement: SIGUSR1 begins a fresh profile, so that its start doesn't count; the
collapsed stacks are in FILE when it has ended. What a program does is not changed.
"""

import runpy
import signal
import sys
from pathlib import Path

from homeport.bench.sampler import Sampler, collapse


def run_profiled(output: Path, arguments: list[str]) -> None:
    """Run `homeport ARGUMENTS` in this process, and write its profile."""
    samplers = [Sampler()]

    def begin_again(*_: object) -> None:
        samplers[-1].stop()
        samplers.append(Sampler())
        samplers[-1].start()

    signal.signal(signal.SIGUSR1, begin_again)
    sys.argv = ["homeport", *arguments]
    samplers[-1].start()
    try:
        runpy.run_module("homeport", run_name="__main__")
    finally:
        output.write_text(collapse(samplers[-1].stop()))


if __name__ == "__main__":
    run_profiled(Path(sys.argv[1]), sys.argv[2:])
