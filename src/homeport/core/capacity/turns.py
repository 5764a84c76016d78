"""Turns: a big task that others keep passing over gets a container instance for itself.

Small tasks don't wait behind a big one, so that without this rule it might wait for ever while
they come and go. What has waited for a minute without anything of it being placed gets its turn:
one container instance of the cluster is kept free of others' new tasks until it has its place, for
ten minutes at most. A cluster has one turn at a time, and a minute's pause after one that was in
vain. docs/placement.md tells it to users.
"""

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from homeport.core.decision import Moment
from homeport.core.effects import Effect, WakeAt
from homeport.core.placement.kept_instance import choose_instance_to_keep
from homeport.core.placement.request import PlacementRequest
from homeport.model.cluster import Cluster, KeptInstance
from homeport.state.changes import Change, Put
from homeport.state.view import View

TURN_AFTER_S = 60
TURN_S = 600


class Waiting(msgspec.Struct, frozen=True, gc=False):
    """A service or a task that finds no room, since when, and what it asks of placement."""

    arn: str
    since_ms: int
    request: PlacementRequest


class TurnStep(msgspec.Struct, frozen=True, kw_only=True):
    """What one look does about its cluster's turn."""

    changes: tuple[Change, ...] = ()
    effects: tuple[Effect, ...] = ()
    was_in_vain: bool = False  # the turn ended without a place for whoever had it


NO_STEP = TurnStep()


def next_turn(
    view: View,
    cluster: Cluster,
    waiting: Sequence[Waiting],
    *,
    look_arn: str,
    has_turn: bool,
    moment: Moment,
) -> TurnStep:
    """Begin, go on with or end the cluster's turn, as far as it is this look's business.

    `waiting` are those for which this look speaks, the oldest first; `has_turn` says whether the
    turn is one's of theirs, or was until now. `look_arn` is woken when there is more to do.
    """
    kept = cluster.kept
    if kept is not None and kept.for_arn is not None:
        if not has_turn:
            return NO_STEP
        return _go_on(view, cluster, waiting, look_arn=look_arn, moment=moment)
    pause_ends_ms = 0 if kept is None else kept.until_ms + TURN_AFTER_S * 1_000
    in_vain_arn = None if kept is None else kept.container_instance_arn
    for each in waiting:
        due_ms = max(each.since_ms + TURN_AFTER_S * 1_000, pause_ends_ms)
        if moment.now_ms < due_ms:
            return TurnStep(effects=(WakeAt(due_ms, look_arn),))
        chosen = choose_instance_to_keep(view, each.request, in_vain_arn)
        if chosen is not None:
            until_ms = moment.now_ms + TURN_S * 1_000
            begun = KeptInstance(chosen, each.arn, until_ms)
            return TurnStep(
                changes=(Put(replace(cluster, kept=begun)),),
                effects=(WakeAt(until_ms, look_arn),),
            )
    return NO_STEP


def _go_on(
    view: View,
    cluster: Cluster,
    waiting: Sequence[Waiting],
    *,
    look_arn: str,
    moment: Moment,
) -> TurnStep:
    kept = cluster.kept
    assert kept is not None, cluster.arn
    # This look took the instance for another's: what it speaks for may find room there now.
    again = WakeAt(moment.now_ms, look_arn)
    if not any(each.arn == kept.for_arn for each in waiting):
        return TurnStep(changes=(Put(replace(cluster, kept=None)),), effects=(again,))
    instance = view.container_instance(kept.container_instance_arn)
    if moment.now_ms < kept.until_ms and instance is not None and instance.is_available:
        return TurnStep(effects=(WakeAt(kept.until_ms, look_arn),))
    over = replace(kept, for_arn=None, until_ms=moment.now_ms)
    changes = (Put(replace(cluster, kept=over)),)
    return TurnStep(changes=changes, effects=(again,), was_in_vain=True)
