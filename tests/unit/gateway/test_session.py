"""The ACS session machine: what it says when, from the state as it is then."""

from msgspec.structs import replace

from acs_sessions import closes, make_session, payload_arns, sent
from builders import (
    NOW_MS,
    make_cluster,
    make_container_instance,
    make_store,
    make_task,
    make_task_definition,
    put,
)
from homeport.engine.events import AgentConnected
from homeport.gateway.limits import GatewayLimits
from homeport.gateway.outputs import (
    CLOSE_GOING_AWAY,
    CLOSE_POLICY,
    CloseConnection,
    ObserveEvent,
    Outputs,
    SendFrame,
    WriteNote,
)
from homeport.gateway.session import NOTED_TYPES_LIMIT, AcsSession, SequenceNumbers
from homeport.wire.agent_messages import acs
from homeport.wire.agent_messages.frames import Message, UnknownMessage, encode_frame

INSTANCE = make_container_instance()
DEFINITION = make_task_definition()
TASKS = tuple(make_task(n, instance=INSTANCE, definition=DEFINITION) for n in range(5))


def make_world(**members: object) -> AcsSession:
    store = make_store(make_cluster(), INSTANCE, DEFINITION, *TASKS)
    return make_session(store, INSTANCE, **members)  # type: ignore[arg-type]


def say(session: AcsSession, message: Message, now_ms: int = NOW_MS) -> Outputs:
    return session.frame_received(encode_frame(message), now_ms)


def notes(outputs: Outputs) -> list[str]:
    return [output.text for output in outputs if isinstance(output, WriteNote)]


def test_a_new_connection_gets_a_heartbeat_and_the_manifest_and_is_announced() -> None:
    session = make_world(agent_version="1.2", agent_hash="abc", docker_version="20.10")
    outputs = session.connected(NOW_MS)
    assert [type(o.message) for o in outputs if isinstance(o, SendFrame)] == [
        acs.HeartbeatMessage,
        acs.TaskManifestMessage,
    ]
    assert sent(outputs, acs.HeartbeatMessage)[0].healthy
    assert outputs[-1] == ObserveEvent(
        AgentConnected(
            container_instance_arn=INSTANCE.arn,
            agent_version="1.2",
            agent_hash="abc",
            docker_version="20.10",
        )
    )


def test_sequence_numbers_grow_even_when_the_clock_does_not() -> None:
    sequence = SequenceNumbers()
    assert [sequence.draw(t) for t in (10, 10, 5, 20)] == [10, 11, 12, 20]


def test_a_manifest_is_newer_than_whatever_an_agent_saw_on_an_earlier_connection() -> None:
    sequence = SequenceNumbers()
    first = make_world(sequence=sequence).connected(NOW_MS)
    second = make_world(sequence=sequence).connected(NOW_MS)
    timelines = [sent(o, acs.TaskManifestMessage)[0].timeline for o in (first, second)]
    assert timelines[0] >= NOW_MS
    assert timelines[1] > timelines[0]


def test_tasks_travel_in_payloads_of_a_bounded_size_with_ids_and_numbers_of_their_own() -> None:
    session = make_world(limits=GatewayLimits(tasks_per_payload=2))
    outputs = session.tasks_wanted(tuple(task.arn for task in TASKS), NOW_MS)
    assert [len(arns) for arns in payload_arns(outputs)] == [2, 2, 1]
    payloads = sent(outputs, acs.PayloadMessage)
    assert len({payload.message_id for payload in payloads}) == 3
    assert sorted({p.seq_num for p in payloads}) == [p.seq_num for p in payloads]
    assert all(p.container_instance_arn == INSTANCE.arn for p in payloads)
    assert all(p.generated_at == NOW_MS for p in payloads)


def test_what_tells_of_state_waits_for_the_disk_and_a_heartbeat_does_not() -> None:
    session = make_world()
    outputs = [*session.connected(NOW_MS), *session.tasks_wanted((TASKS[0].arn,), NOW_MS)]
    waits = {type(o.message): o.tells_state for o in outputs if isinstance(o, SendFrame)}
    assert waits == {
        acs.HeartbeatMessage: False,
        acs.TaskManifestMessage: True,
        acs.PayloadMessage: True,
    }


def test_ended_and_foreign_tasks_are_not_sent() -> None:
    elsewhere = make_container_instance("elsewhere")
    ended = make_task("ended", instance=INSTANCE, last_status="STOPPED")
    foreign = make_task("foreign", instance=elsewhere)
    store = make_store(make_cluster(), INSTANCE, elsewhere, DEFINITION, ended, foreign)
    session = make_session(store, INSTANCE)
    assert session.tasks_wanted((ended.arn, foreign.arn, "unknown"), NOW_MS) == []


def test_an_unacknowledged_payload_is_sent_again_as_the_task_is_then() -> None:
    store = make_store(make_cluster(), INSTANCE, DEFINITION, TASKS[0])
    session = make_session(store, INSTANCE, limits=GatewayLimits(payload_resend_ms=5_000))
    first = sent(session.tasks_wanted((TASKS[0].arn,), NOW_MS), acs.PayloadMessage)[0]
    assert first.tasks[0].desired_status == "RUNNING"
    put(store, replace(TASKS[0], desired_status="STOPPED"))
    outputs = session.timer_rang(NOW_MS + 5_000)
    again = sent(outputs, acs.PayloadMessage)[0]
    assert again.tasks[0].desired_status == "STOPPED"
    assert again.message_id != first.message_id
    assert again.seq_num > first.seq_num


def test_an_acknowledged_payload_is_not_sent_again() -> None:
    session = make_world(limits=GatewayLimits(payload_resend_ms=5_000))
    sent_payload = sent(session.tasks_wanted((TASKS[0].arn,), NOW_MS), acs.PayloadMessage)[0]
    say(session, acs.AckRequest(message_id=sent_payload.message_id))
    assert payload_arns(session.timer_rang(NOW_MS + 5_000)) == []


def test_a_refused_payload_is_noted_and_comes_again_later() -> None:
    session = make_world(limits=GatewayLimits(payload_resend_ms=5_000))
    sent_payload = sent(session.tasks_wanted((TASKS[0].arn,), NOW_MS), acs.PayloadMessage)[0]
    nack = acs.NackRequest(message_id=sent_payload.message_id, reason="no room" * 1_000)
    (note,) = notes(say(session, nack))
    assert note.startswith("the agent refused a message: no room")
    assert len(note) < 1_000
    assert payload_arns(session.timer_rang(NOW_MS + 5_000)) == [[TASKS[0].arn]]


def test_an_acknowledgement_makes_room_for_payloads_that_were_held_back() -> None:
    limits = GatewayLimits(tasks_per_payload=1, unacknowledged_payloads=1)
    session = make_world(limits=limits)
    first = session.tasks_wanted((TASKS[0].arn, TASKS[1].arn), NOW_MS)
    assert payload_arns(first) == [[TASKS[0].arn]]
    ack = acs.AckRequest(message_id=sent(first, acs.PayloadMessage)[0].message_id)
    assert payload_arns(say(session, ack)) == [[TASKS[1].arn]]


def test_heartbeats_go_on_while_they_are_acknowledged() -> None:
    session = make_world()
    outputs = session.connected(NOW_MS)
    for beat in range(1, 20):
        message_id = sent(outputs, acs.HeartbeatMessage)[0].message_id
        assert say(session, acs.HeartbeatAckRequest(message_id=message_id)) == []
        assert session.due_ms == NOW_MS + beat * 30_000
        outputs = session.timer_rang(session.due_ms)
        assert not closes(outputs)


def test_an_agent_that_acknowledges_no_heartbeat_is_given_up() -> None:
    session = make_world()
    session.connected(NOW_MS)
    rings = 0
    while not closes(session.timer_rang(session.due_ms)):
        rings += 1
        assert rings < 5
    assert session.due_ms <= NOW_MS + 90_000


def test_an_old_agent_that_knows_no_acknowledgements_is_not_given_up() -> None:
    session = make_world(answers_heartbeats=False)
    session.connected(NOW_MS)
    assert not any(closes(session.timer_rang(session.due_ms)) for _ in range(100))


def test_candidates_for_stopping_are_answered_under_their_message_id() -> None:
    request = acs.TaskStopVerificationMessage(
        message_id="m-9",
        stop_candidates=(
            acs.TaskIdentifier(task_arn=TASKS[0].arn),
            acs.TaskIdentifier(task_arn="arn:of:nothing"),
        ),
    )
    outputs = say(make_world(), request)
    (answer,) = sent(outputs, acs.TaskStopVerificationAck)
    assert answer.message_id == "m-9"
    assert [task.task_arn for task in answer.stop_tasks] == ["arn:of:nothing"]
    assert notes(outputs) == ["stopping a task that is not wanted here: arn:of:nothing"]


def test_more_candidates_than_the_limit_end_the_connection() -> None:
    session = make_world(limits=GatewayLimits(stop_candidates=2))
    candidates = tuple(acs.TaskIdentifier(task_arn=str(n)) for n in range(3))
    outputs = say(session, acs.TaskStopVerificationMessage(stop_candidates=candidates))
    assert closes(outputs)
    assert sent(outputs, acs.BadRequestException)


def test_a_broken_frame_is_answered_and_ends_the_connection() -> None:
    outputs = make_world().frame_received('{"type": ', NOW_MS)
    assert "not a frame" in sent(outputs, acs.BadRequestException)[0].message
    assert closes(outputs)


def test_an_unknown_frame_is_noted_once_and_ignored() -> None:
    session = make_world()
    frame = UnknownMessage("QuantumMessage", {"a": 1})
    assert notes(say(session, frame)) == ["ignoring frames of type 'QuantumMessage'"]
    assert say(session, frame) == []


def test_a_message_that_only_the_control_plane_sends_is_ignored() -> None:
    outputs = say(make_world(), acs.PayloadMessage())
    assert notes(outputs) == ["ignoring frames of type 'PayloadMessage'"]
    assert not closes(outputs)


def test_the_log_names_only_so_many_unknown_types() -> None:
    session = make_world()
    frames = [UnknownMessage(f"Type{n}", {}) for n in range(NOTED_TYPES_LIMIT + 5)]
    noted = [note for frame in frames for note in notes(say(session, frame))]
    assert len(noted) == NOTED_TYPES_LIMIT


def test_a_task_whose_definition_is_gone_can_still_be_stopped_but_not_started() -> None:
    stopping = replace(TASKS[1], desired_status="STOPPED")
    store = make_store(make_cluster(), INSTANCE, TASKS[0], stopping)
    outputs = make_session(store, INSTANCE).tasks_wanted((TASKS[0].arn, stopping.arn), NOW_MS)
    assert payload_arns(outputs) == [[stopping.arn]]
    assert any(DEFINITION.arn in note for note in notes(outputs))


def test_goodbye_at_shutdown_lets_the_agent_reconnect_at_once() -> None:
    outputs = make_world().server_stopping()
    assert sent(outputs, acs.CloseMessage)
    assert outputs[-1].code == CLOSE_GOING_AWAY  # type: ignore[union-attr]


def test_a_deregistered_instances_agent_is_told_so() -> None:
    outputs = make_world().instance_deregistered()
    assert sent(outputs, acs.InactiveInstanceException)
    assert outputs[-1] == CloseConnection(CLOSE_POLICY, "InactiveInstanceException")
