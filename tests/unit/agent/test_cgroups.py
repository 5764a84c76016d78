"""Tasks' cgroups in folders that stand for the kernel's, and where they can't be made at all."""

from pathlib import Path
from typing import Any

import pytest

from agent_builders import make_container, make_task
from homeport.agent.cgroups import CgroupTrouble, TaskCgroups, find_scheme
from homeport.agent.task_cgroup import FILES_V1, FILES_V2
from homeport.wire.agent_messages import payload

SOCKET = "unix:///var/run/docker.sock"


def limited_task() -> payload.Task:
    return make_task(make_container("i"), cpu=0.5, memory=64)


def task_id(task: payload.Task) -> str:
    return task.arn.rpartition("/")[2]


@pytest.fixture
def hierarchies(tmp_path: Path) -> Path:
    for name in ("cpu", "memory", "pids"):
        (tmp_path / name).mkdir()
    return tmp_path


async def test_version_1_gets_the_limits_in_each_hierarchy(hierarchies: Path):
    task = limited_task()
    await TaskCgroups(FILES_V1, 2, hierarchies).ensure(task)
    folder = hierarchies / "memory" / "ecs" / task_id(task)
    assert (folder / "memory.limit_in_bytes").read_text() == "67108864"
    quota = hierarchies / "cpu" / "ecs" / task_id(task) / "cpu.cfs_quota_us"
    assert quota.read_text() == "50000"


async def test_version_2_hands_the_controllers_down_before_it_sets_limits(tmp_path: Path):
    task = limited_task()
    await TaskCgroups(FILES_V2, 2, tmp_path).ensure(task)
    for parent in (tmp_path, tmp_path / "ecs"):
        assert (parent / "cgroup.subtree_control").read_text() == "+cpu +memory"
    assert (tmp_path / "ecs" / task_id(task) / "cpu.max").read_text() == "50000 100000"


async def test_a_task_without_limits_leaves_no_trace(hierarchies: Path):
    cgroups = TaskCgroups(FILES_V1, 2, hierarchies)
    task = make_task(make_container("i"))
    await cgroups.ensure(task)
    await cgroups.remove(task)
    assert [*hierarchies.glob("*/ecs")] == []


async def test_removal_reaches_the_hierarchies_that_docker_made_it_in(hierarchies: Path):
    task = limited_task()
    for name in ("memory", "pids"):
        (hierarchies / name / "ecs" / task_id(task)).mkdir(parents=True)
    cgroups = TaskCgroups(FILES_V1, 2, hierarchies)
    await cgroups.remove(task)
    await cgroups.remove(task)  # gone already is fine
    assert [*hierarchies.glob(f"*/ecs/{task_id(task)}")] == []


async def test_a_cgroup_that_still_has_a_container_is_not_called_removed(hierarchies: Path):
    task = limited_task()
    (hierarchies / "memory" / "ecs" / task_id(task) / "container").mkdir(parents=True)
    with pytest.raises(CgroupTrouble, match="memory/ecs"):
        await TaskCgroups(FILES_V1, 2, hierarchies).remove(task)


async def test_what_the_kernel_refuses_is_said_with_the_cgroups_name(hierarchies: Path):
    (hierarchies / "memory" / "ecs").write_text("in the way")
    with pytest.raises(CgroupTrouble, match="cgroup /ecs/"):
        await TaskCgroups(FILES_V1, 2, hierarchies).ensure(limited_task())


@pytest.mark.parametrize(
    ("info", "docker_host", "why"),
    [
        ({"CgroupDriver": "cgroupfs"}, "tcp://10.0.0.1:2375", "another machine"),
        ({"CgroupDriver": "none", "CgroupVersion": "2"}, SOCKET, "driver is none"),
        ({}, SOCKET, "not known"),
        ({"CgroupDriver": "cgroupfs", "CgroupVersion": "1"}, SOCKET, "can't be written"),
    ],
)
def test_where_no_cgroup_can_be_made_the_reason_is_said(
    info: dict[str, Any], docker_host: str, why: str, tmp_path: Path
):
    scheme, reason = find_scheme(info, docker_host, tmp_path / "missing")
    assert scheme is None
    assert why in reason


@pytest.mark.parametrize(("version", "scheme"), [("1", FILES_V1), ("2", FILES_V2)])
def test_the_scheme_is_that_of_the_engines_cgroups(version: str, scheme: str, hierarchies: Path):
    info = {"CgroupDriver": "cgroupfs", "CgroupVersion": version}
    assert find_scheme(info, SOCKET, hierarchies) == (scheme, "")
