"""What tasks and containers learn about themselves, in the shape of Amazon's agent."""

from agent_builders import make_container, make_task
from homeport.agent.metadata import InstanceNames, Version, render_container, render_task
from homeport.agent.task_state import Binding, ContainerState, Phase, Status, TaskState
from homeport.wire.agent_messages import payload

NAMES = InstanceNames(cluster="default", availability_zone="us-east-1a")
RUNTIME_ID = "ab" * 32
SHOWN = {
    "Name": "/ecs-demo-1-web-0",
    "Image": "sha256:1",
    "Created": "2026-11-22T00:00:00.5Z",
    "State": {
        "StartedAt": "2026-11-22T00:00:01Z",
        "FinishedAt": "0001-01-01T00:00:00Z",
        "Health": {"Log": [{"ExitCode": 1, "Output": "x"}, {"ExitCode": 0, "Output": "fine"}]},
    },
    "Config": {"Labels": {"l": "v"}},
    "HostConfig": {"LogConfig": {"Type": "json-file", "Config": {"max-size": "1m"}}},
    "NetworkSettings": {"Networks": {"bridge": {"IPAddress": "172.17.0.9"}}},
    "Mounts": [{"Name": "v", "Source": "/var/v", "Destination": "/data"}],
}
WEB = ContainerState(
    name="web",
    phase=Phase.RUNNING,
    runtime_id=RUNTIME_ID,
    bindings=(Binding(bind_ip="0.0.0.0", protocol="tcp", container_port=80, host_port=32768),),
    health="HEALTHY",
    health_since_ms=1_700_000_000_000,
    restart_count=2,
)


def make_state(web: ContainerState = WEB, **members: object) -> TaskState:
    definition = make_container(
        "web:1",
        cpu=128,
        memory=64,
        health_check_type="docker",
        container_arn="arn:c",
        restart_policy=payload.RestartPolicy(enabled=True),
    )
    task = make_task(definition, service_name="site", cpu=0.5, memory=256, launch_type="EC2")
    return TaskState(task=task, containers=(web,), **members)


def test_a_container_in_version_4():
    shown = render_container(make_state(), WEB, SHOWN, Version.V4)
    assert shown == {
        "DockerId": RUNTIME_ID,
        "Name": "web",
        "DockerName": "ecs-demo-1-web-0",
        "Image": "web:1",
        "ImageID": "sha256:1",
        "Ports": [{"ContainerPort": 80, "Protocol": "tcp", "HostPort": 32768, "HostIp": "0.0.0.0"}],
        "Labels": {"l": "v"},
        "DesiredStatus": "RUNNING",
        "KnownStatus": "RUNNING",
        "Limits": {"CPU": 128, "Memory": 64},
        "CreatedAt": "2026-11-22T00:00:00.5Z",
        "StartedAt": "2026-11-22T00:00:01Z",
        "Type": "NORMAL",
        "Health": {
            "status": "HEALTHY",
            "statusSince": "2023-11-14T22:13:20.000Z",
            "exitCode": 0,
            "output": "fine",
        },
        "Volumes": [{"DockerName": "v", "Source": "/var/v", "Destination": "/data"}],
        "Networks": [{"NetworkMode": "bridge", "IPv4Addresses": ["172.17.0.9"]}],
        "LogDriver": "json-file",
        "LogOptions": {"max-size": "1m"},
        "ContainerARN": "arn:c",
        "RestartCount": 2,
    }


def test_version_3_lacks_what_version_4_added():
    shown = render_container(make_state(), WEB, SHOWN, Version.V3)
    assert not {"LogDriver", "LogOptions", "ContainerARN", "RestartCount"} & shown.keys()


def test_a_container_that_is_not_created_yet_shows_what_is_known():
    early = ContainerState(name="web", phase=Phase.PULLING)
    shown = render_container(make_state(early), early, {}, Version.V4)
    assert shown["KnownStatus"] == "NONE"
    assert "DockerId" not in shown
    assert "CreatedAt" not in shown


def test_an_exit_code_of_zero_is_shown():
    ended = ContainerState(name="web", phase=Phase.STOPPED, exit_code=0)
    assert render_container(make_state(ended), ended, {}, Version.V4)["ExitCode"] == 0


def test_a_task_shows_its_place_times_and_limits():
    state = make_state(pull_started_at_ms=1_700_000_000_123, wanted=Status.STOPPED)
    shown = render_task(state, {"web": SHOWN}, NAMES, Version.V4)
    assert shown["TaskARN"] == state.arn
    assert (shown["Cluster"], shown["AvailabilityZone"]) == ("default", "us-east-1a")
    assert (shown["DesiredStatus"], shown["KnownStatus"]) == ("STOPPED", "RUNNING")
    assert shown["Limits"] == {"CPU": 0.5, "Memory": 256}
    assert shown["PullStartedAt"] == "2023-11-14T22:13:20.123Z"
    assert (shown["LaunchType"], shown["ServiceName"]) == ("EC2", "site")
    assert [container["Name"] for container in shown["Containers"]] == ["web"]
