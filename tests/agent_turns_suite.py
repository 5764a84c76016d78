"""In which order an agent's steps come: the same scenarios for the real runner and the simulated.

A test class inherits `TurnsSuite` and gives it `hands`, whose Engine holds starts when told to.
"""

from typing import Protocol

import msgspec
import pytest

from agent_builders import make_container, make_task
from homeport.agent import stimuli
from homeport.agent.settings import DEFAULT_CONCURRENT_STARTS
from homeport.agent.task_machine import TaskMachine
from homeport.wire.agent_messages import payload


class Hands(Protocol):
    """An agent's task machine, its hands, and an Engine that notes what it has done."""

    log: list[str]
    created: list[str]
    begun: list[str]
    """Whose start the Engine was asked for."""

    @property
    def machine(self) -> TaskMachine:
        """The task machine."""

    def tell(self, stimulus: stimuli.Stimulus) -> None:
        """Let the machine know."""

    def hold_starts(self) -> None:
        """Let containers start no more, until they are let go."""

    def let_starts_go(self) -> None:
        """Let every start come about."""

    async def settle(self) -> None:
        """Let everything happen that waits for nothing."""


def send(hands: Hands, name: str) -> payload.Task:
    task = make_task(make_container("web:1"))
    task = payload.Task(**{n: getattr(task, n) for n in task.__struct_fields__} | {"family": name})
    hands.tell(stimuli.TaskSent(task=task))
    return task


def send_stop(hands: Hands, task: payload.Task, *, may_wait: bool) -> None:
    stopped = msgspec.structs.replace(task, desired_status="STOPPED", stop_may_wait=may_wait)
    hands.tell(stimuli.TaskSent(task=stopped))


async def send_while_another_starts(hands: Hands) -> payload.Task:
    """Return a task that runs, beside one whose container is being started."""
    old = send(hands, "old")
    await hands.settle()
    hands.hold_starts()
    send(hands, "new")
    await hands.settle()
    assert hands.log == ["start old"]
    return old


async def send_crowd(hands: Hands) -> dict[str, payload.Task]:
    """Send so many tasks while starts are held that most of them wait for their turn, by name."""
    hands.hold_starts()
    names = [f"{number:02}" for number in range(3 * DEFAULT_CONCURRENT_STARTS)]
    tasks = {name: send(hands, name) for name in names}
    await hands.settle()
    assert len(hands.begun) == DEFAULT_CONCURRENT_STARTS
    return tasks


class TurnsSuite:
    """The scenarios."""

    async def test_the_stop_of_a_replaced_task_waits_for_the_start_that_is_under_way(
        self, hands: Hands
    ):
        old = await send_while_another_starts(hands)
        send_stop(hands, old, may_wait=True)
        await hands.settle()
        assert hands.log == ["start old"]
        hands.let_starts_go()
        await hands.settle()
        assert hands.log == ["start old", "start new", "stop old"]

    async def test_the_stop_of_a_replaced_task_waits_for_nobody_when_nothing_is_being_started(
        self, hands: Hands
    ):
        old = send(hands, "old")
        await hands.settle()
        send_stop(hands, old, may_wait=True)
        await hands.settle()
        assert hands.log == ["start old", "stop old"]

    async def test_a_stop_that_somebody_asked_for_waits_for_no_start(self, hands: Hands):
        old = await send_while_another_starts(hands)
        send_stop(hands, old, may_wait=False)
        await hands.settle()
        assert hands.log == ["start old", "stop old"]

    @pytest.mark.parametrize("may_wait", [True, False])
    @pytest.mark.parametrize("is_created", [True, False])
    async def test_who_waits_for_its_turn_is_given_up_when_its_task_is_stopped(
        self, hands: Hands, may_wait: bool, is_created: bool
    ):
        tasks = await send_crowd(hands)
        waiting = [name for name in tasks if name not in hands.begun]
        given_up = next(name for name in waiting if (name in hands.created) is is_created)
        send_stop(hands, tasks[given_up], may_wait=may_wait)
        await hands.settle()
        assert hands.machine.tasks[tasks[given_up].arn].has_ended()
        hands.let_starts_go()
        await hands.settle()
        started = [line for line in hands.log if line.startswith("start")]
        assert sorted(started) == [f"start {name}" for name in tasks if name != given_up]

    async def test_who_was_created_starts_before_another_is_created(self, hands: Hands):
        tasks = await send_crowd(hands)
        # Those that were created first may have left their places to as many others, to no more.
        assert len(hands.created) <= 2 * DEFAULT_CONCURRENT_STARTS
        hands.let_starts_go()
        await hands.settle()
        assert sorted(hands.log) == [f"start {name}" for name in tasks]

    async def test_a_start_that_has_begun_is_not_given_up(self, hands: Hands):
        hands.hold_starts()
        task = send(hands, "web")
        await hands.settle()
        send_stop(hands, task, may_wait=False)
        await hands.settle()
        assert not hands.machine.tasks[task.arn].has_ended()
        hands.let_starts_go()
        await hands.settle()
        assert hands.log == ["start web", "stop web"]
        assert hands.machine.tasks[task.arn].has_ended()
