"""How the agent makes itself known: resources, capabilities, identity, RegisterContainerInstance.

What is sent is what Amazon's agent sends; placement facts of the machine travel in the instance
identity document. Not here: the sessions that follow.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec

from homeport.agent.gate import Backoff
from homeport.agent.instance_types import InstanceType, find_instance_type
from homeport.agent.link import ControlPlaneRefusal, ControlPlaneUnavailable
from homeport.agent.settings import DEFAULT_CLUSTER, AgentStartError
from homeport.api import ecs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from homeport.agent.link import Link
    from homeport.agent.settings import AgentSettings
    from homeport.agent.state_file import StateFile

LOG: Final = logging.getLogger("homeport.agent")

SUBNET_ATTRIBUTE: Final = "homeport.subnet"
"""Where tasks in awsvpc get their addresses; the control plane hands them out."""

CPU_UNITS_PER_CPU: Final = 1024
BYTES_PER_MIB: Final = 1024 * 1024
FIRST_RETRY_S: Final = 0.25
LAST_RETRY_S: Final = 30.0
GIVE_UP_AFTER_S: Final = 3600.0
"""Amazon's agent gives registration up after an hour, too."""

SAY_AGAIN_AFTER_S: Final = 300.0
"""How often the log repeats what an agent waits for, as long as that is the same."""

CLUSTER_NOT_FOUND: Final = "Cluster not found."
ARN_FACT: Final = "containerInstanceArn"
CLUSTER_FACT: Final = "cluster"
INSTANCE_ID_FACT: Final = "ec2InstanceId"

# docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-agent-versions.html; the API versions are
# those that Amazon's agent names.
_API_VERSIONS: Final = (17, 18, 19, 20, 21, 22, 23, 24, 25, 28, 29, 30, 32)
_PRIVILEGED: Final = "com.amazonaws.ecs.capability.privileged-container"
_CAPABILITIES: Final = (
    _PRIVILEGED,
    "ecs.capability.container-ordering",
    "ecs.capability.container-health-check",
    "ecs.capability.container-restart-policy",
    "ecs.capability.full-sync",
    "ecs.capability.task-cpu-mem-limit",
    "ecs.capability.network.container-port-range",
    "ecs.capability.pid-ipc-namespace-sharing",
)
_ARCHITECTURES: Final = {"aarch64": "arm64", "amd64": "x86_64"}


async def register(
    settings: AgentSettings,
    link: Link,
    state_file: StateFile,
    engine_info: dict[str, Any],
    *,
    capabilities: Sequence[str] = (),
) -> str:
    """Register this container instance, as often as it takes; answers its ARN.

    `capabilities` are those beyond what every agent has. Raises AgentStartError when the control
    plane refuses for good.
    """
    facts = state_file.read_facts()
    refuse_other_cluster(settings, facts)
    if INSTANCE_ID_FACT not in facts:
        facts = {
            INSTANCE_ID_FACT: f"i-{secrets.token_hex(9)[:17]}",
            CLUSTER_FACT: settings.cluster,
        }
        state_file.write_facts(facts)
    request = make_registration(settings, engine_info, facts, capabilities)
    reply = await _register_until_answered(settings, link, request)
    instance = reply.container_instance
    if instance is None or not instance.container_instance_arn:
        raise AgentStartError(f"{settings.endpoint} isn't an ECS control plane: no ARN given")
    if facts.get(ARN_FACT) != instance.container_instance_arn:
        state_file.write_facts({ARN_FACT: instance.container_instance_arn})
    return instance.container_instance_arn


def refuse_other_cluster(settings: AgentSettings, facts: dict[str, str]) -> None:
    """An instance never moves to another cluster: its state belongs to the first."""
    saved = facts.get(CLUSTER_FACT, settings.cluster)
    if saved != settings.cluster:
        raise AgentStartError(
            f"Data mismatch; saved cluster '{saved}' does not match configured cluster"
            f" '{settings.cluster}': give --data-dir another directory, or deregister the container"
            f" instance and delete {settings.data_dir}"
        )


def make_registration(
    settings: AgentSettings,
    engine_info: dict[str, Any],
    facts: dict[str, str],
    capabilities: Sequence[str] = (),
) -> ecs.RegisterContainerInstanceRequest:
    """The registration request; custom attributes go with the first registration only.

    So does the clientToken: whoever missed the answer gets the same ARN by asking the same again,
    also after a crash, and a later registration names its ARN.
    """
    known_arn = facts.get(ARN_FACT)
    names = [*list_capabilities(settings, engine_info), *capabilities]
    if SUBNET_ATTRIBUTE in settings.attributes:
        names.append("ecs.capability.task-eni")
    attributes = [ecs.Attribute(name=name) for name in names]
    attributes += [
        ecs.Attribute(name="ecs.os-type", value="linux"),
        ecs.Attribute(name="ecs.os-family", value="LINUX"),
    ]
    if known_arn is None:
        attributes += [ecs.Attribute(name=n, value=v) for n, v in settings.attributes.items()]
    request = ecs.RegisterContainerInstanceRequest(
        cluster=settings.cluster,
        container_instance_arn=known_arn,
        instance_identity_document=_make_identity(settings, engine_info, facts),
        instance_identity_document_signature="",
        total_resources=_list_resources(settings, engine_info),
        platform_devices=_list_gpus(settings, facts) or None,
        attributes=attributes,
        tags=[ecs.Tag(key=key, value=value) for key, value in settings.instance_tags.items()]
        or None,
    )
    if known_arn is None:
        # Its instance id makes each instance's request its own.
        request.client_token = hashlib.sha256(msgspec.json.encode(request)).hexdigest()
    return request


def list_capabilities(settings: AgentSettings, engine_info: dict[str, Any]) -> list[str]:
    """What this agent and its Engine can do and may do, under Amazon's attribute names."""
    names = [n for n in _CAPABILITIES if n != _PRIVILEGED or not settings.disable_privileged]
    names += [f"com.amazonaws.ecs.capability.docker-remote-api.1.{n}" for n in _API_VERSIONS]
    plugins = engine_info.get("Plugins") or {}
    drivers = {*(plugins.get("Log") or ["json-file"]), "none"}
    if settings.logging_drivers:
        drivers &= set(settings.logging_drivers)
    names += [f"com.amazonaws.ecs.capability.logging-driver.{name}" for name in sorted(drivers)]
    names += [f"ecs.capability.docker-plugin.{name}" for name in plugins.get("Volume") or []]
    security = " ".join(engine_info.get("SecurityOptions") or [])
    names += [
        f"com.amazonaws.ecs.capability.{module}"
        for module in ("apparmor", "selinux")
        if f"name={module}" in security
    ]
    return names


def _list_resources(settings: AgentSettings, engine_info: dict[str, Any]) -> list[ecs.Resource]:
    offered = find_instance_type(settings.instance_type) or _measure(engine_info)
    cpu_units = settings.cpu_units or offered.cpu_units
    memory_mib = (settings.memory_mib or offered.memory_mib) - settings.reserved_memory_mib
    if memory_mib <= 0:
        raise AgentStartError(
            f"reserved memory of {settings.reserved_memory_mib} MiB leaves none for tasks: lower it"
        )
    return [
        ecs.Resource(name="CPU", type="INTEGER", integer_value=cpu_units),
        ecs.Resource(name="MEMORY", type="INTEGER", integer_value=memory_mib),
        _port_set("PORTS", settings.reserved_ports),
        _port_set("PORTS_UDP", settings.reserved_ports_udp),
    ]


def _measure(engine_info: dict[str, Any]) -> InstanceType:
    """What the Engine's machine offers."""
    return InstanceType(
        cpu_units=int(engine_info.get("NCPU") or 1) * CPU_UNITS_PER_CPU,
        memory_mib=int(engine_info.get("MemTotal") or 0) // BYTES_PER_MIB,
    )


def _list_gpus(settings: AgentSettings, facts: dict[str, str]) -> list[ecs.PlatformDevice]:
    """The GPUs as they are declared; their ids stay the same for the instance."""
    if settings.gpu_ids:
        return [ecs.PlatformDevice(id=gpu_id, type="GPU") for gpu_id in settings.gpu_ids]
    count = settings.gpu_count
    if count is None:
        known = find_instance_type(settings.instance_type)
        count = 0 if known is None else known.gpu_count
    name = facts[INSTANCE_ID_FACT].removeprefix("i-")
    return [ecs.PlatformDevice(id=f"GPU-{name}-{n}", type="GPU") for n in range(count)]


def _port_set(name: str, numbers: tuple[int, ...]) -> ecs.Resource:
    return ecs.Resource(name=name, type="STRINGSET", string_set_value=[str(n) for n in numbers])


def _make_identity(
    settings: AgentSettings, engine_info: dict[str, Any], facts: dict[str, str]
) -> str:
    """An instance identity document in EC2's shape; what isn't known is left out."""
    known = find_instance_type(settings.instance_type)
    machine = str(engine_info.get("Architecture") or "x86_64")
    architecture = known.architecture if known else _ARCHITECTURES.get(machine, machine)
    document = {
        "instanceId": facts[INSTANCE_ID_FACT],
        "instanceType": settings.instance_type,
        "availabilityZone": settings.availability_zone,
        "region": settings.region,
        "architecture": architecture,
        "version": "2017-09-30",
    }
    given = {name: value for name, value in document.items() if value is not None}
    return msgspec.json.encode(given).decode()


async def _register_until_answered(
    settings: AgentSettings, link: Link, request: ecs.RegisterContainerInstanceRequest
) -> ecs.RegisterContainerInstanceResponse:
    backoff = Backoff(first_s=FIRST_RETRY_S, last_s=LAST_RETRY_S)
    give_up_at_s = time.monotonic() + GIVE_UP_AFTER_S
    said, say_again_at_s = "", 0.0
    while True:
        trouble: Exception
        try:
            return await link.call(
                "RegisterContainerInstance", request, ecs.RegisterContainerInstanceResponse
            )
        except ControlPlaneUnavailable as error:
            trouble = error
        except ControlPlaneRefusal as refusal:
            if CLUSTER_NOT_FOUND in refusal.message and settings.cluster == DEFAULT_CLUSTER:
                await _create_default_cluster(link)
                continue
            if not refusal.is_retryable:
                raise _explain(settings, request, refusal) from refusal
            trouble = refusal
        if time.monotonic() >= give_up_at_s:
            raise AgentStartError(
                f"can't register with {settings.endpoint} ({trouble}): is the control plane running"
                " there? Start it with `homeport server`, or set --endpoint"
            ) from trouble
        if str(trouble) != said or time.monotonic() >= say_again_at_s:
            LOG.info("waiting for the control plane: %s", trouble)
            said, say_again_at_s = str(trouble), time.monotonic() + SAY_AGAIN_AFTER_S
        await asyncio.sleep(backoff.next_s())


async def _create_default_cluster(link: Link) -> None:
    """Like Amazon's agent, make the default cluster when it isn't there yet."""
    request = ecs.CreateClusterRequest(cluster_name=DEFAULT_CLUSTER)
    try:
        await link.call("CreateCluster", request, ecs.CreateClusterResponse)
    except ControlPlaneUnavailable as trouble:
        LOG.info("waiting for the control plane: %s", trouble)
        await asyncio.sleep(FIRST_RETRY_S)
    except ControlPlaneRefusal as refusal:
        raise AgentStartError(f"can't create cluster {DEFAULT_CLUSTER}: {refusal}") from refusal


def _explain(
    settings: AgentSettings,
    request: ecs.RegisterContainerInstanceRequest,
    refusal: ControlPlaneRefusal,
) -> AgentStartError:
    """A refusal in one line, with what to do about it."""
    if CLUSTER_NOT_FOUND in refusal.message:
        advice = f"create it first: aws ecs create-cluster --cluster-name {settings.cluster}"
    elif request.container_instance_arn is not None:
        advice = (
            f"{settings.data_dir} belongs to {request.container_instance_arn}; to register anew,"
            " deregister that container instance and delete the directory"
        )
    else:
        advice = "change the agent's settings accordingly"
    return AgentStartError(
        f"{settings.endpoint} refuses this container instance: {refusal}; {advice}"
    )
