"""What every simulated run in the tests needs."""

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _quiet_agents() -> Iterator[None]:
    """Agents log what goes wrong around them, which is all the time here."""
    logger = logging.getLogger("homeport")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(level)
