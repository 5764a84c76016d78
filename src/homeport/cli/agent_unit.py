"""The systemd unit of `homeport agent`: its text. Pure but for where the program is.

Not here: the command that writes it (`agent`).
"""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

UNIT_NAME = "homeport-agent.service"
UNIT_FILE = f"/etc/systemd/system/{UNIT_NAME}"
ENVIRONMENT_FILE = "/etc/ecs/ecs.config"
"""Where Amazon's agent is told its ECS_* variables; ours knows them, too."""

_UNIT = """\
[Unit]
Description=Homeport container agent
After=network-online.target docker.service
Wants=network-online.target docker.service

[Service]
Type=exec
EnvironmentFile=-{environment_file}
ExecStart={command}
Restart=always
RestartSec=10
# Containers live on when the agent stops: they are Docker's, not this unit's.
KillMode=mixed
TimeoutStopSec=30

[Install]
WantedBy=multi-user.target
"""


def render_unit(flags: Sequence[str], *, program: Sequence[str] | None = None) -> str:
    """The unit that runs this Homeport's agent with these flags."""
    command = shlex.join([*(program or find_program()), "agent", *flags])
    # In a unit, % and $ mean something of systemd's own.
    command = command.replace("%", "%%").replace("$", "$$")
    return _UNIT.format(environment_file=ENVIRONMENT_FILE, command=command)


def find_program() -> list[str]:
    """How this Homeport is started, by absolute paths: systemd knows no other."""
    beside = Path(sys.executable).parent / "homeport"
    return [str(beside)] if beside.is_file() else [sys.executable, "-m", "homeport"]
