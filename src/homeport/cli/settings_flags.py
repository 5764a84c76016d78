"""Flags made from the settings records, so that name, type, default and help are said once.

Not here: reading and checking the values (`config`).
"""

import inspect
from collections.abc import Callable, Iterable
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import typer

from homeport.config import AgentConfig, Config, describe_option, environment_name, flag_name

# Where the default is not a constant, this is what the help text shows.
_SHOWN_DEFAULTS = {"data_dir": "in the user's data folder"}
_METAVARS: dict[type, str] = {dict: "NAME=VALUE", tuple: "VALUE"}

ConfigFile = Annotated[
    str | None,
    typer.Option(
        "--config",
        metavar="FILE",
        envvar="HOMEPORT_CONFIG",
        show_envvar=True,
        help="TOML file with settings; default: ./homeport.toml, then the user's configuration.",
    ),
]


def with_settings(
    record: type[Config] | type[AgentConfig], names: Iterable[str] | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command one flag for each setting of `record` (or those in `names`).

    The command's last parameter must be `**flags`; it receives the settings by name, None where
    the flag was not given.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = [
            parameter
            for parameter in inspect.signature(command, eval_str=True).parameters.values()
            if parameter.kind is not inspect.Parameter.VAR_KEYWORD
        ]
        made = [_make_parameter(record, name) for name in names or record.__struct_fields__]

        def run(**arguments: object) -> None:
            command(**arguments)

        run.__doc__ = command.__doc__
        run.__name__ = command.__name__
        run.__signature__ = inspect.Signature([*made, *own])  # type: ignore[attr-defined]
        run.__annotations__ = {each.name: each.annotation for each in [*made, *own]}
        return run

    return decorate


def _make_parameter(record: type[Config] | type[AgentConfig], name: str) -> inspect.Parameter:
    kind = _plain_type(get_type_hints(record)[name])
    default = getattr(record(), name)
    shown = _SHOWN_DEFAULTS.get(name) or ("" if default in (None, {}, ()) else str(default))
    flag = flag_name(name)
    flags = (f"{flag}/--no-{flag[2:]}",) if kind is bool else (flag,)
    option = typer.Option(
        *flags,
        help=f"{describe_option(record, name)} (env {environment_name(record, name)})",
        show_default=(shown or False) if kind is not bool else False,
        metavar=_METAVARS.get(kind),
    )
    plain = list[str] if kind in (dict, tuple) else kind
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[plain | None, option],
    )


def _plain_type(hint: Any) -> Any:
    """`int` of `int | None`, `dict` of `dict[str, str]`, a Literal as it is."""
    if get_origin(hint) in (Union, UnionType):
        hint = next(each for each in get_args(hint) if each is not type(None))
    origin = get_origin(hint)
    return origin if origin in (dict, tuple) else hint
