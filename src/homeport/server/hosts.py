"""Which Host headers are answered: a web page that had its name resolve to loopback is not."""

import functools
import ipaddress

from homeport.api.ecs import AccessDeniedException

KEPT_HOSTS = 256


@functools.lru_cache(KEPT_HOSTS)
def is_own_host(host: str) -> bool:
    """Whether a Host header can be a client's own choice: an IP address, or a localhost name.

    A browser sends the name in its address bar; by DNS rebinding a stranger's name can lead here,
    an address or `localhost` can't be a stranger's. No Host at all (HTTP/1.0) is no browser's.
    """
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    name = name.strip("[]").rstrip(".").lower()
    if not name or name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def refuse_foreign_host(host: str) -> None:
    """Raise AccessDeniedException for a Host that is neither an address nor a localhost name."""
    if not is_own_host(host):
        raise AccessDeniedException(
            f"The Host {host[:255]!r} is not answered: call the server by an IP address or as "
            "localhost."
        )
