"""Where new tasks go: onto instances at once, or among those that wait for capacity.

Placement on instances is `core.placement`'s work, how those that wait get theirs `provisioning`'s.
"""

from collections.abc import Mapping, Sequence

import msgspec
from msgspec.structs import replace

from homeport.core.capacity.provisioning import (
    TASKS_PER_CLUSTER,
    on_provider,
    waits_for_capacity,
    wish_for_capacity,
)
from homeport.core.capacity.strategy import split_tasks
from homeport.core.decision import Moment
from homeport.core.placement.placing import place_tasks
from homeport.core.placement.request import PlacementRequest, Refusal
from homeport.model.capacity_provider import FARGATE, StrategyItem
from homeport.model.task import PlacementWish
from homeport.state.view import View


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where one task goes: onto an instance, or among those that wait; what was asked of it."""

    instance_arn: str | None = None
    capacity_provider: str | None = None
    wish: PlacementWish | None = None


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """A place for each task that has one; why others have none.

    `overflow` tasks would have to wait, where as many wait already as may.
    """

    places: tuple[Place, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    overflow: int = 0


def find_places(
    view: View,
    wanted: PlacementRequest,
    strategy: Sequence[StrategyItem],
    *,
    moment: Moment,
    known: Mapping[str, int] | None = None,
) -> Places:
    """Find places by a strategy, or by the launch type if that is empty.

    `known` tasks are there already and count in the strategy's ratio.
    """
    if not strategy and wanted.launch_type != FARGATE:
        return _at_once(view, wanted, None, moment)
    parts: list[tuple[str | None, int]] = [(None, wanted.count)]
    if strategy:
        parts = [*split_tasks(strategy, wanted.count, known).items()]
    places: list[Place] = []
    refusals: list[Refusal] = []
    overflow = 0
    room = TASKS_PER_CLUSTER - len(view.provisioning_tasks(wanted.cluster_arn))
    for provider, number in parts:
        part = replace(on_provider(wanted, provider), count=number)
        if provider is None or waits_for_capacity(view, wanted.cluster_arn, provider):
            place = Place(capacity_provider=provider, wish=wish_for_capacity(part))
            fit = max(0, min(number, room))
            places.extend([place] * fit)
            room -= fit
            overflow += number - fit
            continue
        # An instance is of one provider at most, so that no two parts meet on one.
        found = _at_once(view, part, provider, moment)
        places.extend(found.places)
        refusals.extend(found.refusals)
    return Places(places=tuple(places), refusals=tuple(refusals), overflow=overflow)


def _at_once(view: View, wanted: PlacementRequest, provider: str | None, moment: Moment) -> Places:
    placement = place_tasks(view, wanted, moment)
    return Places(
        places=tuple(
            Place(instance_arn=arn, capacity_provider=provider)
            for arn in placement.container_instance_arns
        ),
        refusals=placement.refusals,
    )
