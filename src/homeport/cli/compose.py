"""A compose file: read as YAML 1.2, variables filled in, its services in order.

One service's members are `compose_service`'s work. Source: the Compose specification,
docs.docker.com/reference/compose-file.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import yaml

from homeport.cli.compose_service import NOT_TAKEN, REFUSED, ComposeFile, read_service
from homeport.cli.compose_values import Where, read_map, read_text
from homeport.cli.deploy_wish import WantedService
from homeport.cli.failure import CommandFailure

FILE_LIMIT_BYTES = 1024 * 1024
NODES_LIMIT = 100_000  # values in the file with aliases followed: a bomb is refused
USUAL_NAMES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")

_NAME = re.compile(r"[a-zA-Z0-9_-]+")
_VARIABLE = re.compile(
    r"\$(?:(?P<dollar>\$)|(?P<plain>[A-Za-z_]\w*)"
    r"|\{(?P<name>[A-Za-z_]\w*)(?:(?P<sign>:?[-?+])(?P<word>[^}]*))?\}|(?P<bad>))"
)
_FILE_MEMBERS = ("name", "services", "version", "volumes")
_VOLUME_MEMBERS = ("driver", "external", "name")


def read_compose(path: Path, environ: Mapping[str, str]) -> list[WantedService]:
    """The services of a compose file, in the file's order.

    Raises CommandFailure that names the place for what cannot be read or isn't taken.
    """
    top = Where(path.name)
    try:
        content = _fill_in(_load(path), _with_dotenv(path.parent, environ), top, [0])
    except RecursionError:
        raise top.refuse("nested too deeply, or within itself") from None
    file = read_map(content, top)
    for member in file:
        if member not in _FILE_MEMBERS and not member.startswith("x-"):
            raise top.below(member).refuse(REFUSED.get(member, NOT_TAKEN))
    project = _project_name(file.get("name"), path, top)
    services = read_map(file.get("services"), top.below("services"))
    if not services:
        raise top.refuse("no services in it")
    volumes = _read_volumes(file.get("volumes"), top.below("volumes"))
    around = ComposeFile(project, path.parent.absolute(), volumes, environ)
    wanted = []
    for name, members in services.items():
        where = Where(f"{path.name}: services.{name}")
        if _NAME.fullmatch(name) is None:
            raise where.refuse("ECS names have letters, digits, - and _ only")
        wanted.append(read_service(around, name, members, where))
    _check_order(wanted, top)
    return wanted


def _project_name(given: Any, path: Path, top: Where) -> str:
    """The file's name, else its folder's, as Compose does it."""
    if given is not None:
        name = read_text(given, top.below("name"))
        if _NAME.fullmatch(name) is None:
            raise top.below("name").refuse("ECS names have letters, digits, - and _ only")
        return name
    folder = path.absolute().parent.name.lower()
    return re.sub(r"[^a-z0-9_-]", "", folder).lstrip("_-") or "default"


def _read_volumes(value: Any, where: Where) -> dict[str, dict[str, Any]]:
    volumes = {}
    for name, settings in read_map(value, where).items():
        volumes[name] = read_map(settings, where.below(name))
        for member in volumes[name]:
            if member not in _VOLUME_MEMBERS:
                raise where.below(name).below(member).refuse("is not taken by homeport deploy")
    return volumes


def _check_order(wanted: list[WantedService], top: Where) -> None:
    """Every depends_on names a service of the file, and none depends on itself in the end."""
    known = {each.name: each.after for each in wanted}
    done: set[str] = set()
    for each in wanted:
        for name in each.after:
            if name not in known:
                raise top.refuse(f"{each.name} depends on {name}, which is not in the file")
    while len(done) < len(known):
        ready = [name for name in known if name not in done and done.issuperset(known[name])]
        if not ready:
            circle = ", ".join(sorted(set(known) - done))
            raise top.refuse(f"these depend on each other in a circle: {circle}")
        done.update(ready)


# --- YAML ----------------------------------------------------------------------------------


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """YAML 1.2's plain values: PyYAML's own would read `22:22` as a number, `no` as false."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Refuse what a file says twice; YAML's merge keys are followed first."""
        own = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        for name in own:
            if isinstance(name, str) and own.count(name) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{name} is there twice", node.start_mark
                )
        return dict(super().construct_mapping(node, deep))


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*))(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}",
        re.compile(f"^(?:{_pattern})$"),
        [*_first, ""] if _tag == "null" else list(_first),
    )


def _load(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            text = file.read(FILE_LIMIT_BYTES + 1)
    except OSError as trouble:
        raise CommandFailure(f"{path}: {trouble.strerror}") from None
    if len(text) > FILE_LIMIT_BYTES:
        raise CommandFailure(f"{path}: larger than {FILE_LIMIT_BYTES} bytes")
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as trouble:
        said = " ".join(str(trouble).split())
        raise CommandFailure(f"{path}: not YAML: {said}") from None


# --- variables -----------------------------------------------------------------------------


def _with_dotenv(folder: Path, environ: Mapping[str, str]) -> Mapping[str, str]:
    """The environment over what `.env` beside the file says."""
    path = folder / ".env"
    if not path.is_file():
        return environ
    found = {}
    for line in path.read_text(errors="replace").splitlines():
        name, sign, value = line.strip().partition("=")
        if sign and not name.startswith("#"):
            found[name.strip()] = value.strip().strip("'\"")
    return {**found, **environ}


def _fill_in(value: Any, environ: Mapping[str, str], where: Where, count: list[int]) -> Any:
    """Fill variables into every text below; `count` is of the values seen so far."""
    count[0] += 1
    if count[0] > NODES_LIMIT:
        raise where.refuse(f"more than {NODES_LIMIT} values")
    if isinstance(value, dict):
        return {
            name: _fill_in(each, environ, where.below(str(name)), count)
            for name, each in value.items()
        }
    if isinstance(value, list):
        return [
            _fill_in(each, environ, where.below(number), count)
            for number, each in enumerate(value)
        ]
    if isinstance(value, str):
        return _VARIABLE.sub(lambda found: _substitute(found, environ, where), value)
    return value


def _substitute(found: re.Match[str], environ: Mapping[str, str], where: Where) -> str:
    if found["dollar"]:
        return "$"
    name = found["plain"] or found["name"]
    if name is None:
        raise where.refuse(f"{found.string!r}: a $ that is no variable is written $$")
    value, sign, word = environ.get(name), found["sign"] or "", found["word"] or ""
    is_there = value is not None and not (sign.startswith(":") and not value)
    if sign.endswith("-") and not is_there:
        return word
    if sign.endswith("+"):
        return word if is_there else ""
    if sign.endswith("?") and not is_there:
        raise where.refuse(f"variable {name} is not set: {word or 'it is required'}")
    if value is None:
        raise where.refuse(f"variable {name} is not set; a default is written ${{{name}:-...}}")
    return value
