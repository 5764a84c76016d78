"""The ECS_* variables that users of Amazon's agent know, translated to Homeport's own. Pure.

Names, forms and defaults: README of github.com/aws/amazon-ecs-agent. They are weaker than a
HOMEPORT_AGENT_* variable. Not here: reading the environment and checking values (`config`).
"""

import json
import re
from collections.abc import Callable, Mapping

OWN_PREFIX = "HOMEPORT_AGENT_"

# Go's durations, as Amazon's agent reads them: 3h, 1h30m, 90s, 1500ms.
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s)")
_UNIT_S = {"h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


class VariableError(ValueError):
    """An ECS_* variable that can't be read; the text names it."""


def _plain(text: str) -> str:
    return text


def _duration(text: str) -> str:
    if not text or _DURATION.sub("", text):
        raise ValueError("expected a duration such as 3h or 1h30m")
    seconds = sum(float(n) * _UNIT_S[unit] for n, unit in _DURATION.findall(text))
    return str(max(round(seconds), 1))


def _pairs(text: str) -> str:
    found = json.loads(text)
    if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
        raise ValueError('expected a JSON object of texts, {"name": "value"}')
    if any("," in name + value for name, value in found.items()):
        raise ValueError("a comma can't be passed on; use the configuration file")
    return ",".join(f"{name}={value}" for name, value in found.items())


def _numbers(text: str) -> str:
    found = json.loads(text)
    if not isinstance(found, list) or not all(isinstance(number, int) for number in found):
        raise ValueError("expected a JSON list of numbers, [22, 80]")
    return ",".join(str(number) for number in found)


def _texts(text: str) -> str:
    found = json.loads(text)
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise ValueError('expected a JSON list of texts, ["json-file"]')
    return ",".join(found)


def _opposite(text: str) -> str:
    return "false" if text.lower() == "true" else "true"


def _endpoint(text: str) -> str:
    return text if "://" in text else f"https://{text}"


def _log_level(text: str) -> str:
    level = text.lower()
    return {"warn": "warning", "crit": "error"}.get(level, level)


_TRANSLATIONS: dict[str, tuple[str, Callable[[str], str]]] = {
    "ECS_BACKEND_HOST": ("ENDPOINT", _endpoint),
    "ECS_CLUSTER": ("CLUSTER", _plain),
    "AWS_DEFAULT_REGION": ("REGION", _plain),
    "ECS_DATADIR": ("DATA_DIR", _plain),
    "ECS_LOGLEVEL": ("LOG_LEVEL", _log_level),
    "ECS_INSTANCE_ATTRIBUTES": ("ATTRIBUTES", _pairs),
    "ECS_CONTAINER_INSTANCE_TAGS": ("INSTANCE_TAGS", _pairs),
    "ECS_RESERVED_MEMORY": ("RESERVED_MEMORY_MIB", _plain),
    "ECS_RESERVED_PORTS": ("RESERVED_PORTS", _numbers),
    "ECS_RESERVED_PORTS_UDP": ("RESERVED_PORTS_UDP", _numbers),
    "ECS_IMAGE_PULL_BEHAVIOR": ("IMAGE_PULL_BEHAVIOR", _plain),
    "ECS_CONTAINER_STOP_TIMEOUT": ("CONTAINER_STOP_TIMEOUT_S", _duration),
    "ECS_CONTAINER_CREATE_TIMEOUT": ("CONTAINER_CREATE_TIMEOUT_S", _duration),
    "ECS_CONTAINER_START_TIMEOUT": ("CONTAINER_START_TIMEOUT_S", _duration),
    "ECS_IMAGE_PULL_TIMEOUT": ("IMAGE_PULL_TIMEOUT_S", _duration),
    "ECS_AVAILABLE_LOGGING_DRIVERS": ("LOGGING_DRIVERS", _texts),
    "ECS_DISABLE_PRIVILEGED": ("DISABLE_PRIVILEGED", _plain),
    "ECS_ENABLE_TASK_CPU_MEM_LIMIT": ("TASK_CPU_MEM_LIMIT", _plain),
    "ECS_NVIDIA_RUNTIME": ("NVIDIA_RUNTIME", _plain),
    "ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION": ("TASK_CLEANUP_WAIT_S", _duration),
    "ECS_ENABLE_CONTAINER_METADATA": ("METADATA_FILE", _plain),
    "ECS_DISABLE_IMAGE_CLEANUP": ("IMAGE_CLEANUP", _opposite),
    "ECS_IMAGE_CLEANUP_INTERVAL": ("IMAGE_CLEANUP_INTERVAL_S", _duration),
    "ECS_IMAGE_MINIMUM_CLEANUP_AGE": ("IMAGE_MINIMUM_AGE_S", _duration),
    "ECS_NUM_IMAGES_DELETE_PER_CYCLE": ("IMAGES_PER_CLEANUP", _plain),
}


def list_variables() -> dict[str, str]:
    """Which of Homeport's variables each ECS_* variable stands for."""
    return {name: OWN_PREFIX + own for name, (own, _) in _TRANSLATIONS.items()}


def translate_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Homeport's variables for the ECS_* ones that are set; raises VariableError."""
    found: dict[str, str] = {}
    for name, (own, translate) in _TRANSLATIONS.items():
        text = environ.get(name, "")
        if not text:
            continue
        try:
            found[OWN_PREFIX + own] = translate(text.strip())
        except ValueError as trouble:
            raise VariableError(f"environment variable {name}: {trouble}, got {text!r}") from None
    return found
