"""What RegisterTaskDefinition asks of each container's own members.

Sizes, ports, references to other containers and volumes have modules of their own beside this one.
Source: API:ContainerDefinition and its shapes; reference task-lifecycle §5-7, api-errors §3.
"""

from collections.abc import Callable

from homeport.api import ecs
from homeport.operations.names import check_name

Request = ecs.RegisterTaskDefinitionRequest

ENVIRONMENT_FILES_PER_CONTAINER = 10
IGNORED_EXIT_CODES = 50
RESTART_PERIOD_MIN_S, RESTART_PERIOD_MAX_S = 60, 1_800
SWAPPINESS_MAX = 100
S3_ARN_PREFIX = "arn:"

# What a health check member may be: name, least, most.
HEALTH_CHECK_RANGES = (
    ("interval", "interval", 5, 300),
    ("timeout", "timeout", 2, 60),
    ("retries", "retries", 1, 10),
    ("startPeriod", "start_period", 0, 300),
)
# Options without which a log driver can't work.
LOG_OPTIONS = {
    "awslogs": ("awslogs-region", "awslogs-group"),
    "splunk": ("splunk-token", "splunk-url"),
}
# What containers that share one network interface can't have of their own.
AWSVPC_REFUSALS = (
    ("disable_networking", "Disable Networking is"),
    ("hostname", "Hostname is"),
    ("dns_servers", "Dns servers are"),
    ("dns_search_domains", "Dns search domains are"),
    ("extra_hosts", "Extra hosts are"),
)


def check_container(container: ecs.ContainerDefinition, request: Request) -> None:
    """Refuse one container's unsound members with ClientException."""
    check_name(container.name, "Container.name", ecs.ClientException)
    if not container.image or container.image.isspace():
        raise ecs.ClientException("Container.image should not be null or empty.")
    if request.network_mode == "awsvpc":
        _check_awsvpc(container)
    for attribute, check in _CHECKS:
        if getattr(container, attribute):
            check(container, request)


def _check_awsvpc(container: ecs.ContainerDefinition) -> None:
    for attribute, words in AWSVPC_REFUSALS:
        if getattr(container, attribute):
            raise ecs.ClientException(f"{words} not supported on container when networkMode=awsvpc")


def _check_environment(container: ecs.ContainerDefinition, _: Request) -> None:
    for variable in container.environment or ():
        if not variable.name:
            raise ecs.ClientException("Environment variable name should not be null or empty.")


def _check_environment_files(container: ecs.ContainerDefinition, _: Request) -> None:
    files = container.environment_files or ()
    if len(files) > ENVIRONMENT_FILES_PER_CONTAINER:
        raise ecs.ClientException(
            f"Too many environment files for container '{container.name}'. The limit is "
            f"{ENVIRONMENT_FILES_PER_CONTAINER}."
        )
    for file in files:
        value = file.value or ""
        if not (value.startswith(S3_ARN_PREFIX) and value.endswith(".env")):
            raise ecs.ClientException(
                f"Invalid environment file '{value}'. Specify the ARN of an Amazon S3 object whose "
                "name ends in .env."
            )


def _check_secrets(container: ecs.ContainerDefinition, request: Request) -> None:
    _require_execution_role(request)
    taken = {variable.name for variable in container.environment or ()}
    for secret in container.secrets or ():
        if secret.name in taken:
            raise ecs.ClientException(
                "The secret name must be unique and not shared with any new or existing "
                f"environment variables set on the container, such as '{secret.name}'."
            )
        taken.add(secret.name)


def _require_execution_role(request: Request) -> None:
    if not request.execution_role_arn:
        raise ecs.ClientException(
            "When you are specifying container secrets, you must also specify a value for "
            "'executionRoleArn'"
        )


def _check_log(container: ecs.ContainerDefinition, request: Request) -> None:
    log = container.log_configuration or ecs.LogConfiguration()
    options = log.options or {}
    missing = [name for name in LOG_OPTIONS.get(log.log_driver or "", ()) if name not in options]
    if log.secret_options:
        _require_execution_role(request)
        secret_names = {option.name for option in log.secret_options}
        missing = [name for name in missing if name not in secret_names]
    if missing:
        raise ecs.ClientException(
            f"Log driver {log.log_driver} requires options: {', '.join(missing)}"
        )


def _check_health_check(container: ecs.ContainerDefinition, _: Request) -> None:
    name, check = container.name, container.health_check or ecs.HealthCheck()
    if not check.command or not check.command[0]:
        raise ecs.ClientException(f"Health check command for container '{name}' must not be empty.")
    for member, attribute, least, most in HEALTH_CHECK_RANGES:
        value = getattr(check, attribute)
        if value is not None and not least <= value <= most:
            raise ecs.ClientException(
                f"Invalid health check '{member}' setting for container '{name}'. Specify "
                f"{least} to {most}."
            )


def _check_restart_policy(container: ecs.ContainerDefinition, _: Request) -> None:
    name, policy = container.name, container.restart_policy or ecs.ContainerRestartPolicy()
    period, codes = policy.restart_attempt_period, policy.ignored_exit_codes or ()
    if period is not None and not RESTART_PERIOD_MIN_S <= period <= RESTART_PERIOD_MAX_S:
        raise ecs.ClientException(
            f"Invalid 'restartAttemptPeriod' setting for container '{name}'. Specify "
            f"{RESTART_PERIOD_MIN_S} to {RESTART_PERIOD_MAX_S} seconds."
        )
    if len(codes) > IGNORED_EXIT_CODES:
        raise ecs.ClientException(
            f"Too many 'ignoredExitCodes' for container '{name}'. The limit is "
            f"{IGNORED_EXIT_CODES}."
        )


def _check_ulimits(container: ecs.ContainerDefinition, _: Request) -> None:
    name, seen = container.name, set[str | None]()
    for ulimit in container.ulimits or ():
        soft, hard = ulimit.soft_limit or 0, ulimit.hard_limit or 0
        if soft < -1 or hard < -1 or (hard != -1 and (soft > hard or soft == -1)):
            raise ecs.ClientException(
                f"Invalid ulimit '{ulimit.name}' for container '{name}'. softLimit must not be "
                "greater than hardLimit, and -1 means unlimited."
            )
        if ulimit.name in seen:
            raise ecs.ClientException(
                f"Ulimit '{ulimit.name}' is specified multiple times for container '{name}'."
            )
        seen.add(ulimit.name)


def _check_linux(container: ecs.ContainerDefinition, _: Request) -> None:
    name, linux = container.name, container.linux_parameters or ecs.LinuxParameters()
    if linux.swappiness is not None and not 0 <= linux.swappiness <= SWAPPINESS_MAX:
        raise ecs.ClientException(
            f"Invalid 'swappiness' setting for container '{name}'. Specify 0 to {SWAPPINESS_MAX}."
        )
    for member, value, least in (
        ("maxSwap", linux.max_swap, 0),
        ("sharedMemorySize", linux.shared_memory_size, 1),
    ):
        if value is not None and value < least:
            raise ecs.ClientException(f"Invalid '{member}' setting for container '{name}'.")
    for tmpfs in linux.tmpfs or ():
        if not tmpfs.container_path or (tmpfs.size or 0) < 1:
            raise ecs.ClientException(
                f"Invalid 'tmpfs' setting for container '{name}'. Specify a containerPath and a "
                "size of at least 1 MiB."
            )
    for device in linux.devices or ():
        if not device.host_path:
            raise ecs.ClientException("Device.hostPath should not be null or empty.")


def _check_resource_requirements(container: ecs.ContainerDefinition, request: Request) -> None:
    name = container.name
    devices = {accelerator.device_name for accelerator in request.inference_accelerators or ()}
    for requirement in container.resource_requirements or ():
        kind, value = requirement.type, requirement.value
        is_sound = True
        if kind == "GPU":
            is_count = value is not None and value.isascii() and value.isdigit() and int(value) > 0
            is_sharing = value is None and requirement.sharing_strategy is not None
            is_sound = is_count or is_sharing or value == "ALL"
        elif kind == "InferenceAccelerator":
            is_sound = value in devices
        elif kind == "NeuronDevice":
            is_sound = value == "ALL"
        if not is_sound:
            raise ecs.ClientException(
                f"Invalid resource requirement '{kind}' for container '{name}': value '{value}' is "
                "neither a count of GPUs, ALL, nor the deviceName of an inference accelerator."
            )


def _check_timeouts(container: ecs.ContainerDefinition, _: Request) -> None:
    for member, seconds in (
        ("startTimeout", container.start_timeout),
        ("stopTimeout", container.stop_timeout),
    ):
        if seconds is not None and seconds < 0:
            raise ecs.ClientException(
                f"Invalid '{member}' setting for container '{container.name}'."
            )


def _check_system_controls(container: ecs.ContainerDefinition, _: Request) -> None:
    for control in container.system_controls or ():
        if not control.namespace:
            raise ecs.ClientException("SystemControl.namespace should not be null or empty.")


# The member that is present, and what then looks at it.
_CHECKS: tuple[tuple[str, Callable[[ecs.ContainerDefinition, Request], None]], ...] = (
    ("environment", _check_environment),
    ("environment_files", _check_environment_files),
    ("secrets", _check_secrets),
    ("log_configuration", _check_log),
    ("health_check", _check_health_check),
    ("restart_policy", _check_restart_policy),
    ("ulimits", _check_ulimits),
    ("linux_parameters", _check_linux),
    ("resource_requirements", _check_resource_requirements),
    ("start_timeout", _check_timeouts),
    ("stop_timeout", _check_timeouts),
    ("system_controls", _check_system_controls),
)
