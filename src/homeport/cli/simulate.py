"""`homeport simulate`: a whole cluster on virtual time, from a seed; a failure says how to see it.

The run itself is `sim.world`'s; here are its flags, and what is printed.
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
    from homeport.sim.scenario import Scenario
    from homeport.sim.world import Failure, Outcome

FRESH_SEED_BITS = 32
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
    until: Annotated[
        int | None, typer.Option(min=1, help="Stop behind this step, as a failure names it.")
    ] = None,
    trace: Annotated[bool, typer.Option("--trace", help="Print what happens, step by step.")] = (
        False
    ),
    minimise: Annotated[
        bool, typer.Option("--minimise", help="Shrink a failing scenario and print what is left.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a seed.")] = False,
) -> None:
    """Simulate a cluster with faults on virtual time, and check that what must be true is."""
    # The agent's own log would drown the report; the trace has what it says.
    logging.getLogger("homeport").setLevel(logging.CRITICAL)
    if scenario == LIST:
        _print_library()
        return
    first = secrets.randbits(FRESH_SEED_BITS) if seed is None else seed
    failed = 0
    for number in range(first, first + seeds):
        chosen = choose_scenario(scenario, number)
        started_s = time.monotonic()
        outcome = _run(chosen, number, until=until, is_shown=trace)
        _print_outcome(scenario, outcome, time.monotonic() - started_s, as_json=as_json)
        if outcome.failure is not None:
            failed += 1
            if minimise:
                _print_minimised(chosen, number, outcome.failure)
    if failed:
        raise CommandFailure(f"{failed} of {seeds} simulated seeds failed")


def choose_scenario(name: str, seed: int) -> "Scenario":
    """Return the scenario that a name stands for; raises CommandFailure."""
    from homeport.sim.generate import generate_scenario
    from homeport.sim.scenario import ScenarioError, read_scenario

    if name == MADE_UP:
        return generate_scenario(seed)
    try:
        return read_scenario(name)
    except ScenarioError as error:
        raise CommandFailure(str(error)) from error


def _run(scenario: "Scenario", seed: int, *, until: int | None, is_shown: bool) -> "Outcome":
    # Only who simulates pays for the agent's and the gateway's libraries.
    from homeport.sim.world import STEPS_LIMIT, World

    world = World(scenario, seed, typer.echo if is_shown else None)
    return world.run(STEPS_LIMIT if until is None else until)


def _print_library() -> None:
    from homeport.sim.scenario import list_scenarios, read_scenario

    for name in list_scenarios():
        typer.echo(f"{name:<18}{read_scenario(name).title}")


def _print_outcome(scenario: str, outcome: "Outcome", real_s: float, *, as_json: bool) -> None:
    if as_json:
        members = {"scenario": scenario, **msgspec.to_builtins(outcome), "real_s": real_s}
        typer.echo(msgspec.json.encode(members).decode())
        return
    verdict = "failed" if outcome.failure is not None else "ok    "
    typer.echo(
        f"seed {outcome.seed:<11}{verdict} {outcome.simulated_s:>8.0f} s simulated in "
        f"{real_s:.1f} s, {outcome.steps} steps, {outcome.commits} commits, {outcome.tasks} tasks, "
        f"journal {outcome.digest}"
    )
    failure = outcome.failure
    if failure is None:
        return
    for line in failure.lines:
        typer.echo(line)
    again = f"homeport simulate --seed {outcome.seed} --scenario {shlex.quote(scenario)}"
    typer.echo(f"\nnot true: {failure.truth}\n  {failure.text}")
    typer.echo(
        f"  seed {outcome.seed}, commit {failure.commit}, step {failure.step}, "
        f"{failure.at_s:.3f} s\n  see it: {again} --until {failure.step} --trace"
    )


def _print_minimised(scenario: "Scenario", seed: int, failure: "Failure") -> None:
    from homeport.sim.minimise import minimise
    from homeport.sim.scenario import KeptRun, render_kept_run

    smallest = minimise(
        scenario, failure.truth, lambda tried: _run(tried, seed, until=None, is_shown=False)
    )
    typer.echo(f"the smallest scenario that fails with seed {seed}; kept as a .json file it can be")
    typer.echo("run again with --scenario FILE:")
    typer.echo(render_kept_run(KeptRun(seed=seed, found=failure.truth, scenario=smallest)))
