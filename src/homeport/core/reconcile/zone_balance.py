"""Which tasks to start in which zone, so that a service's zones come closer to each other.

Numbers and names in, choices out. A move stays within one capacity provider, so that base and
weight keep what they have: its new task starts first, then scale-in takes one where there are most.
How tasks are started, and what is said of it, is `rebalance`'s work.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import msgspec

from homeport.core.capacity.strategy import split_tasks, surplus_tasks
from homeport.model.capacity_provider import FARGATE_PROVIDERS, StrategyItem

ENOUGH = 2  # tasks that two zones have to differ by, for one of them to move


class Host(msgspec.Struct, frozen=True, gc=False):
    """A container instance that may have the service's tasks, and how many it has."""

    arn: str
    zone: str
    provider: str | None
    tasks: int

    def is_of(self, provider: str | None) -> bool:
        """Whether a provider's tasks run here; the pool is both of Fargate's."""
        return provider is None or provider in FARGATE_PROVIDERS or self.provider == provider


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Where a service's tasks are, by capacity provider (None without a strategy) and zone."""

    strategy: Sequence[StrategyItem]
    zones: Mapping[str, int]  # all tasks, also zones without any
    tasks: Mapping[tuple[str | None, str], int]
    protected: Mapping[tuple[str | None, str], int]  # of these, those that have to stay

    @property
    def is_even(self) -> bool:
        """Whether no two zones differ by more than one task."""
        return not self.zones or max(self.zones.values()) - min(self.zones.values()) < ENOUGH

    @property
    def providers(self) -> tuple[str | None, ...]:
        """The providers that may get tasks, in the strategy's order."""
        return tuple(item.provider for item in self.strategy) or (None,)

    def keeps_shares(self) -> bool:
        """Whether each provider has as many tasks as its base and weight give it."""
        return len(self.strategy) < 2 or not surplus_tasks(self.strategy, self._known(), 0)

    def givers(self) -> dict[str | None, str | None]:
        """Return who may get a task, and who loses one when scale-in takes it back.

        Each provider for itself; but where they don't have their shares, only those that lack
        tasks get some, so that the shares gain, too.
        """
        if self.keeps_shares():
            return {provider: provider for provider in self.providers}
        known = self._known()
        wanted = split_tasks(self.strategy, known.total())
        lacking = [provider for provider in wanted if known[provider] < wanted[provider]]
        return {provider: self._giver_after(provider) for provider in lacking}

    def _giver_after(self, provider: str) -> str:
        known = self._known()
        known[provider] += 1
        over = surplus_tasks(self.strategy, known, 1)
        ranks = {item.provider: rank for rank, item in enumerate(self.strategy)}
        return max(over, key=lambda p: (over[p], ranks.get(p, len(ranks)), p))

    def fullest(self, provider: str | None) -> int:
        """Return the tasks in the fullest zone that a provider can give one up in; 0 for none."""
        given = [
            self.zones[zone]
            for (owner, zone), number in self.tasks.items()
            if owner == provider and number > self.protected.get((owner, zone), 0)
        ]
        return max(given, default=0)

    def after(self, taker: str | None, giver: str | None, short: str) -> "Standing":
        """Return how things stand once a task has come to one zone, and one has gone elsewhere."""
        full = min(
            zone
            for (owner, zone), number in self.tasks.items()
            if owner == giver
            and self.zones[zone] == self.fullest(giver)
            and number > self.protected.get((owner, zone), 0)
        )
        tasks, zones = Counter(self.tasks), Counter(self.zones)
        tasks[taker, short] += 1
        tasks[giver, full] -= 1
        zones[short] += 1
        zones[full] -= 1
        return msgspec.structs.replace(self, tasks=tasks, zones=zones)

    def _known(self) -> Counter[str]:
        known: Counter[str] = Counter()
        for (provider, _), number in self.tasks.items():
            known[provider or ""] += number
        return known


def choose_hosts(
    standing: Standing, hosts: Sequence[Host], most: int
) -> tuple[str, list[tuple[str | None, Host]]]:
    """Return the zone that lacks tasks most and has room, and which hosts get one each there.

    The rest follows when these are up, and so does all but one where shares have to be mended.
    """
    most = most if standing.keeps_shares() else min(most, 1)
    shelves = _shelves(standing, hosts)
    chosen: list[tuple[str | None, Host]] = []
    taken: set[str] = set()  # the pool's instances stand on two shelves
    short = ""
    for _ in range(most):
        for shelf in shelves.values():
            while shelf and shelf[-1].arn in taken:
                shelf.pop()
        places = [p for p, shelf in shelves.items() if shelf and (not chosen or p[0] == short)]
        step = _best_step(standing, places)
        if step is None:
            break
        (short, provider), giver = step
        host = shelves[short, provider].pop()
        taken.add(host.arn)
        chosen.append((provider, host))
        standing = standing.after(provider, giver, short)
    return short, chosen


def zones_that_lack(standing: Standing, hosts: Sequence[Host]) -> dict[str, bool]:
    """Return the zones that would get tasks if they had room, and whether any host is there."""
    fullest = {taker: standing.fullest(giver) for taker, giver in standing.givers().items()}
    places = _shelves(standing, hosts)
    lacking: dict[str, bool] = {}
    for zone, tasks in standing.zones.items():
        takers = [taker for taker, most in fullest.items() if most - tasks >= ENOUGH]
        if takers:
            lacking[zone] = any((zone, taker) in places for taker in takers)
    return lacking


def zone_without_room(
    standing: Standing, hosts: Sequence[Host], with_room: Collection[str]
) -> str | None:
    """Return the emptiest zone that ought to get a task, and where no host has room for one."""
    full = _shelves(standing, [host for host in hosts if host.arn not in with_room])
    step = _best_step(standing, full)
    return None if step is None else step[0][0]


def _shelves(
    standing: Standing, hosts: Sequence[Host]
) -> dict[tuple[str, str | None], list[Host]]:
    """Sort hosts by zone and provider, each time the best one last."""
    shelves: dict[tuple[str, str | None], list[Host]] = {}
    for host in reversed(hosts):
        if host.zone in standing.zones:
            for provider in standing.providers:
                if host.is_of(provider):
                    shelves.setdefault((host.zone, provider), []).append(host)
    return shelves


def _best_step(
    standing: Standing, places: Collection[tuple[str, str | None]]
) -> tuple[tuple[str, str | None], str | None] | None:
    """Return in which zone which provider starts a task, and which one then gives one up.

    It is the emptiest zone for which that is worth while.
    """
    order = {provider: rank for rank, provider in enumerate(standing.providers)}
    givers = standing.givers()
    fullest = {giver: standing.fullest(giver) for giver in givers.values()}

    def rank(place: tuple[str, str | None]) -> tuple[int, str, int, int]:
        zone, provider = place
        return standing.zones[zone], zone, -fullest[givers[provider]], order[provider]

    for zone, provider in sorted((p for p in places if p[1] in givers), key=rank):
        giver = givers[provider]
        if fullest[giver] - standing.zones[zone] >= ENOUGH:
            return (zone, provider), giver
    return None
