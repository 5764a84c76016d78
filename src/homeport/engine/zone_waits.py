"""Which services wait for room in which zone: those whose tasks stay uneven for want of it.

Nothing here looks at a service or decides whether it may move: it is told of room, and says whom
to wake, and when. What a change means for room is the agenda's work.
"""

from collections.abc import Iterable

from homeport.core.effects import AwaitZone, WakeAt

# A look walks over the cluster's instances, some 4 ms at a thousand: so 4 % of a core at most.
LOOKS_EVERY_MS = 100

Waits = dict[str, AwaitZone]  # by service ARN


class ZoneWaits:
    """Keeps each service once a zone, until the zone may have room."""

    def __init__(self) -> None:
        self._by_cluster: dict[str, dict[tuple[str | None, bool], Waits]] = {}
        self._next_look_ms = 0

    def add(self, effect: AwaitZone) -> None:
        """Keep a service until there may be room for it."""
        zones = self._by_cluster.setdefault(effect.cluster_arn, {})
        waits = zones.setdefault((effect.zone, effect.has_hosts), {})
        waits[effect.service_arn] = effect

    def take_for_room(self, cluster_arn: str, zone: str | None, now_ms: int) -> list[WakeAt]:
        """Wake those to whom the room of a task that has stopped may be of use."""
        return self._wakes(self._take(cluster_arn, zone, has_hosts=True), now_ms)

    def take_for_instance(self, cluster_arn: str, zone: str | None, now_ms: int) -> list[WakeAt]:
        """Wake those to whom a container instance that has changed may be of use."""
        hosted = self._take(cluster_arn, zone, has_hosts=True)
        bare = self._take(cluster_arn, zone, has_hosts=False)
        return self._wakes((*hosted, *bare), now_ms)

    def take_all(self, cluster_arn: str, now_ms: int) -> list[WakeAt]:
        """Wake everybody who waits in a cluster."""
        zones = self._by_cluster.pop(cluster_arn, {})
        return self._wakes([wait for waits in zones.values() for wait in waits.values()], now_ms)

    def _take(
        self, cluster_arn: str, zone: str | None, *, has_hosts: bool
    ) -> Iterable[AwaitZone]:
        zones = self._by_cluster.get(cluster_arn)
        waits = zones.pop((zone, has_hosts), None) if zones else None
        return waits.values() if waits else ()

    def _wakes(self, waits: Iterable[AwaitZone], now_ms: int) -> list[WakeAt]:
        """Give each its time: none before it may look again, all of them one after the other."""
        wakes = []
        for wait in waits:
            at_ms = max(self._next_look_ms, now_ms)
            self._next_look_ms = at_ms + LOOKS_EVERY_MS
            wakes.append(WakeAt(max(at_ms, wait.not_before_ms), wait.service_arn))
        return wakes
