"""The server's own health page, for people, load balancers and `homeport up`.

The health of tasks and instances is part of the ECS API, not of this page.
"""

import msgspec

from homeport import __version__

HEALTH_PATH = "/health"


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """What the page says; a server that answers is ok, one that is not does not answer."""

    status: str = "ok"
    version: str = __version__


def render_health() -> bytes:
    """Write the page as JSON."""
    return msgspec.json.encode(Health())
