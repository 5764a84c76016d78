"""The options by which a command finds its server, the same for all: --endpoint, --region.

What a command asks is its own business.
"""

from typing import Annotated

import typer

from homeport.cli.api_client import ApiClient
from homeport.config import load_config

DEFAULT_CLUSTER = "default"

Endpoint = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        envvar="AWS_ENDPOINT_URL",
        help="The server to ask; default: the configured port on this machine.",
    ),
]
Region = Annotated[
    str | None,
    typer.Option(
        help="The AWS region to ask about; default: the configured one.",
        envvar=["AWS_REGION", "AWS_DEFAULT_REGION"],
    ),
]
Cluster = Annotated[str, typer.Option(metavar="NAME", help="The cluster's name or ARN.")]


def make_client(endpoint: str | None, region: str | None, config: str | None) -> ApiClient:
    """A client of the server that the options, or the settings, name."""
    settings = load_config({"region": region}, config_file=config)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return ApiClient(endpoint or f"http://{host}:{settings.port}", settings.region)
