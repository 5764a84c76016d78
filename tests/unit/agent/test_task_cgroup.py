"""The limits of a whole task, as they are written for the kernel or told to systemd."""

import pytest

from agent_builders import make_container, make_task
from homeport.agent.task_cgroup import (
    FILES_V1,
    SLICES,
    LimitFile,
    TaskLimits,
    find_limits,
    list_slice_properties,
    list_v1_files,
    list_v2_files,
    name_parent,
)

MIB = 1024 * 1024
BOTH = TaskLimits(vcpus=0.25, memory_bytes=512 * MIB)


def test_a_task_without_limits_of_its_own_has_none_however_its_containers_are_bounded():
    assert find_limits(make_task(make_container("i", memory=64, cpu=10)), 2) is None


def test_a_tasks_cpu_is_at_most_what_the_engine_has():
    task = make_task(make_container("i"), cpu=8.0, memory=512)
    assert find_limits(task, 2) == TaskLimits(vcpus=2.0, memory_bytes=512 * MIB)


@pytest.mark.parametrize(
    ("members", "limits"),
    [
        ({"cpu": 0.5}, TaskLimits(vcpus=0.5)),
        ({"memory": 32}, TaskLimits(memory_bytes=32 * MIB)),
    ],
)
def test_one_limit_alone_is_enough(members: dict[str, float], limits: TaskLimits):
    assert find_limits(make_task(make_container("i"), **members), 2) == limits


def test_the_parents_are_named_as_amazons_agent_names_them():
    arn = "arn:aws:ecs:us-east-1:123456789012:task/default/0123abcd"
    assert name_parent(FILES_V1, arn) == "/ecs/0123abcd"
    assert name_parent(SLICES, arn) == "ecstasks-0123abcd.slice"


def test_version_1_has_a_hierarchy_for_memory_and_one_for_cpu():
    assert list_v1_files(BOTH) == (
        LimitFile("memory", "memory.limit_in_bytes", "536870912"),
        LimitFile("cpu", "cpu.cfs_period_us", "100000"),
        LimitFile("cpu", "cpu.cfs_quota_us", "25000"),
        LimitFile("cpu", "cpu.shares", "256"),
    )


def test_version_2_says_quota_and_period_in_one_line_and_weighs_on_its_own_scale():
    assert list_v2_files(BOTH) == (
        LimitFile("memory", "memory.max", "536870912"),
        LimitFile("cpu", "cpu.max", "25000 100000"),
        LimitFile("cpu", "cpu.weight", "10"),
    )


def test_systemd_is_told_percents_of_a_core():
    assert list_slice_properties(BOTH) == ("MemoryMax=536870912", "CPUQuota=25%", "CPUWeight=10")
    assert list_slice_properties(TaskLimits(memory_bytes=4 * MIB)) == ("MemoryMax=4194304",)


def test_a_quota_below_what_the_kernel_takes_is_raised_to_that():
    assert TaskLimits(vcpus=0.001).quota_us == 1_000
