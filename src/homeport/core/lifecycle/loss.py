"""When a container instance counts as lost: its agent has been away for longer than a window.

Nothing but an agent can say whether containers still run, so a long silence is all the evidence
there is. An agent that comes back has the handshake of the gateway stop what was given up here.
Not here: how an agent connects and disconnects (`instance`).
"""

from msgspec.structs import replace

from homeport.core.decision import Decision, Moment
from homeport.core.lifecycle.orphan import orphan_task
from homeport.model.arn import short_id
from homeport.model.container_instance import ContainerInstance
from homeport.model.task import Task
from homeport.state.changes import Change, Put
from homeport.state.view import View

INSTANCES_PER_COMMIT = 16
STOP_CODE_HOST_GONE = "TerminationNotice"


def next_loss_ms(view: View, window_s: int) -> int | None:
    """Return when the next disconnected container instance counts as lost, in epoch milliseconds.

    None when none will; a window of 0 seconds means that none ever does.
    """
    if not window_s:
        return None
    instance = next(view.disconnected_instances(), None)
    return None if instance is None else _lost_at_ms(instance, window_s)


def lose_instances(view: View, window_s: int, moment: Moment) -> Decision:
    """Stop the tasks of container instances whose agents have been away for too long.

    The instances stay ACTIVE (or DRAINING) and may come back at any time with the same ARN; at
    most `INSTANCES_PER_COMMIT` at once. Stop code and reason as ECS gives them when an EC2
    instance was stopped (reference: task-lifecycle §3).
    """
    changes: list[Change] = []
    notes: list[str] = []
    for instance in view.disconnected_instances():
        is_due = _lost_at_ms(instance, window_s) <= moment.now_ms
        if not is_due or len(notes) == INSTANCES_PER_COMMIT:
            break
        tasks = [task for _, task in sorted(view.tasks_of_instance(instance.arn).items())]
        changes.extend(Put(_stop_with_host(task, instance, moment)) for task in tasks)
        lost = replace(instance, lost_at_ms=moment.now_ms, version=instance.version + 1)
        changes.append(Put(lost))
        notes.append(
            f"no word from the agent for {window_s} s, {len(tasks)} tasks stopped: {instance.arn}"
        )
    return Decision(changes=tuple(changes), notes=tuple(notes))


def _lost_at_ms(instance: ContainerInstance, window_s: int) -> int:
    return (instance.disconnected_at_ms or 0) + window_s * 1_000


def _stop_with_host(task: Task, instance: ContainerInstance, moment: Moment) -> Task:
    """End a task in the records; a stop that was asked for before keeps its own reason."""
    if task.stop_code is None:
        host = instance.ec2_instance_id or short_id(instance.arn)
        task = replace(
            task,
            stop_code=STOP_CODE_HOST_GONE,
            stopped_reason=f"Host EC2 (instance {host}) stopped.",
        )
    return orphan_task(task, moment)
