"""`homeport server`: the control plane alone, in the foreground."""

from homeport.cli.failure import CommandFailure
from homeport.cli.logs import start_logging
from homeport.cli.settings_flags import ConfigFile, with_settings
from homeport.config import Config, load_config


@with_settings(Config)
def server(*, config: ConfigFile = None, **flags: object) -> None:
    """Run the control plane: the ECS API and the agents' gateway.

    Prints one line containing "listening on http://HOST:PORT" when it is ready.
    SIGTERM and SIGINT stop it; nothing that was acknowledged is lost.
    """
    settings = load_config(flags, config_file=config)
    start_logging(settings.log_level)

    import uvloop  # imported late: only this command needs it

    from homeport.app import run_server
    from homeport.server.open_files import raise_open_files_limit
    from homeport.server.serve import ListenError
    from homeport.storage.errors import StorageError

    raise_open_files_limit()
    try:
        uvloop.run(run_server(settings))
    except (ListenError, StorageError) as trouble:
        raise CommandFailure(str(trouble)) from trouble
