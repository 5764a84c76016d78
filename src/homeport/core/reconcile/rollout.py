"""How many tasks a service may start and stop right now: numbers in, numbers out.

Which tasks that are, and what is written about it, is decided elsewhere. The percentages are
those of the deployment configuration (reference: services §1, §2; container-instances §8).

Words used here. A task *stays* when it belongs to the PRIMARY deployment and its container
instance isn't DRAINING; every other wanted task is *outgoing*. Both kinds are *healthy* (RUNNING,
and HEALTHY if it has a container health check), *unhealthy* (UNHEALTHY behind its grace period)
or *unsettled* (anything else: it may yet become either). An unsettled one that has waited long for
capacity is *stranded*: nothing but other tasks' ends will start it.
"""

import msgspec

PERCENT = 100


class Bounds(msgspec.Struct, frozen=True):
    """How many tasks a service wants, must keep healthy, and may have in all, in tasks."""

    desired: int
    lower: int
    upper: int
    held: int = 0  # older tasks that stay beside the newest deployment's
    moving: int = 0  # that may be beyond desired for a while, to even tasks out
    yields: bool = False  # the newest deployment has failed: its tasks make way for older ones


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """The tasks of one service that aren't STOPPED, by what the scheduler may do with them."""

    healthy: int = 0
    unsettled: int = 0
    stranded: int = 0  # of `unsettled`
    unhealthy: int = 0
    outgoing_healthy: int = 0
    outgoing_unsettled: int = 0  # RUNNING, health not known yet
    outgoing_starting: int = 0  # replaces a task of its own older revision, and may yet settle
    outgoing_stranded: int = 0  # of `outgoing_starting`
    outgoing_unhealthy: int = 0
    outgoing_pending: int = 0
    stopping: int = 0

    @property
    def live(self) -> int:
        """All of them: the upper bound counts RUNNING, PENDING and STOPPING tasks."""
        return (
            self.healthy
            + self.unsettled
            + self.unhealthy
            + self.outgoing_healthy
            + self.outgoing_unsettled
            + self.outgoing_starting
            + self.outgoing_unhealthy
            + self.outgoing_pending
            + self.stopping
        )


class Stops(msgspec.Struct, frozen=True, kw_only=True):
    """How many tasks of each kind to stop now."""

    healthy: int = 0
    unsettled: int = 0
    unhealthy: int = 0
    outgoing_healthy: int = 0
    outgoing_unsettled: int = 0
    outgoing_starting: int = 0
    outgoing_unhealthy: int = 0
    outgoing_pending: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return (
            self.healthy
            + self.unsettled
            + self.unhealthy
            + self.outgoing_healthy
            + self.outgoing_unsettled
            + self.outgoing_starting
            + self.outgoing_unhealthy
            + self.outgoing_pending
        )


NO_STOPS = Stops()


def bounds_of(
    desired: int,
    minimum_healthy_percent: int,
    maximum_percent: int,
    *,
    moving: int = 0,
    held: int = 0,
    yields: bool = False,
) -> Bounds:
    """Return the bounds: the lower one rounds up, the upper one rounds down."""
    return Bounds(
        desired=desired,
        lower=-(-desired * minimum_healthy_percent // PERCENT),
        upper=max(desired * maximum_percent // PERCENT, desired + held),
        held=held,
        moving=moving,
        yields=yields,
    )


def missing_tasks(bounds: Bounds, counts: Counts) -> int:
    """Return how many tasks have to be started sooner or later.

    An unhealthy task counts as missing, so that its replacement starts before it is stopped.
    """
    return max(0, bounds.desired - counts.healthy - counts.unsettled)


def startable_tasks(bounds: Bounds, counts: Counts) -> int:
    """Return how many tasks may start now, under the upper bound."""
    return max(0, min(missing_tasks(bounds, counts), bounds.upper - counts.live))


def plan_stops(bounds: Bounds, counts: Counts, *, launches: int, is_blocked: bool) -> Stops:
    """Return what may be stopped now, `counts` being those before `launches` are added.

    Healthy tasks stay at desiredCount while replacements can start beside them; only when those
    can't (`is_blocked`: no room under maximumPercent, or none on the container instances) are they
    let down to minimumHealthyPercent. Stranded tasks are replacements that can't, too.
    """
    is_blocked = is_blocked or counts.stranded > 0
    staying = _stops_of_staying(bounds, counts)
    outgoing = _stops_of_outgoing(bounds, counts, staying, is_blocked=is_blocked)
    stops = Stops(
        healthy=staying.healthy,
        unsettled=staying.unsettled,
        unhealthy=staying.unhealthy,
        outgoing_healthy=outgoing.outgoing_healthy,
        outgoing_unsettled=outgoing.outgoing_unsettled,
        outgoing_starting=outgoing.outgoing_starting,
        outgoing_unhealthy=outgoing.outgoing_unhealthy,
        outgoing_pending=outgoing.outgoing_pending,
    )
    is_waiting = launches or counts.stopping or counts.unsettled > counts.stranded
    if is_waiting or stops != NO_STOPS:
        return stops
    if is_blocked:
        return _one_unhealthy(counts)
    if counts.outgoing_stranded and counts.outgoing_stranded == counts.outgoing_starting:
        return Stops(outgoing_unhealthy=min(1, counts.outgoing_unhealthy))
    return stops


def _stops_of_staying(bounds: Bounds, counts: Counts) -> Stops:
    """Scale in what is beyond desiredCount, and stop unhealthy tasks that have been replaced."""
    moving = min(bounds.moving, counts.unsettled)
    wanted = max(0, bounds.desired - (counts.outgoing_healthy if bounds.yields else 0))
    surplus = max(0, counts.healthy + counts.unsettled - wanted - moving)
    unsettled = min(surplus, counts.unsettled - moving)
    kept = counts.healthy + counts.unsettled - surplus
    in_flight = counts.unsettled - unsettled
    replaced = kept + counts.unhealthy - wanted - in_flight
    return Stops(
        healthy=surplus - unsettled,
        unsettled=unsettled,
        unhealthy=_clamp(replaced, counts.unhealthy),
    )


def _stops_of_outgoing(
    bounds: Bounds, counts: Counts, staying: Stops, *, is_blocked: bool
) -> Stops:
    """Stop old and displaced tasks as far as enough healthy ones remain; PENDING ones at once."""
    if bounds.held:  # older tasks stay as many as they are, whatever the newest ones do
        floor, healthy = bounds.held, counts.outgoing_healthy
    else:
        floor = bounds.lower if is_blocked else bounds.desired
        healthy = counts.healthy - staying.healthy + counts.outgoing_healthy
    unhealthy, unsettled = counts.outgoing_unhealthy, counts.outgoing_unsettled
    starting = counts.outgoing_starting
    # Of those that have to stay, none that starts makes way for a newer one.
    is_crowded = is_blocked and not bounds.held
    beyond = healthy + starting - min(floor, bounds.lower) if is_crowded else 0
    return Stops(
        outgoing_healthy=_clamp(healthy - floor, counts.outgoing_healthy),
        outgoing_unsettled=_clamp(healthy + unsettled - floor, unsettled),
        outgoing_starting=_clamp(beyond, starting),
        outgoing_unhealthy=_clamp(healthy + unhealthy - floor, unhealthy),
        outgoing_pending=counts.outgoing_pending,
    )


def _one_unhealthy(counts: Counts) -> Stops:
    """Make room for a replacement by one task that isn't healthy anyway (seed: one at a time)."""
    if counts.outgoing_unhealthy:
        return Stops(outgoing_unhealthy=1)
    if counts.unhealthy:
        return Stops(unhealthy=1)
    if counts.outgoing_unsettled:
        return Stops(outgoing_unsettled=1)
    if counts.outgoing_starting:
        return Stops(outgoing_starting=1)
    return NO_STOPS


def _clamp(number: int, most: int) -> int:
    return max(0, min(number, most))
