"""Where log lines go: stderr, one line each, so that stdout stays for what a command answers."""

import logging
import sys


def start_logging(level: str) -> None:
    """Print log lines of `level` and worse to stderr."""
    logging.basicConfig(
        stream=sys.stderr,
        level=level.upper(),
        format="%(asctime)s.%(msecs)03d %(levelname)-7s %(name)s: %(message)s",
        datefmt="%H:%M:%S",
    )
    # uvicorn tells of every websocket at level info; who connected is the gateway's to say.
    if level != "debug":
        logging.getLogger("uvicorn").setLevel(logging.WARNING)
