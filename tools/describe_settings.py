"""Writes docs/configuration.md from the settings records; a test fails when it lags behind."""

from pathlib import Path

from homeport.config import AgentConfig, Config, describe_option, environment_name, flag_name

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "configuration.md"

HEAD = """\
# Configuration

A setting comes from, strongest first: a flag, an environment variable, the TOML file, its default.
The file is the one named by `--config` or `HOMEPORT_CONFIG`, else `./homeport.toml`, else
`$XDG_CONFIG_HOME/homeport/homeport.toml` (`~/.config` by default). A value that cannot be used, and
a name in the file that is no setting, end the program with one line that says where it came from.

```toml
# homeport.toml
[server]
stopped_task_retention_s = 604800   # keep stopped tasks for a week instead of AWS's hour

[agent]
image_pull_behavior = "once"

[agent.attributes]
stack = "prod"
```

The server listens on loopback addresses only, since it takes any credentials. An access key of
twelve digits picks that account; any other means `account_id`.

`homeport up` reads both tables. It gives each of its agents a name (attribute
`homeport.instance`), zone, bind address and data folder of its own and, unless a setting says
otherwise, an equal share of the machine, `image_pull_behavior = "prefer-cached"` and
`task_cleanup_wait_s = 300`.

This file is written by `python tools/describe_settings.py`.
"""


def describe_settings() -> str:
    """The whole document."""
    return "\n".join([HEAD, _table("server", Config), _table("agent", AgentConfig)])


def _table(name: str, record: type[Config] | type[AgentConfig]) -> str:
    lines = [
        f"## `homeport {name}`, table `[{name}]`\n",
        "| setting | flag | environment | default | |",
        "|---|---|---|---|---|",
    ]
    for setting in record.__struct_fields__:
        default = getattr(record(), setting)
        shown = "" if default in (None, "", {}, ()) else f"`{str(default).lower()}`"
        flag, variable = flag_name(setting), environment_name(record, setting)
        lines.append(
            f"| `{setting}` | `{flag}` | `{variable}` | {shown} "
            f"| {describe_option(record, setting)} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    DOCUMENT.write_text(describe_settings())
