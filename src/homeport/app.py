"""The composition root of the control plane: the one place where ports meet real edges."""

import asyncio
import contextlib
import gc
import logging
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from homeport.config import Config
from homeport.engine.engine import Engine
from homeport.gateway.connections import Gateway, GatewaySettings
from homeport.operations.context import OperationSettings
from homeport.operations.homeport import placement_questions
from homeport.operations.registry import OPERATIONS
from homeport.operations.render.events import first_sequence_behind
from homeport.server.asgi import ApiApp
from homeport.server.driver import EngineDriver, SystemClock, SystemEntropy
from homeport.server.event_stream import EventStream
from homeport.server.homeport_calls import HomeportCalls
from homeport.server.limits import ServerLimits
from homeport.server.metrics_call import MetricsCall
from homeport.server.serve import ApiServer
from homeport.state.store import Store
from homeport.state.view import View
from homeport.storage.database import JournalLimits
from homeport.storage.errors import StorageError
from homeport.storage.memory import MemoryStorage
from homeport.storage.outbox import Outbox
from homeport.storage.recovery import recover_store
from homeport.storage.sqlite import SqliteStorage
from homeport.storage.time_series import open_time_series

log = logging.getLogger("homeport")

Storage = MemoryStorage | SqliteStorage
# Python looks for cycles after 700 new objects; a call makes hundreds, and what it leaves in the
# state stays. Seldom is enough: nothing here is freed by the collector alone in bulk.
COLLECTOR_THRESHOLDS = (20_000, 50, 100)
# What a failed server tells its callers; its log says why.
FAILURE_MESSAGE = "The server has failed and is stopping; nothing of this call is known to be kept."
FAILED_STOP_S = 2.0  # for those answers to leave; storage ends the process before long
# Threads beside the event loop write metrics and read histories: the interpreter's lock changes
# hands after this long, where Python's own 5 ms would show in answers.
SWITCH_INTERVAL_S = 0.0005
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


async def run_server(config: Config) -> None:
    """Run the control plane until SIGTERM or SIGINT; says `listening on URL` when it is ready.

    Raises StorageError when the data directory can't be used or the disk refused a commit, and
    ListenError when the address can't be listened on.
    """
    limits = _server_limits(config)
    driver = EngineDriver()
    storage_failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    metrics_dir = None if config.ephemeral else Path(config.data_dir)
    with (
        _open_storage(config, storage_failed) as (journal, store),
        open_time_series(metrics_dir, View(store).task) as series,
    ):
        clock = SystemClock()
        engine = Engine(
            store=store,
            journal=journal,
            outlet=driver,
            clock=clock,
            entropy=SystemEntropy(),
            operations={**OPERATIONS, **placement_questions.OPERATIONS},
            settings=OperationSettings(
                stopped_task_retention_s=config.stopped_task_retention_s,
                deregistered_instance_retention_s=config.deregistered_instance_retention_s,
                instance_loss_window_s=config.instance_loss_window_s,
                strict_failures=config.strict_failures,
            ),
        )
        gateway = Gateway(
            engine,
            clock,
            GatewaySettings(
                heartbeat_interval_s=config.heartbeat_interval_s,
                agent_disconnect_window_s=config.agent_disconnect_window_s,
                account_id=config.account_id,
                region=config.region,
            ),
            metrics=series,
        )
        driver.attach(engine, gateway)
        stream = EventStream(engine.view, journal, commit_sequence=store.sequence)
        store.feed.watch(stream.follow)
        calls = HomeportCalls(
            driver.start,
            view=engine.view,
            stream=stream,
            when_durable=journal.when_durable,
            read_history=journal.history,
            others={"ListMetrics": MetricsCall(View(store), series, clock).list_metrics},
        )
        app = ApiApp(
            calls.start,
            default_account_id=config.account_id,
            default_region=config.region,
            limits=limits,
            websocket_routes=gateway.routes,
        )
        server = ApiServer(app, host=config.host, port=config.port, limits=limits)
        async with _deliver_events(config, stream, journal, store.sequence):
            _tune_interpreter()
            engine.start()
            await _serve(server, gateway, stream, driver=driver, storage_failed=storage_failed)


async def _serve(
    server: ApiServer,
    gateway: Gateway,
    stream: EventStream,
    *,
    driver: EngineDriver,
    storage_failed: asyncio.Future[None],
) -> None:
    """Serve until a signal or a failure; then stop in order: agents, requests, port."""
    stop_wanted = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop_wanted.set)
    serving = asyncio.create_task(server.serve())
    stopping = asyncio.create_task(stop_wanted.wait())
    started = asyncio.create_task(server.started.wait())
    await asyncio.wait((started, serving), return_when=asyncio.FIRST_COMPLETED)
    host = f"[{server.host}]" if ":" in server.host else server.host
    print(f"homeport: listening on http://{host}:{server.port}", flush=True)
    failures = (driver.failed, storage_failed)
    ends: list[asyncio.Future[Any]] = [serving, stopping, *failures]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    failure = next((each for each in failures if each.done()), None)
    if failure is not None:
        server.refuse_calls(FAILURE_MESSAGE)
    await gateway.stop()
    stream.close()
    server.stop()
    await asyncio.wait((serving,), timeout=None if failure is None else FAILED_STOP_S)
    driver.stop()
    for task in (stopping, started):
        task.cancel()
    if failure is not None:
        failure.result()  # raises what went wrong


@contextlib.asynccontextmanager
async def _deliver_events(
    config: Config, stream: EventStream, journal: Storage, commit_sequence: int
) -> AsyncIterator[None]:
    if not config.event_webhooks:
        yield
        return
    from homeport.server.webhooks import deliver_events  # late: few servers need an HTTP client

    urls = tuple(dict.fromkeys(config.event_webhooks))
    known_through = first_sequence_behind(commit_sequence)
    directory = None if config.ephemeral else Path(config.data_dir)
    outbox = Outbox(
        directory, urls, known_through=known_through, holds_journal=lambda: journal.is_held
    )
    try:
        async with deliver_events(urls, stream, outbox, known_through=known_through):
            yield
    finally:
        outbox.close()


def _tune_interpreter() -> None:
    """Collect seldom, never what was recovered since it is there to stay, and share the lock."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTOR_THRESHOLDS)


def _server_limits(config: Config) -> ServerLimits:
    return ServerLimits(
        body_bytes=config.body_limit_bytes,
        header_timeout_s=config.request_timeout_s,
        body_timeout_s=config.request_timeout_s,
        connections=config.connection_limit,
    )


@contextlib.contextmanager
def _open_storage(config: Config, failed: asyncio.Future[None]) -> Iterator[tuple[Storage, Store]]:
    """Open the journal and recover the state that it holds; closes it in the end."""
    if config.ephemeral:
        yield MemoryStorage(), Store()
        return
    mib = 1024 * 1024
    limits = JournalLimits(
        retention_s=config.journal_retention_s, size_bytes=config.journal_limit_mib * mib
    )
    storage = SqliteStorage(Path(config.data_dir), limits)
    try:
        recovered = recover_store(storage)
        for violation in recovered.violations:
            log.error("recovered state is unsound: %s", violation)
        log.info("recovered %d records from %s", recovered.record_count, config.data_dir)

        def refuse(error: StorageError) -> None:
            if not failed.done():
                failed.set_exception(error)

        storage.start(asyncio.get_running_loop(), refuse)
        yield storage, recovered.store
    finally:
        storage.close()
