"""Overrides: limits, merging, and what is kept of them."""

import msgspec
import pytest

from builders import make_task_definition
from homeport.api import ecs
from homeport.core.lifecycle.new_task import NO_OVERRIDES, ContainerOverride
from homeport.model.task_definition import ContainerSpec
from homeport.operations.ecs.task_overrides import OVERRIDES_LENGTH_CHARACTERS, check_overrides

DEFINITION = make_task_definition(
    containers=(
        ContainerSpec(name="web", image="nginx", memory_mib=300, memory_reservation_mib=100),
        ContainerSpec(name="log", image="fluent", memory_mib=100),
    )
)


def override(**members):
    return ecs.TaskOverride(container_overrides=[ecs.ContainerOverride(**members)])


@pytest.mark.parametrize(
    ("size_gib", "is_sound"), [(20, False), (21, True), (200, True), (201, False)]
)
def test_the_disk_of_a_task_on_fargate_has_a_size_between_bounds(size_gib, is_sound):
    given = ecs.TaskOverride(ephemeral_storage=ecs.EphemeralStorage(size_in_gib=size_gib))
    if is_sound:
        kept = msgspec.json.decode(check_overrides(given, DEFINITION, "FARGATE").document)
        assert kept["ephemeralStorage"] == {"sizeInGiB": size_gib}
    else:
        with pytest.raises(ecs.InvalidParameterException, match="between 21 and 200 GiB"):
            check_overrides(given, DEFINITION, "FARGATE")


@pytest.mark.parametrize(
    "given",
    [
        None,
        ecs.TaskOverride(),
        ecs.TaskOverride(container_overrides=[], inference_accelerator_overrides=[]),
        override(name="web"),
    ],
)
def test_overrides_that_override_nothing_are_none(given):
    assert check_overrides(given, DEFINITION) == NO_OVERRIDES


def test_every_container_is_named_in_what_is_kept():
    kept = check_overrides(override(name="log", command=["echo"]), DEFINITION)
    assert msgspec.json.decode(kept.document)["containerOverrides"] == [
        {"name": "log", "command": ["echo"]},
        {"name": "web"},
    ]


def test_sizes_are_taken_out_for_decisions():
    given = override(name="web", cpu=10, memory=200, memory_reservation=50)
    given.cpu, given.memory = ".5 vCPU", "1 GB"
    kept = check_overrides(given, DEFINITION)
    assert (kept.cpu_units, kept.memory_mib) == (512, 1_024)
    assert kept.containers == (
        ContainerOverride(name="web", cpu_units=10, memory_mib=200, memory_reservation_mib=50),
    )


def test_roles_are_kept_as_they_are():
    given = ecs.TaskOverride(task_role_arn="arn:aws:iam::1:role/a")
    kept = msgspec.json.decode(check_overrides(given, DEFINITION).document)
    assert kept["taskRoleArn"] == "arn:aws:iam::1:role/a"


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (
            override(name="db", command=["x"]),
            "Override for container named db is not a container in the TaskDefinition.",
        ),
        (override(command=["x"]), "name should not be null or empty"),
        (override(name="web", cpu=-1), "'cpu'"),
        (override(name="web", memory=3), "'memory'"),
        (override(name="web", memory=0), "'memory'"),
        (override(name="web", memory_reservation=301), "greater than"),
        (override(name="web", memory=50), "greater than"),
        (override(name="web", environment=[ecs.KeyValuePair(value="x")]), "no name"),
        (override(name="web", command=["x" * OVERRIDES_LENGTH_CHARACTERS]), "at most 8192"),
        (
            ecs.TaskOverride(
                container_overrides=[ecs.ContainerOverride(name="web", cpu=n) for n in (1, 2)]
            ),
            "more than once",
        ),
        (ecs.TaskOverride(ephemeral_storage=ecs.EphemeralStorage(size_in_gib=30)), "FARGATE"),
    ],
)
def test_bad_overrides_are_refused_with_the_reason(given, text):
    with pytest.raises(ecs.InvalidParameterException) as refusal:
        check_overrides(given, DEFINITION)
    assert text in refusal.value.message


@pytest.mark.parametrize(
    "given",
    [
        override(name="web", resource_requirements=[ecs.ResourceRequirement(type="GPU")]),
        ecs.TaskOverride(
            inference_accelerator_overrides=[ecs.InferenceAcceleratorOverride(device_name="d")]
        ),
        ecs.TaskOverride(cpu="lots"),
        ecs.TaskOverride(memory="-5"),
    ],
)
def test_what_cannot_be_overridden_is_refused(given):
    with pytest.raises(ecs.ClientException):
        check_overrides(given, DEFINITION)


def test_the_limit_counts_the_json_of_the_overrides():
    frame = len('{"containerOverrides":[{"name":"web","command":[""]}]}')
    fits = "x" * (OVERRIDES_LENGTH_CHARACTERS - frame)
    assert check_overrides(override(name="web", command=[fits]), DEFINITION).document
    with pytest.raises(ecs.InvalidParameterException):
        check_overrides(override(name="web", command=[fits + "x"]), DEFINITION)
