"""A run killed at each of its commits, without living through its beginning each time.

The run that is left alone, the trunk, lives in a process of its own. Behind each write it forks a
branch, in which the control plane is killed there and then; what comes of it is what `--crash-at`
gives for each commit of that write.
"""

import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, Pipe
from typing import NamedTuple, NoReturn

import msgspec

from homeport.sim.world import Outcome, World

READY = b"ready"
"""What a branch says when it has nothing in common with the trunk any more."""


class BranchLostError(Exception):
    """A process of these runs ended without saying how its run went."""


class _Result(msgspec.Struct, frozen=True, array_like=True):
    """How the run that was killed behind any one of these commits went."""

    commits: list[int]
    outcome: Outcome


class _Branch(NamedTuple):
    process: int
    commit: int
    results: Connection


def run_branches(
    make_trunk: Callable[[], World], commits: Sequence[int], processes: int = 1
) -> Iterator[tuple[int, Outcome]]:
    """Give each of the commits, in order, with the outcome of the run that was killed behind it.

    The world is made, and lives, in a process of its own; `processes` branches do so at once.
    Raises BranchLostError.
    """
    results, end = Pipe(duplex=False)
    process = os.fork()
    if not process:
        results.close()
        _Trunk(make_trunk, commits, processes, end).live()
    end.close()
    wanted = deque(commits)
    try:
        while wanted:
            result = msgspec.msgpack.decode(_receive(results, wanted[0]), type=_Result)
            for commit in result.commits:
                assert commit == wanted.popleft(), result.commits
                yield commit, result.outcome
    finally:
        results.close()
        if wanted:
            os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)


class _Trunk:
    """The process that forks the branches off, and passes on what comes of them, in order."""

    def __init__(
        self,
        make_world: Callable[[], World],
        commits: Sequence[int],
        processes: int,
        results: Connection,
    ) -> None:
        self._make_world = make_world
        self._waiting = deque(commits)
        self._processes = processes
        self._results = results
        self._branches: deque[_Branch] = deque()

    def live(self) -> NoReturn:
        """Live through the run, in this process and in that of each branch."""
        # Whoever breaks it off gets no traceback of every process.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        status = 1
        try:
            world = self._world = self._make_world()
            world.observe_durable(self._branch_off)
            outcome = world.run()
            while self._branches:
                self._pass_on()
            if self._waiting:  # a branch, or commits that no write of the trunk came behind
                self._tell(list(self._waiting), outcome)
            status = 0
        finally:
            os._exit(status)

    def _branch_off(self, sequence: int) -> None:
        """Commits up to this one are durable: fork a branch, unless none of them is asked for."""
        commits: list[int] = []
        while self._waiting and self._waiting[0] <= sequence:
            commits.append(self._waiting.popleft())
        if not commits:
            return
        results, end = Pipe(duplex=False)
        forked_s = time.process_time()
        process = os.fork()
        if not process:
            self._results, self._waiting, self._branches = end, deque(commits), deque()
            self._world.observe_durable(_go_on)
            self._world.branch_here(forked_s)
            end.send_bytes(READY)
            return
        end.close()
        self._branches.append(_Branch(process, commits[0], results))
        _receive(results, commits[0])
        while len(self._branches) >= self._processes:
            self._pass_on()

    def _pass_on(self) -> None:
        """Wait for the oldest branch, and hand on what came of it."""
        branch = self._branches.popleft()
        self._results.send_bytes(_receive(branch.results, branch.commit))
        branch.results.close()
        os.waitpid(branch.process, 0)

    def _tell(self, commits: list[int], outcome: Outcome) -> None:
        self._results.send_bytes(msgspec.msgpack.encode(_Result(commits, outcome)))


def _go_on(_sequence: int) -> None:
    """Nothing branches off a branch."""


def _receive(results: Connection, commit: int) -> bytes:
    try:
        return results.recv_bytes()
    except EOFError as error:
        raise BranchLostError(
            f"the process that lives through the run killed at commit {commit} has ended"
        ) from error
