"""The gateway over sockets: who is connected, who gets what, and how it ends."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from msgspec.structs import replace

from agent_sockets import Socket, World
from builders import (
    make_cluster,
    make_container_instance,
    make_task,
    make_task_definition,
    put,
)
from homeport.core.effects import DisconnectAgent, SendTasks
from homeport.gateway.connections import GatewaySettings
from homeport.gateway.limits import GatewayLimits
from homeport.server.driver import SystemClock
from homeport.wire.agent_messages import acs, tcs
from homeport.wire.agent_messages.frames import Message, decode_frame

INSTANCE = make_container_instance(agent_connected=False)
OTHER = make_container_instance("other", agent_connected=False)
DEFINITION = make_task_definition()
TASKS = tuple(make_task(n, instance=INSTANCE, definition=DEFINITION) for n in range(3))
RECORDS = (make_cluster(), INSTANCE, OTHER, DEFINITION)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World(*RECORDS)
    yield world
    await world.gateway.stop()


async def open_known(world: World, **query: str) -> Socket:
    """Open a socket and wait until the gateway has greeted it."""
    socket = world.open(INSTANCE, **query)
    await socket.frame(acs.TaskManifestMessage)
    return socket


async def test_a_connection_makes_the_agent_connected_and_tells_its_versions(world: World) -> None:
    await open_known(world, agentVersion="1.105.1", dockerVersion="DockerVersion: 20.10")
    known = world.engine.view.container_instance(INSTANCE.arn)
    assert known is not None
    assert known.agent_connected
    assert (known.agent_version, known.docker_version) == ("1.105.1", "20.10")


async def test_what_is_not_as_wanted_is_sent_on_connecting() -> None:
    running = replace(TASKS[1], last_status="RUNNING")
    world = World(*RECORDS, TASKS[0], running)
    payload = await world.open(INSTANCE).frame(acs.PayloadMessage)
    assert [task.arn for task in payload.tasks] == [TASKS[0].arn]
    await world.gateway.stop()


async def test_sends_of_one_turn_of_the_loop_share_a_payload(world: World) -> None:
    socket = await open_known(world)
    put(world.store, *TASKS)
    for task in (*TASKS, TASKS[0]):
        world.send_tasks(SendTasks(INSTANCE.arn, (task.arn,)))
    payload = await socket.frame(acs.PayloadMessage)
    assert [task.arn for task in payload.tasks] == [task.arn for task in TASKS]


async def test_tasks_for_an_agent_that_is_not_there_are_not_kept(world: World) -> None:
    put(world.store, TASKS[0])
    for _ in range(3):
        world.send_tasks(SendTasks(INSTANCE.arn, (TASKS[0].arn,)))
    world.send_tasks(SendTasks("arn:of:nothing", ("t",)))
    socket = await open_known(world)
    await socket.frame(acs.PayloadMessage)  # what connecting itself brings, and nothing behind it
    assert drain(socket) == []


async def test_the_agent_is_lost_with_its_last_connection_only(world: World) -> None:
    first, second = await open_known(world), await open_known(world)
    await first.hang_up()
    assert world.is_connected(INSTANCE)
    await second.hang_up()
    assert not world.is_connected(INSTANCE)


async def test_the_newest_connection_gets_the_tasks(world: World) -> None:
    first, second = await open_known(world), await open_known(world)
    put(world.store, TASKS[0])
    world.send_tasks(SendTasks(INSTANCE.arn, (TASKS[0].arn,)))
    await second.frame(acs.PayloadMessage)
    assert all("PayloadMessage" not in e.get("text", "") for e in drain(first))


def drain(socket: Socket) -> list[dict[str, str]]:
    events = []
    while not socket.events.empty():
        events.append(socket.events.get_nowait())
    return events


async def test_an_older_connection_inherits_what_is_not_as_wanted(world: World) -> None:
    first, second = await open_known(world), await open_known(world)
    put(world.store, TASKS[0])
    await second.hang_up()
    payload = await first.frame(acs.PayloadMessage)
    assert [task.arn for task in payload.tasks] == [TASKS[0].arn]


async def test_one_instance_has_a_bounded_number_of_connections() -> None:
    world = World(*RECORDS, limits=GatewayLimits(connections_per_instance=2))
    first, second, third = [await open_known(world) for _ in range(3)]
    assert (await first.close_event())["code"] == 1008
    await first.done()
    assert world.is_connected(INSTANCE)
    await second.hang_up()
    await third.hang_up()
    assert not world.is_connected(INSTANCE)
    await world.gateway.stop()


async def test_all_connections_together_are_bounded() -> None:
    world = World(*RECORDS, limits=GatewayLimits(connections=1))
    await open_known(world)
    turned_away = world.open(OTHER)
    assert await turned_away.frame(acs.ServerException)
    assert (await turned_away.close_event())["code"] == 1013
    assert not world.is_connected(OTHER)
    await world.gateway.stop()


@pytest.mark.parametrize("path", ["/acs/ws", "/tcs/ws"])
async def test_a_refusal_is_a_frame_and_then_the_end(world: World, path: str) -> None:
    put(world.store, replace(OTHER, status="INACTIVE"))
    socket = world.open(OTHER, path=path)
    assert (await socket.event())["type"] == "websocket.accept"
    assert await socket.frame(acs.InactiveInstanceException)
    assert (await socket.close_event())["reason"] == "InactiveInstanceException"
    await socket.done()


async def test_a_deregistered_instance_loses_both_sockets(world: World) -> None:
    socket = await open_known(world)
    telemetry = world.open(INSTANCE, path="/tcs/ws")
    await telemetry.frame(acs.HeartbeatMessage)
    world.disconnect_agent(DisconnectAgent(INSTANCE.arn))
    assert await socket.frame(acs.InactiveInstanceException)
    await socket.close_event()
    await telemetry.close_event()
    await asyncio.gather(socket.done(), telemetry.done())


async def test_nothing_that_tells_of_state_is_said_before_it_is_durable(world: World) -> None:
    socket = await open_known(world)
    world.journal.is_held = True
    put(world.store, TASKS[0])
    world.gateway.send_tasks(SendTasks(INSTANCE.arn, (TASKS[0].arn,)))
    socket.say_text("no frame")  # answered at once, but closed behind what waits for the disk
    assert await socket.frame(acs.BadRequestException)
    assert drain(socket) == []
    world.journal.release()
    assert await socket.frame(acs.PayloadMessage)
    assert await socket.close_event()


async def test_a_hostile_frame_ends_its_own_connection_only(world: World) -> None:
    hostile, good = await open_known(world), await open_known(world)
    hostile.say_text('{"type": 7}')
    assert await hostile.frame(acs.BadRequestException)
    await hostile.close_event()
    await hostile.done()
    assert world.is_connected(INSTANCE)
    put(world.store, TASKS[0])
    world.send_tasks(SendTasks(INSTANCE.arn, (TASKS[0].arn,)))
    assert await good.frame(acs.PayloadMessage)


async def test_an_agent_that_does_not_read_is_cut_off() -> None:
    world = World(*RECORDS, limits=GatewayLimits(outbox_frames=3, tasks_per_payload=1))
    socket = await open_known(world)
    socket.reads.clear()
    tasks = [make_task(f"t{n}", instance=INSTANCE, definition=DEFINITION) for n in range(5)]
    put(world.store, *tasks)
    world.send_tasks(SendTasks(INSTANCE.arn, tuple(task.arn for task in tasks)))
    await socket.done()
    assert not world.is_connected(INSTANCE)
    await world.gateway.stop()


async def test_a_peer_that_vanished_before_it_was_let_in_leaves_nothing(world: World) -> None:
    socket = world.open(INSTANCE)
    socket.is_gone = True
    await socket.done()
    assert not world.is_connected(INSTANCE)


async def test_stopping_says_goodbye_and_keeps_agents_from_coming_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(*RECORDS)
    socket = await open_known(world)
    telemetry = world.open(INSTANCE, path="/tcs/ws")
    await telemetry.frame(acs.HeartbeatMessage)
    await world.gateway.stop()
    assert await socket.frame(acs.CloseMessage)
    assert (await socket.close_event())["code"] == 1001
    assert (await telemetry.close_event())["code"] == 1001
    late = world.open(INSTANCE)
    assert await late.frame(acs.CloseMessage)
    await late.close_event()
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == []


async def test_stopping_does_not_wait_for_an_agent_that_does_not_read() -> None:
    world = World(*RECORDS, limits=GatewayLimits(stop_grace_s=0.01))
    socket = await open_known(world)
    socket.reads.clear()
    await world.gateway.stop()
    await socket.done()
    assert not [event for event in drain(socket) if event["type"] == "websocket.close"]


async def test_heartbeats_come_by_themselves_and_silence_ends_the_connection() -> None:
    settings = GatewaySettings(heartbeat_interval_s=0.01, agent_disconnect_window_s=0.03)
    world = World(*RECORDS, settings=settings, clock=SystemClock())
    socket = await open_known(world)
    assert await socket.frame(acs.HeartbeatMessage)
    assert (await socket.close_event())["reason"] == "heartbeat not acknowledged"
    await socket.done()
    assert not world.is_connected(INSTANCE)


@pytest.mark.parametrize(
    ("published", "acknowledgement"),
    [
        (tcs.PublishMetricsRequest(), tcs.AckPublishMetric),
        (tcs.PublishHealthRequest(), tcs.AckPublishHealth),
        (tcs.PublishInstanceStatusRequest(), tcs.AckPublishInstanceStatus),
    ],
)
async def test_telemetry_is_acknowledged(
    world: World, published: Message, acknowledgement: type[Message]
) -> None:
    socket = world.open(INSTANCE, path="/tcs/ws")
    socket.say(published)
    assert await socket.frame(acknowledgement)


async def test_telemetry_alone_does_not_make_an_agent_connected(world: World) -> None:
    socket = world.open(INSTANCE, path="/tcs/ws")
    await socket.frame(acs.HeartbeatMessage)
    assert not world.is_connected(INSTANCE)
    await socket.hang_up()


async def test_a_changed_runtime_status_reaches_the_state(world: World) -> None:
    socket = world.open(INSTANCE, path="/tcs/ws")
    impaired = tcs.InstanceStatus(type="ContainerRuntime", status="IMPAIRED")
    socket.say(tcs.PublishInstanceStatusRequest(statuses=(impaired,)))
    await socket.frame(tcs.AckPublishInstanceStatus)
    known = world.engine.view.container_instance(INSTANCE.arn)
    assert known is not None
    assert known.runtime_status == "IMPAIRED"


async def test_binary_frames_are_frames_too(world: World) -> None:
    socket = await open_known(world)
    socket.to_app.put_nowait({"type": "websocket.receive", "bytes": b"\xff\xfe"})
    assert await socket.frame(acs.BadRequestException)


async def test_frames_behind_a_close_are_not_taken(world: World) -> None:
    socket = await open_known(world)
    for text in ("one", "two"):
        socket.say_text(text)
    await socket.done()
    frames = [decode_frame(e["text"]) for e in drain(socket) if e["type"] == "websocket.send"]
    assert sum(isinstance(frame, acs.BadRequestException) for frame in frames) == 1


async def test_many_idle_connections_share_one_timer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    instances = [make_container_instance(n, agent_connected=False) for n in range(50)]
    world = World(*RECORDS, *instances)
    loop = asyncio.get_running_loop()
    timers: list[float] = []
    call_later = loop.call_later

    def count_timers(delay: float, callback: Callable[..., object], *args: object) -> object:
        if getattr(callback, "__qualname__", "").startswith("Timers."):
            timers.append(delay)
        return call_later(delay, callback, *args)

    monkeypatch.setattr(loop, "call_later", count_timers)
    for instance in instances:
        await world.open(instance).frame(acs.TaskManifestMessage)
    assert len(timers) == 1
    await world.gateway.stop()


async def test_a_websocket_that_the_web_server_closes_before_it_is_accepted_ends_quietly() -> None:
    world = World(*RECORDS)
    await world.gateway.stop()
    events = ["websocket.connect", "websocket.disconnect"]

    async def receive() -> dict[str, Any]:
        return {"type": events.pop(0)}

    async def send(message: Any) -> None:
        # What uvicorn does while it shuts down: it takes the accept in silence, and forgets it.
        if message["type"] != "websocket.accept":
            raise RuntimeError("Expected ASGI message 'websocket.accept'")

    scope = {"type": "websocket", "path": "/acs/ws", "query_string": b""}
    await world.gateway.serve_acs(scope, receive, send)
    assert events == []
