"""Where a process spends its processor time: stacks, sampled by a timer that counts such time.

Every thread's stack is credited with what its own clock says it has used since the last sample, so
that each weighs what it costs. C code counts for the Python function that called
it. Pictures of it are `flame_graph`'s work.
"""

import contextlib
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from types import CodeType, FrameType

INTERVAL_S = 0.002
NS_PER_US = 1_000
FRAMES_LIMIT = 200  # of one stack; deeper ones lose their outer end

Stacks = Counter[tuple[str, ...]]  # from the thread's name inwards, in microseconds
_PATH_MARKS = ("/site-packages/", "/src/", "/python3.11/")


class Sampler:
    """Samples all threads of this process; for the main thread to start and stop."""

    def __init__(self) -> None:
        self._samples: Counter[tuple[int, tuple[CodeType, ...]]] = Counter()
        self._clocks: dict[int, tuple[int, int]] = {}  # thread -> its clock, when last read
        self._names: dict[int, str] = {}
        self._main = threading.main_thread().ident or 0

    def start(self) -> None:
        """Sample from now on."""
        signal.signal(signal.SIGPROF, self._sample)
        signal.siginterrupt(signal.SIGPROF, False)  # no system call fails because of us
        self._read_clocks()
        signal.setitimer(signal.ITIMER_PROF, INTERVAL_S, INTERVAL_S)

    def stop(self) -> Stacks:
        """Sample no more; returns what was found."""
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        stacks: Stacks = Counter()
        for (thread, codes), spent_us in self._samples.items():
            labels = tuple(label_of(code) for code in codes)
            stacks[self._names.get(thread, "thread"), *labels] += spent_us
        return stacks

    def _sample(self, _number: int, frame: FrameType | None) -> None:
        spent_ns = self._read_clocks()
        main_ns = spent_ns.pop(self._main, 0)
        self._samples[self._main, _codes_of(frame)] += main_ns // NS_PER_US
        if not spent_ns:
            return
        frames = sys._current_frames()
        del frames[self._main]  # this very frame: a cycle that only the collector would free
        for thread, each_ns in spent_ns.items():
            self._samples[thread, _codes_of(frames.get(thread))] += each_ns // NS_PER_US

    def _read_clocks(self) -> dict[int, int]:
        """Return the processor time that each thread has used since this was asked last."""
        spent_ns: dict[int, int] = {}
        for thread in threading.enumerate():
            ident = thread.ident
            if ident is None:
                continue
            known = self._clocks.get(ident)
            with contextlib.suppress(OSError):  # a thread that has just ended has no clock
                clock = known[0] if known else time.pthread_getcpuclockid(ident)
                now_ns = time.clock_gettime_ns(clock)
                if known is None:
                    self._names[ident] = thread.name
                else:
                    spent_ns[ident] = now_ns - known[1]
                self._clocks[ident] = (clock, now_ns)
        return {ident: each_ns for ident, each_ns in spent_ns.items() if each_ns > 0}


@contextlib.contextmanager
def sampled() -> Iterator[Stacks]:
    """Sample while the block runs; what it yields is filled at the block's end."""
    stacks: Stacks = Counter()
    sampler = Sampler()
    sampler.start()
    try:
        yield stacks
    finally:
        stacks.update(sampler.stop())


def label_of(code: CodeType) -> str:
    """Name a function by its file within its package, without the machine's own folders."""
    path = code.co_filename
    for mark in _PATH_MARKS:
        _, found, rest = path.rpartition(mark)
        if found:
            path = rest
            break
    return f"{path.removesuffix('.py')}:{code.co_qualname}".replace(";", ",")


def collapse(stacks: Stacks) -> str:
    """Write one line a stack, frames joined by semicolons, then its weight in microseconds."""
    return "".join(f"{';'.join(stack)} {spent_us}\n" for stack, spent_us in sorted(stacks.items()))


def parse_collapsed(text: str) -> Stacks:
    """Read what `collapse` wrote."""
    stacks: Stacks = Counter()
    for line in text.splitlines():
        frames, _, spent_us = line.rpartition(" ")
        stacks[tuple(frames.split(";"))] += int(spent_us)
    return stacks


def _codes_of(frame: FrameType | None) -> tuple[CodeType, ...]:
    codes: list[CodeType] = []
    while frame is not None and len(codes) < FRAMES_LIMIT:
        codes.append(frame.f_code)
        frame = frame.f_back
    return tuple(reversed(codes))
