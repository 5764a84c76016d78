"""`homeport simulate`: a whole cluster on virtual time, from a seed; a failure says how to see it.

The runs themselves are `sim.world`'s and `sim.batch`'s; here are flags, and what is printed.
"""

import logging
import secrets
import shlex
import time
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from homeport.cli.failure import CommandFailure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from homeport.sim.batch import Job
    from homeport.sim.world import Failure, Outcome

FRESH_SEED_BITS = 32
PROGRESS_S = 10.0
"""How often whoever waits for many runs hears how far they are."""
MADE_UP = "made-up"
LIST = "list"


def simulate(
    *,
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="The seed of the run; a fresh one when it is left out."),
    ] = None,
    scenario: Annotated[
        str,
        typer.Option(
            metavar="NAME|FILE",
            help="A scenario of the library (`list` shows them), a .toml file, a kept run's .json "
            "file, or `made-up`: another one for each seed.",
        ),
    ] = MADE_UP,
    seeds: Annotated[
        int, typer.Option(min=1, help="How many seeds to run, counting up from --seed.")
    ] = 1,
    jobs: Annotated[int, typer.Option(min=1, help="How many processes to run them in.")] = 1,
    crash_at: Annotated[
        int | None,
        typer.Option(min=1, help="Kill the control plane right behind this commit, once."),
    ] = None,
    each_commit: Annotated[
        bool,
        typer.Option("--each-commit", help="Run each seed once for each commit to be killed at."),
    ] = False,
    stride: Annotated[
        int, typer.Option(min=1, help="With --each-commit: only at each so many-th of them.")
    ] = 1,
    until: Annotated[
        int | None, typer.Option(min=1, help="Stop behind this step, as a failure names it.")
    ] = None,
    trace: Annotated[bool, typer.Option("--trace", help="Print what happens, step by step.")] = (
        False
    ),
    minimise: Annotated[
        bool, typer.Option("--minimise", help="Shrink a failing scenario and print what is left.")
    ] = False,
    failures_only: Annotated[
        bool, typer.Option("--failures", help="Print the runs that fail, and the sum of all.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a run.")] = False,
) -> None:
    """Simulate a cluster with faults on virtual time, and check it."""
    # The agent's own log would drown the report; the trace has what it says.
    logging.getLogger("homeport").setLevel(logging.CRITICAL)
    if scenario == LIST:
        _print_library()
        return
    first = secrets.randbits(FRESH_SEED_BITS) if seed is None else seed
    total = _Total(scenario)
    for job, outcome in _outcomes(
        total,
        range(first, first + seeds),
        jobs=jobs,
        crash_at=crash_at,
        stride=stride if each_commit else None,
        until=until,
        trace=trace,
    ):
        total.add(outcome)
        if outcome.failure is not None or not failures_only:
            _print_outcome(job, outcome, as_json=as_json)
        if outcome.failure is not None and minimise:
            _print_minimised(job, outcome.failure)
    if total.runs > 1 and not as_json:
        typer.echo(f"{scenario}: {total.runs} runs from seed {first}, {total.describe()}")
    if total.failed:
        raise CommandFailure(f"{total.failed} of {total.runs} simulated runs failed")


class _Total:
    """What all runs of one call come to, and how far they are."""

    def __init__(self, scenario: str) -> None:
        self.scenario = scenario
        self.wanted = 0
        self.runs = 0
        self.failed = 0
        self.simulated_s = 0.0
        self._started_s = self._told_s = time.monotonic()

    def add(self, outcome: "Outcome") -> None:
        """Count one run in; now and then say how far they are."""
        self.runs += 1
        self.failed += outcome.failure is not None
        self.simulated_s += outcome.simulated_s
        now_s = time.monotonic()
        if now_s - self._told_s >= PROGRESS_S and self.runs < self.wanted:
            self._told_s = now_s
            typer.echo(self.progress(now_s - self._started_s), err=True)

    def progress(self, real_s: float) -> str:
        """Say how many runs are over after so many seconds, and how long the others will take."""
        left_s = real_s / self.runs * (self.wanted - self.runs)
        left = f"{left_s / 60:.0f} min" if left_s >= 90 else f"{left_s:.0f} s"
        return (
            f"{self.scenario}: {self.runs} of {self.wanted} runs, {self.failed} failed, "
            f"{left} to go"
        )

    def describe(self) -> str:
        """How much was simulated, how long that took, and what came of it."""
        real_s = time.monotonic() - self._started_s
        return f"{self.simulated_s:.0f} s simulated in {real_s:.1f} s, {self.failed} failed"


def _outcomes(
    total: _Total,
    seeds: range,
    *,
    jobs: int,
    crash_at: int | None,
    stride: int | None,
    until: int | None,
    trace: bool,
) -> "Iterator[tuple[Job, Outcome]]":
    """Run every seed, or with a stride each seed killed at commits so far apart.

    Who looks on, up to a step or at the trace, does so in this process.
    """
    # Only who simulates pays for the agent's and the gateway's libraries.
    from homeport.sim.batch import Job, crashes_at_each_commit, run_crashes, run_jobs
    from homeport.sim.scenario import ScenarioError

    scenario = total.scenario
    try:
        if stride is None:
            wanted = [[Job(scenario, seed, crash_at) for seed in seeds]]
        else:
            wanted = [crashes_at_each_commit(scenario, seed, stride) for seed in seeds]
        total.wanted = sum(map(len, wanted))
        for each in wanted:
            if until is not None or trace:
                yield from _see(each, until, is_shown=trace)
            elif stride is None:
                yield from run_jobs(each, jobs)
            else:
                yield from run_crashes(each, jobs)
    except ScenarioError as error:
        raise CommandFailure(str(error)) from error


def _see(
    jobs: "list[Job]", until: int | None, *, is_shown: bool
) -> "Iterator[tuple[Job, Outcome]]":
    from homeport.sim.batch import choose_scenario
    from homeport.sim.world import STEPS_LIMIT, World

    for job in jobs:
        chosen = choose_scenario(job.scenario, job.seed)
        show = typer.echo if is_shown else None
        world = World(chosen, job.seed, show, crash_at=job.crash_at)
        yield job, world.run(STEPS_LIMIT if until is None else until)


def _print_library() -> None:
    from homeport.sim.scenario import list_scenarios, read_scenario

    names = list_scenarios()
    width = max(map(len, names))
    for name in names:
        typer.echo(f"{name:<{width}}  {read_scenario(name).title}")


def _print_outcome(job: "Job", outcome: "Outcome", *, as_json: bool) -> None:
    if as_json:
        members = {"scenario": job.scenario, **msgspec.to_builtins(outcome)}
        typer.echo(msgspec.json.encode(members).decode())
        return
    verdict = "failed" if outcome.failure is not None else "ok    "
    rate = outcome.simulated_s / max(outcome.real_s, 0.001)
    typer.echo(
        f"seed {outcome.seed:<11}{verdict} {outcome.simulated_s:>8.0f} s simulated, {rate:>6.0f} a "
        f"second, {outcome.steps} steps, {outcome.commits} commits, {outcome.tasks} tasks, "
        f"journal {outcome.digest}"
    )
    failure = outcome.failure
    if failure is None:
        return
    for line in failure.lines:
        typer.echo(line)
    typer.echo(f"\nnot true: {failure.truth}\n  {failure.text}")
    typer.echo(
        f"  seed {outcome.seed}, commit {failure.commit}, step {failure.step}, "
        f"{failure.at_s:.3f} s\n  see it: {_command(job)} --until {failure.step} --trace"
    )


def _command(job: "Job") -> str:
    crash = "" if job.crash_at is None else f" --crash-at {job.crash_at}"
    return f"homeport simulate --scenario {shlex.quote(job.scenario)} --seed {job.seed}{crash}"


def _print_minimised(job: "Job", failure: "Failure") -> None:
    from homeport.sim.batch import choose_scenario
    from homeport.sim.minimise import minimise
    from homeport.sim.scenario import KeptRun, Scenario, render_kept_run
    from homeport.sim.world import World

    def run(tried: Scenario) -> "Outcome":
        return World(tried, job.seed, crash_at=job.crash_at).run()

    smallest = minimise(choose_scenario(job.scenario, job.seed), failure.truth, run)
    kept = KeptRun(
        seed=job.seed, crash_at=job.crash_at, found=failure.truth, scenario=smallest
    )
    typer.echo(f"the smallest scenario that fails with seed {job.seed}; kept as a .json file it")
    typer.echo("can be run again with --scenario FILE:")
    typer.echo(render_kept_run(kept))
