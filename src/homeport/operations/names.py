"""Rules for the names that callers choose, in AWS's wording; what the names mean isn't known here.

Reference: api-errors-and-limits §6.
"""

import re

from homeport.api import ecs
from homeport.api.errors import AwsError

NAME_LENGTH_CHARACTERS = 255

_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")
_is_name = _NAME.fullmatch


def is_name(text: str) -> bool:
    """Tell whether `text` is 1 to 255 letters, digits, hyphens and underscores."""
    return _is_name(text) is not None


def check_name(
    name: str | None, label: str, error: type[AwsError] = ecs.InvalidParameterException
) -> str:
    """Return a cluster's, family's or container's name, or refuse it.

    `label` is how AWS calls the member, e.g. `Family`, `Container.name`, `Cluster name`. Services
    have a sentence of their own: `check_service_name`.
    """
    if not name:
        raise error(f"{label} should not be null or empty.")
    if _is_name(name) is not None:
        return name
    if len(name) > NAME_LENGTH_CHARACTERS:
        raise error(f"{label} must be {NAME_LENGTH_CHARACTERS} characters or less.")
    raise error(
        f"{label} contains invalid characters. "
        "Use letters (A-Z, a-z), digits, hyphens and underscores only."
    )


def check_service_name(name: str | None) -> str:
    """Return a service's name, or refuse it with `Invalid service name.`"""
    if not name or _is_name(name) is None:
        raise ecs.InvalidParameterException("Invalid service name.")
    return name
