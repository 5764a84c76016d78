"""`homeport agent`: the container agent of one container instance, in the foreground.

`homeport agent [FLAGS] install` makes a systemd unit of it.
"""

from pathlib import Path
from typing import Annotated

import typer

from homeport.cli.agent_unit import UNIT_FILE, UNIT_NAME, render_unit
from homeport.cli.failure import CommandFailure
from homeport.cli.local_instances import setting_flags
from homeport.cli.logs import start_logging
from homeport.cli.settings_flags import ConfigFile, with_settings
from homeport.config import AgentConfig, load_agent_config

app = typer.Typer(name="agent", invoke_without_command=True, rich_markup_mode=None)


@app.callback()
@with_settings(AgentConfig)
def agent(*, context: typer.Context, config: ConfigFile = None, **flags: object) -> None:
    """Run the container agent: this machine as a container instance.

    SIGTERM and SIGINT stop the agent and leave its containers running, as Amazon's agent does;
    started again with the same data folder it picks them up. ECS_* variables that users of
    Amazon's agent know are read, too.
    """
    settings = load_agent_config(flags, config_file=config)
    if context.invoked_subcommand is not None:
        given = {name for name, value in flags.items() if value is not None}
        context.obj = setting_flags(settings, sorted({*given, "data_dir"}))
        return
    start_logging(settings.log_level)

    import uvloop  # imported late: only this command needs it

    from homeport.agent.main import run_agent
    from homeport.agent.settings import AgentStartError, make_settings

    try:
        uvloop.run(run_agent(make_settings(settings)))
    except AgentStartError as trouble:
        raise CommandFailure(str(trouble)) from trouble


@app.command()
def install(
    context: typer.Context,
    *,
    unit_file: Annotated[
        Path, typer.Option(metavar="FILE", help="Where to write the unit.")
    ] = Path(UNIT_FILE),
    only_print: Annotated[
        bool, typer.Option("--print", help="Print the unit instead of writing it.")
    ] = False,
) -> None:
    """Write a systemd unit that runs the agent with these flags.

    They are given before `install`. Variables in /etc/ecs/ecs.config are read at each start, as
    Amazon's agent does; flags win.
    """
    text = render_unit(context.obj)
    if only_print:
        print(text, end="")
        return
    try:
        unit_file.write_text(text)
    except OSError as trouble:
        raise CommandFailure(
            f"can't write {unit_file}: {trouble.strerror}; run as root, or see it with --print"
        ) from trouble
    print(f"wrote {unit_file}; now: systemctl daemon-reload && systemctl enable --now {UNIT_NAME}")
