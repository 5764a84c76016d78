"""A compose file as task definitions and services: what is taken, and what is refused by name."""

from pathlib import Path
from typing import Any

import pytest

from homeport.cli.compose import read_compose
from homeport.cli.deploy_wish import WantedService
from homeport.cli.failure import CommandFailure


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "shop"
    path.mkdir()
    return path


def read(folder: Path, text: str, environ: dict[str, str] | None = None) -> list[WantedService]:
    path = folder / "compose.yaml"
    path.write_text(text)
    return read_compose(path, environ or {})


def container(folder: Path, members: str, environ: dict[str, str] | None = None) -> dict[str, Any]:
    """The container definition of a service `web` with these members, one a line."""
    (wanted,) = read(folder, service_text(members), environ)
    (found,) = wanted.definition["containerDefinitions"]
    return dict(found)


def service_text(members: str) -> str:
    lines = "\n".join(f"    {line}" for line in members.splitlines())
    return f"services:\n  web:\n    image: nginx\n{lines}\n"


def test_a_service_becomes_a_family_and_a_service_of_the_project(folder):
    (wanted,) = read(folder, service_text("scale: 3"))
    assert wanted.name == "shop-web"
    assert wanted.desired_count == 3
    assert wanted.definition == {
        "family": "shop-web",
        "containerDefinitions": [
            {"name": "web", "essential": True, "image": "nginx", "memoryReservation": 128}
        ],
    }


def test_the_file_may_name_the_project(folder):
    (wanted,) = read(folder, "name: store\n" + service_text(""))
    assert wanted.name == "store-web"


MEMBERS = [
    ("command: sh -c 'echo hi'", "command", ["sh", "-c", "echo hi"]),
    ("command: [sleep, 60]", "command", ["sleep", "60"]),
    ("entrypoint: /run it", "entryPoint", ["/run", "it"]),
    ("hostname: h", "hostname", "h"),
    ("user: 1000", "user", "1000"),
    ("working_dir: /srv", "workingDirectory", "/srv"),
    ("privileged: true", "privileged", True),
    ("read_only: true", "readonlyRootFilesystem", True),
    ("tty: true", "pseudoTerminal", True),
    ("stdin_open: true", "interactive", True),
    ("stop_grace_period: 1m30s", "stopTimeout", 90),
    ("mem_limit: 1.5g", "memory", 1536),
    ("mem_reservation: 64m", "memoryReservation", 64),
    ("deploy: {resources: {limits: {memory: 100M}}}", "memory", 100),
    ("deploy: {resources: {reservations: {cpus: '0.5'}}}", "cpu", 512),
    ("environment: {A: 1, B: true, C: ''}", "environment", [("A", "1"), ("B", "true"), ("C", "")]),
    ("environment: [A=x=y, GIVEN, MISSING]", "environment", [("A", "x=y"), ("GIVEN", "here")]),
    ("labels: [a=b]", "dockerLabels", {"a": "b"}),
    ("dns: 1.1.1.1", "dnsServers", ["1.1.1.1"]),
    ("init: true", "linuxParameters", {"initProcessEnabled": True}),
    ("shm_size: 64m", "linuxParameters", {"sharedMemorySize": 64}),
    (
        "cap_add: [NET_ADMIN]\ncap_drop: [ALL]",
        "linuxParameters",
        {"capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]}},
    ),
    ("sysctls: {net.core.somaxconn: 1024}", "systemControls", [("net.core.somaxconn", "1024")]),
    (
        "extra_hosts: ['db:10.0.0.1']",
        "extraHosts",
        [{"hostname": "db", "ipAddress": "10.0.0.1"}],
    ),
    (
        "ulimits: {nofile: {soft: 10, hard: 20}, nproc: 5}",
        "ulimits",
        [
            {"name": "nofile", "softLimit": 10, "hardLimit": 20},
            {"name": "nproc", "softLimit": 5, "hardLimit": 5},
        ],
    ),
    (
        "logging: {driver: json-file, options: {max-size: 1m}}",
        "logConfiguration",
        {"logDriver": "json-file", "options": {"max-size": "1m"}},
    ),
    (
        "healthcheck: {test: 'curl -f localhost', interval: 10s, retries: 2, start_period: 500ms}",
        "healthCheck",
        {
            "command": ["CMD-SHELL", "curl -f localhost"],
            "interval": 10,
            "retries": 2,
            "startPeriod": 1,
        },
    ),
    ("healthcheck: {disable: true}", "healthCheck", None),
    ("restart: unless-stopped", "restartPolicy", None),
    ("expose: [80]", "portMappings", None),
    ("x-own: {any: thing}", "x-own", None),
]


@pytest.mark.parametrize(("members", "name", "value"), MEMBERS)
def test_a_member_is_taken_as_its_counterpart_of_ecs(folder, members, name, value):
    found = container(folder, members, {"GIVEN": "here"}).get(name)
    if name == "environment":
        found = [(each["name"], each["value"]) for each in found]
    if name == "systemControls":
        found = [(each["namespace"], each["value"]) for each in found]
    assert found == value


@pytest.mark.parametrize(
    ("port", "host", "inner", "protocol"),
    [
        ("80", 0, 80, "tcp"),
        ("'8080:80'", 8080, 80, "tcp"),
        ("22:22", 22, 22, "tcp"),  # YAML 1.1 would read 1342
        ("'53:53/udp'", 53, 53, "udp"),
        ("{target: 80, published: '8080', protocol: udp}", 8080, 80, "udp"),
        ("{target: 80}", 0, 80, "tcp"),
    ],
)
def test_ports_are_published_on_their_host_port_or_on_a_free_one(
    folder, port, host, inner, protocol
):
    (mapping,) = container(folder, f"ports:\n  - {port}")["portMappings"]
    assert mapping == {"hostPort": host, "containerPort": inner, "protocol": protocol}


def test_volumes_are_binds_beside_the_file_named_ones_and_anonymous_ones(folder):
    text = service_text("volumes: ['./www:/www:ro', 'data:/data', /cache, 'old:/old']")
    (wanted,) = read(folder, text + "volumes:\n  data:\n  old: {external: true}\n")
    docker = {"scope": "shared", "autoprovision": True, "driver": "local"}
    assert wanted.definition["volumes"] == [
        {"name": "bind-0", "host": {"sourcePath": str((folder / "www").resolve())}},
        {"name": "shop_data", "dockerVolumeConfiguration": docker},
        {"name": "anonymous-2"},
        {"name": "old", "dockerVolumeConfiguration": {**docker, "autoprovision": False}},
    ]
    (found,) = wanted.definition["containerDefinitions"]
    assert found["mountPoints"][0] == {
        "sourceVolume": "bind-0",
        "containerPath": "/www",
        "readOnly": True,
    }


def test_files_of_variables_are_read_and_the_environment_wins(folder):
    (folder / "a.env").write_text("# comment\nA=1\nB='two'\n")
    (folder / "b.env").write_text("B=3\nC=4\n")
    found = container(folder, "environment: {C: 5}\nenv_file: [a.env, b.env]")["environment"]
    assert {each["name"]: each["value"] for each in found} == {"A": "1", "B": "3", "C": "5"}


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("$TAG", "7"),
        ("v${TAG}x", "v7x"),
        ("${NONE:-1}", "1"),
        ("${EMPTY:-1}", "1"),
        ("${EMPTY-1}", ""),
        ("${TAG:+set}", "set"),
        ("$$TAG", "$TAG"),
        ("${DOT}", "from-file"),
    ],
)
def test_variables_are_filled_in_from_the_environment_and_the_env_file(folder, written, value):
    (folder / ".env").write_text("DOT=from-file\nTAG=0\n")
    found = container(folder, f"hostname: 'x{written}'", {"TAG": "7", "EMPTY": ""})
    assert found["hostname"] == f"x{value}"


def test_services_come_with_what_must_be_steady_before_them(folder):
    text = "services:\n  web: {image: a, depends_on: [db]}\n  db: {image: b}\n"
    web, database = read(folder, text)
    assert web.after == ("shop-db",)
    assert database.after == ()


def test_yaml_merge_keys_are_followed(folder):
    text = "x-all: &all {image: nginx}\nservices:\n  web:\n    <<: *all\n    user: me\n"
    (wanted,) = read(folder, text)
    assert wanted.definition["containerDefinitions"][0]["image"] == "nginx"


def test_networks_of_the_file_are_refused_with_what_to_do(folder):
    with pytest.raises(CommandFailure, match="networks: tasks have the container instance"):
        read(folder, "services:\n  web: {image: a}\nnetworks: {front: }\n")


REFUSED = [
    ("build: .", "services.web.build: homeport deploy builds nothing"),
    ("networks: [a]", "services.web.networks: "),
    ("container_name: x", "services.web.container_name: "),
    ("cpus: 1", "services.web.cpus: ECS shares the CPU by weight"),
    ("secrets: [a]", "services.web.secrets: is not taken"),
    ("restart: on-failure", "services.web.restart: 'on-failure' is not taken"),
    ("deploy: {update_config: {}}", "services.web.deploy.update_config: is not taken"),
    ("deploy: {resources: {limits: {cpus: 1}}}", "services.web.deploy.resources.limits.cpus: "),
    ("ports: ['1-2:1-2']", "services.web.ports[0]: expected CONTAINER or HOST:CONTAINER"),
    ("ports: ['127.0.0.1:80:80']", "services.web.ports[0]: "),
    ("ports: 80", "services.web.ports: expected a list, got 80"),
    ("ports: [{target: 80, mode: host}]", "services.web.ports[0].mode: "),
    ("volumes: ['data:/data']", "volume 'data' is not in the file's volumes"),
    ("volumes: ['./a:/a:z']", "services.web.volumes[0]: expected SOURCE:TARGET"),
    ("volumes: [{type: tmpfs, target: /t}]", "services.web.volumes[0].type: "),
    ("mem_limit: much", "services.web.mem_limit: expected a size"),
    ("stop_grace_period: soon", "services.web.stop_grace_period: expected a duration"),
    ("tty: 'yes'", "services.web.tty: expected true or false"),
    ("scale: -1", "services.web.scale: expected a whole number"),
    ("healthcheck: {interval: 1s}", "services.web.healthcheck: test is missing"),
    ("healthcheck: {test: x, start_interval: 1s}", "healthcheck.start_interval: is not taken"),
    ("depends_on: {db: {condition: service_completed_successfully}}", "is never complete"),
    ("depends_on: [db]", "depends on shop-db, which is not in the file"),
    ("depends_on: [web]", "depend on each other in a circle: shop-web"),
    ("env_file: none.env", "none.env cannot be read"),
    ("hostname: $UNSET", "compose.yaml.services.web.hostname: variable UNSET is not set"),
    ("hostname: '${UNSET:?say it}'", "variable UNSET is not set: say it"),
    ("hostname: 'a$'", "a $ that is no variable is written $$"),
    ("user: a\nuser: b", "user is there twice"),
]


@pytest.mark.parametrize(("members", "complaint"), REFUSED)
def test_what_is_not_taken_is_refused_by_name(folder, members, complaint):
    with pytest.raises(CommandFailure) as refused:
        read(folder, service_text(members))
    assert complaint in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no services in it"),
        ("services: [a]", "expected a map, got a list"),
        ("services:\n  web: {}\n", "services.web: image is missing"),
        ("services:\n  a.b: {image: x}\n", "letters, digits"),
        ("secrets: {}\nservices:\n  web: {image: x}\n", "compose.yaml.secrets: is not taken"),
        ("services: {web: {image: x}}\nvolumes: {d: {driver_opts: {}}}", "volumes.d.driver_opts"),
        ("services: [", "not YAML: "),
        ("a: !!python/object:os.system x", "not YAML: "),
        ("a: &a [*a]", "nested too deeply, or within itself"),
        ("a: " + "[" * 2_000, "nested too deeply, or within itself"),
    ],
)
def test_a_file_that_is_no_compose_file_is_refused_in_one_line(folder, text, complaint):
    with pytest.raises(CommandFailure) as refused:
        read(folder, text)
    assert complaint in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_bomb_of_aliases_is_refused(folder):
    lines = ["x0: &x0 [a, a, a, a, a, a, a, a, a, a]"]
    for number in range(1, 9):
        before = ", ".join([f"*x{number - 1}"] * 10)
        lines.append(f"x{number}: &x{number} [{before}]")
    with pytest.raises(CommandFailure, match="more than 100000 values"):
        read(folder, "\n".join(lines))


def test_a_file_that_is_not_there_is_said(folder):
    with pytest.raises(CommandFailure, match="No such file"):
        read_compose(folder / "none.yaml", {})
