"""How many files this process may have open: a socket of an agent or a client is one of them."""

import contextlib
import resource


def raise_open_files_limit() -> None:
    """Raise the soft limit, which is 1,024 on most machines, to the hard one.

    A thousand agents have two thousand sockets. Programs that are started from here inherit it.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Some systems name a hard limit that they don't grant; then it stays as it was.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
