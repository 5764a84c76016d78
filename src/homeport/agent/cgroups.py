"""Makes and removes the cgroups that bound whole tasks, where the agent can: see `find_scheme`.

What they are called and what is written into them is `task_cgroup`'s business.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from homeport.agent import task_cgroup

if TYPE_CHECKING:
    from collections.abc import Iterator

    from homeport.agent.task_cgroup import LimitFile, TaskLimits
    from homeport.wire.agent_messages import payload

CGROUP_ROOT: Final = Path("/sys/fs/cgroup")
SYSTEMD_RUNS: Final = Path("/run/systemd/system")
SUBTREE_CONTROL: Final = "cgroup.subtree_control"
SYSTEMCTL_TIMEOUT_S: Final = 30
NOT_THERE: Final = (errno.ENOENT, errno.ENOTDIR)


class CgroupTrouble(Exception):
    """The kernel or systemd refused; the text says what was asked of it."""


class TaskCgroups:
    """The parent cgroups of this instance's tasks."""

    def __init__(self, scheme: str, engine_cpus: int, root: Path = CGROUP_ROOT) -> None:
        self.scheme = scheme
        self._engine_cpus = engine_cpus
        self._root = root

    async def ensure(self, task: payload.Task) -> None:
        """Have a task's limits in force before a container of it runs; raises CgroupTrouble.

        A task without limits of its own has no cgroup. Asked again, the same limits are set again.
        """
        limits = task_cgroup.find_limits(task, self._engine_cpus)
        if limits is None:
            return
        name = task_cgroup.name_parent(self.scheme, task.arn)
        if self.scheme == task_cgroup.SLICES:
            await _ensure_slice(name, limits)
            return
        try:
            if self.scheme == task_cgroup.FILES_V1:
                self._ensure_v1(name, task_cgroup.list_v1_files(limits))
            else:
                self._ensure_v2(name, task_cgroup.list_v2_files(limits))
        except OSError as error:
            raise CgroupTrouble(f"cgroup {name} of the task: {error}") from error

    async def remove(self, task: payload.Task) -> None:
        """Remove a task's cgroup, whose containers are gone; raises CgroupTrouble if it is busy."""
        if task_cgroup.find_limits(task, self._engine_cpus) is None:
            return
        name = task_cgroup.name_parent(self.scheme, task.arn)
        if self.scheme == task_cgroup.SLICES:
            await _remove_slice(name)
            return
        for folder in self._folders(name):
            try:
                folder.rmdir()
            except OSError as error:
                if error.errno not in NOT_THERE:
                    raise CgroupTrouble(f"cgroup {folder} of the task: {error}") from error

    def _ensure_v1(self, name: str, files: tuple[LimitFile, ...]) -> None:
        for file in files:
            folder = self._root / file.controller / name.lstrip("/")
            folder.mkdir(parents=True, exist_ok=True)
            (folder / file.name).write_text(file.text)

    def _ensure_v2(self, name: str, files: tuple[LimitFile, ...]) -> None:
        folder = self._root / name.lstrip("/")
        folder.mkdir(parents=True, exist_ok=True)
        wanted = " ".join(f"+{controller}" for controller in ("cpu", "memory"))
        # From the top down: a cgroup has the controllers that its parent hands on.
        for parent in (self._root, folder.parent):
            (parent / SUBTREE_CONTROL).write_text(wanted)
        for file in files:
            (folder / file.name).write_text(file.text)

    def _folders(self, name: str) -> Iterator[Path]:
        """Where the cgroup may be: Docker makes it in the hierarchies that we didn't need, too."""
        if self.scheme == task_cgroup.FILES_V2:
            yield self._root / name.lstrip("/")
            return
        for hierarchy in sorted({folder.resolve() for folder in self._root.iterdir()}):
            yield hierarchy / name.lstrip("/")


def find_scheme(
    engine_info: dict[str, Any], docker_host: str, root: Path = CGROUP_ROOT
) -> tuple[str | None, str]:
    """How tasks' cgroups can be made on this machine; None with the reason if they can't be."""
    if not docker_host.startswith("unix://"):
        return None, "the Docker Engine is on another machine"
    driver = str(engine_info.get("CgroupDriver") or "")
    version = str(engine_info.get("CgroupVersion") or "1")
    if driver == "systemd":
        is_usable = SYSTEMD_RUNS.is_dir() and shutil.which("systemctl") and os.geteuid() == 0
        return (task_cgroup.SLICES, "") if is_usable else (None, "systemd can't be told by us")
    if driver != "cgroupfs":
        return None, f"Docker's cgroup driver is {driver or 'not known'}"
    needed = [root] if version == "2" else [root / "memory", root / "cpu"]
    for folder in needed:
        if not os.access(folder, os.W_OK | os.X_OK):
            return None, f"{folder} can't be written to: run the agent as root"
    return (task_cgroup.FILES_V2 if version == "2" else task_cgroup.FILES_V1), ""


async def _ensure_slice(name: str, limits: TaskLimits) -> None:
    properties = task_cgroup.list_slice_properties(limits)
    await _systemctl("set-property", "--runtime", name, *properties)
    await _systemctl("start", name)


async def _remove_slice(name: str) -> None:
    await _systemctl("stop", name)
    await _systemctl("revert", name)


async def _systemctl(*arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(
        "systemctl",
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(SYSTEMCTL_TIMEOUT_S):
            _, said = await process.communicate()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise CgroupTrouble(f"systemctl {' '.join(arguments)}: no answer") from None
    if process.returncode != 0:
        reason = said.decode(errors="replace").strip()
        raise CgroupTrouble(f"systemctl {' '.join(arguments)}: {reason}")
