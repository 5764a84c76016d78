"""`homeport agent`: the container agent of one container instance, in the foreground."""

from homeport.cli.failure import CommandFailure
from homeport.cli.logs import start_logging
from homeport.cli.settings_flags import ConfigFile, with_settings
from homeport.config import AgentConfig, load_agent_config


@with_settings(AgentConfig)
def agent(*, config: ConfigFile = None, **flags: object) -> None:
    """Run the container agent: register this machine as a container instance and run its tasks.

    SIGTERM and SIGINT stop the agent and leave its containers running, as Amazon's agent does;
    started again with the same data folder it picks them up.
    """
    settings = load_agent_config(flags, config_file=config)
    start_logging(settings.log_level)

    import uvloop  # imported late: only this command needs it

    from homeport.agent.main import run_agent
    from homeport.agent.settings import AgentStartError, make_settings

    try:
        uvloop.run(run_agent(make_settings(settings)))
    except AgentStartError as trouble:
        raise CommandFailure(str(trouble)) from trouble
