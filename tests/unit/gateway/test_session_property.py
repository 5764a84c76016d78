"""Whatever an agent sends and in whatever order: the session answers in frames and never fails."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from acs_sessions import closes, draw_ids, make_identity, make_session
from builders import (
    NOW_MS,
    make_cluster,
    make_container_instance,
    make_store,
    make_task,
    make_task_definition,
    put,
)
from homeport.gateway.limits import GatewayLimits
from homeport.gateway.outputs import Outputs, SendFrame
from homeport.gateway.telemetry_session import TcsSession
from homeport.state.view import View
from homeport.wire.agent_messages import acs, payload
from homeport.wire.agent_messages.frames import MESSAGE_TYPES, decode_frame, encode_frame

INSTANCE = make_container_instance()
DEFINITION = make_task_definition()
TASKS = tuple(make_task(n, instance=INSTANCE, definition=DEFINITION) for n in range(6))
LIMITS = GatewayLimits(
    tasks_per_payload=2, unacknowledged_payloads=2, payload_resend_ms=1_000, agent_silence_ms=10**9
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=8,
)
member_names = st.sampled_from(
    ["messageId", "stopCandidates", "reason", "tasks", "statuses", "metadata", "taskArn", "x"]
)
frames = st.builds(
    lambda kind, members: {"type": kind, "message": members},
    st.sampled_from([*MESSAGE_TYPES, "Unheard"]),
    st.dictionaries(member_names, json_values, max_size=4),
)


def check_frames(outputs: Outputs) -> None:
    for output in outputs:
        if isinstance(output, SendFrame):
            assert decode_frame(encode_frame(output.message)) == output.message


@given(st.lists(frames | json_values, max_size=6))
def test_any_json_is_answered_in_frames(sent_values: list[Any]) -> None:
    store = make_store(make_cluster(), INSTANCE, DEFINITION, *TASKS)
    communication = make_session(store, INSTANCE, limits=LIMITS)
    telemetry = TcsSession(
        identity=make_identity(INSTANCE),
        view=View(store),
        ids=draw_ids(),
        limits=LIMITS,
        now_ms=NOW_MS,
    )
    for value in sent_values:
        text = msgspec.json.encode(value)
        for session in (communication, telemetry):
            check_frames(session.frame_received(text, NOW_MS))


@given(st.binary(max_size=60))
def test_any_bytes_are_answered_in_frames(text: bytes) -> None:
    session = make_session(make_store(make_cluster(), INSTANCE), INSTANCE)
    check_frames(session.frame_received(text, NOW_MS))


class Listener:
    """An agent that hears payloads and acknowledges some of them."""

    def __init__(self) -> None:
        self.unanswered: list[acs.PayloadMessage] = []
        self.knows: dict[str, payload.Task] = {}

    def hear(self, outputs: Outputs) -> None:
        assert not closes(outputs)
        for output in outputs:
            if isinstance(output, SendFrame) and isinstance(output.message, acs.PayloadMessage):
                assert len(output.message.tasks) <= LIMITS.tasks_per_payload
                self.unanswered.append(output.message)


steps = st.lists(
    st.tuples(
        st.sampled_from(["want", "stop", "hear", "lose", "ring"]), st.integers(0, len(TASKS) - 1)
    ),
    max_size=30,
)


@given(steps)
def test_however_payloads_are_lost_the_agent_hears_the_last_wish_of_every_task(
    taken: list[tuple[str, int]],
) -> None:
    store = make_store(make_cluster(), INSTANCE, DEFINITION, *TASKS)
    session = make_session(store, INSTANCE, limits=LIMITS, answers_heartbeats=False)
    listener, now_ms = Listener(), NOW_MS
    wanted: set[str] = set()

    def acknowledge() -> None:
        message = listener.unanswered.pop(0)
        listener.knows.update({task.arn: task for task in message.tasks})
        ack = encode_frame(acs.AckRequest(message_id=message.message_id))
        listener.hear(session.frame_received(ack, now_ms))

    for step, number in taken:
        arn = TASKS[number].arn
        if step == "stop":
            put(store, replace(TASKS[number], desired_status="STOPPED"))
        if step in ("want", "stop"):
            wanted.add(arn)
            listener.hear(session.tasks_wanted((arn,), now_ms))
        elif step == "hear" and listener.unanswered:
            acknowledge()
        elif step == "lose" and listener.unanswered:
            listener.unanswered.pop(0)
        elif step == "ring":
            now_ms = max(now_ms, session.due_ms)
            listener.hear(session.timer_rang(now_ms))
    for _ in range(200):  # from now on nothing is lost
        while listener.unanswered:
            acknowledge()
        now_ms = max(now_ms, session.due_ms)
        listener.hear(session.timer_rang(now_ms))
    assert set(listener.knows) == wanted
    for arn in wanted:
        task = View(store).task(arn)
        assert task is not None
        assert listener.knows[arn].desired_status == task.desired_status
