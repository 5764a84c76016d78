"""The TCS session machine: telemetry in, acknowledgements and events out."""

from acs_sessions import closes, draw_ids, make_identity, sent
from builders import NOW_MS, make_cluster, make_container_instance, make_store
from homeport.engine.events import ContainerHealth, HealthReported, RuntimeStatusReported
from homeport.gateway.limits import GatewayLimits
from homeport.gateway.outputs import CloseConnection, KeepMetrics, ObserveEvent, Outputs
from homeport.gateway.telemetry_session import TcsSession
from homeport.state.view import View
from homeport.wire.agent_messages import acs, tcs
from homeport.wire.agent_messages.frames import Message, UnknownMessage, encode_frame

INSTANCE = make_container_instance(runtime_status="OK")


def make_session() -> TcsSession:
    return TcsSession(
        identity=make_identity(INSTANCE),
        view=View(make_store(make_cluster(), INSTANCE)),
        ids=draw_ids(),
        limits=GatewayLimits(),
        now_ms=NOW_MS,
    )


def say(message: Message) -> Outputs:
    return make_session().frame_received(encode_frame(message), NOW_MS)


def observed(outputs: Outputs) -> list[object]:
    return [output.event for output in outputs if isinstance(output, ObserveEvent)]


def test_heartbeats_come_at_once_and_every_interval_and_need_no_answer() -> None:
    session = make_session()
    assert sent(session.connected(NOW_MS), acs.HeartbeatMessage)
    for _ in range(20):
        outputs = session.timer_rang(session.due_ms)
        assert sent(outputs, acs.HeartbeatMessage)
        assert not closes(outputs)
    assert session.due_ms == NOW_MS + 21 * 30_000


def test_metrics_are_kept_and_acknowledged() -> None:
    metrics = tcs.PublishMetricsRequest(timestamp=1.0)
    outputs = say(metrics)
    assert outputs[0] == KeepMetrics(INSTANCE.arn, metrics)
    assert sent(outputs, tcs.AckPublishMetric)


def test_health_is_reported_and_acknowledged_and_nonsense_in_it_left_out() -> None:
    outputs = say(
        tcs.PublishHealthRequest(
            tasks=(
                tcs.TaskHealth(
                    task_arn="t",
                    containers=(
                        tcs.ContainerHealth(container_name="a", health_status="HEALTHY"),
                        tcs.ContainerHealth(container_name="b", health_status="SPLENDID"),
                    ),
                ),
            )
        )
    )
    assert observed(outputs) == [
        HealthReported(
            container_instance_arn=INSTANCE.arn,
            containers=(ContainerHealth(task_arn="t", container_name="a", status="HEALTHY"),),
        )
    ]
    assert sent(outputs, tcs.AckPublishHealth)


def test_health_of_nothing_is_acknowledged_without_an_event() -> None:
    outputs = say(tcs.PublishHealthRequest())
    assert observed(outputs) == []
    assert sent(outputs, tcs.AckPublishHealth)


def status(kind: str, value: str) -> tcs.PublishInstanceStatusRequest:
    return tcs.PublishInstanceStatusRequest(statuses=(tcs.InstanceStatus(type=kind, status=value),))


def test_a_changed_runtime_status_is_reported_once() -> None:
    outputs = say(status("ContainerRuntime", "IMPAIRED"))
    assert observed(outputs) == [
        RuntimeStatusReported(container_instance_arn=INSTANCE.arn, status="IMPAIRED")
    ]
    assert sent(outputs, tcs.AckPublishInstanceStatus)
    unchanged = say(status("ContainerRuntime", "OK"))
    assert observed(unchanged) == []
    assert sent(unchanged, tcs.AckPublishInstanceStatus)


def test_other_checks_and_unknown_statuses_are_acknowledged_only() -> None:
    for published in (status("Daemon", "IMPAIRED"), status("ContainerRuntime", "SLEEPY")):
        outputs = say(published)
        assert observed(outputs) == []
        assert sent(outputs, tcs.AckPublishInstanceStatus)


def test_signed_header_lines_before_a_frame_are_skipped() -> None:
    text = "Host: x\r\nX-Amz-Date: y\r\n\r\n" + encode_frame(tcs.PublishHealthRequest())
    assert sent(make_session().frame_received(text, NOW_MS), tcs.AckPublishHealth)


def test_a_broken_frame_is_answered_and_ends_the_connection() -> None:
    outputs = make_session().frame_received("]", NOW_MS)
    assert sent(outputs, tcs.InvalidParameterException)
    assert closes(outputs)


def test_unknown_frames_are_ignored() -> None:
    assert not closes(say(UnknownMessage("PublishDreams", {})))


def test_telemetry_closes_when_the_server_stops_or_the_instance_is_gone() -> None:
    session = make_session()
    assert [type(o) for o in session.server_stopping()] == [CloseConnection]
    assert [type(o) for o in session.instance_deregistered()] == [CloseConnection]
