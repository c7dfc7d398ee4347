"""The consumer: takes the messages of our queue in RabbitMQ into Redis, and acknowledges them only then."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field

from aio_pika.abc import AbstractIncomingMessage

from worker.bridge.rabbitmq import ERRORS, PREFETCH, OpenQueue, find_failure, open_queue
from worker.bridge.translator import pass_on, translate
from worker.domain.errors import UserError
from worker.sources.json_decoder import Unreadable
from worker.store.bridge import BODIES_LIMIT, BridgeMessage, BridgeStore, SessionEnded
from worker.store.installation import InstallationMarker, Processes
from worker.store.redis_errors import StoreUnavailable, log_redis_error
from worker.telemetry import log_event

log = logging.getLogger("worker.bridge")

ROLE = "bridge"
TICK_S = 0.25
MAINTENANCE_EVERY_S = 1.0  # RabbitMQ has written its acknowledgements to its files long before
MIN_RETRY_S, MAX_RETRY_S = 0.5, 30.0


@dataclass(slots=True, kw_only=True)
class Bridge:
    """One consumer; of several that run, RabbitMQ gives the messages to one."""

    url: str  #: Of RabbitMQ.
    store: BridgeStore
    installation: InstallationMarker
    processes: Processes
    worker_id: str  #: This process among the live ones.
    stop: asyncio.Event  #: Set when the process must end.
    clock: Callable[[], float]  #: Monotonic seconds.
    connect: Callable[[str], AbstractAsyncContextManager[OpenQueue]] = open_queue
    _deliveries: asyncio.Queue[AbstractIncomingMessage | None] = field(default_factory=asyncio.Queue)
    _session: str = ""  #: Begun with the first message of a connection.
    _calls: int = 0
    _unforgotten: int = 0  #: How many messages were taken since the last maintenance.
    _retry_s: float = 0.0
    _reported: str = ""  #: The failure that was logged last, until RabbitMQ can be read again.

    async def run(self) -> None:
        """Take messages until the process stops; wait longer and longer after each error, and log it once.

        Raises UserError when a newer version of the program wrote the data in Redis.
        """
        while not self.stop.is_set():
            try:
                await self._consume()
            except UserError:
                raise
            except SessionEnded:
                log.warning("another bridge has taken over; waiting to take over from it")
            except StoreUnavailable as error:
                if self._is_new(error.failure.reason):
                    log_redis_error(log, error)
            except ERRORS as error:
                failure = find_failure(error)
                if self._is_new(failure.reason):
                    log_event(log, logging.ERROR, failure.reason, fix=failure.fix, error=str(error))
            except Exception as error:
                if self._is_new(type(error).__name__):
                    log.exception("unexpected error while reading RabbitMQ")
            await self._wait()
        with suppress(StoreUnavailable):
            if self._session:
                await self.store.release(everything=True)  # what is held would wait for the next start
            await self.processes.remove_heartbeat(ROLE, self.worker_id)

    async def _consume(self) -> None:
        await self.installation.check()
        async with self.connect(self.url) as opened:
            self._deliveries = asyncio.Queue()
            self._session, self._calls, self._unforgotten = "", 0, 0
            await opened.consume(self._deliveries)
            if self._reported:
                log.info("RabbitMQ and Redis answer again")
            self._reported, self._retry_s, maintenance_at = "", 0.0, self.clock()
            while not self.stop.is_set():
                if batch := await self._next_batch():
                    await self._take(batch)
                else:
                    await self.store.release()
                if self.clock() >= maintenance_at:
                    await self._maintain(opened)
                    maintenance_at = self.clock() + MAINTENANCE_EVERY_S

    async def _next_batch(self) -> list[AbstractIncomingMessage]:
        """Return the messages that have arrived, after at most TICK_S; raise ConnectionError when no more can come."""
        batch: list[AbstractIncomingMessage] = []
        try:
            async with asyncio.timeout(TICK_S):
                message = await self._deliveries.get()
        except TimeoutError:
            return batch
        while message is not None:
            batch.append(message)
            if self._deliveries.empty() or len(batch) >= PREFETCH:
                return batch
            message = self._deliveries.get_nowait()
        raise ConnectionError("the connection was closed")

    async def _take(self, batch: Sequence[AbstractIncomingMessage]) -> None:
        """Put the events of the messages into the stream, then acknowledge the messages."""
        messages = [(message, bool(raw.redelivered)) for raw in batch if (message := _translate(raw.body))]
        if messages:
            if not self._session:
                session = secrets.token_hex(8)
                await self.store.begin_session(session)
                self._session = session
            self._calls += 1
            result = await self.store.take(self._session, self._calls, messages)
            self._unforgotten = BODIES_LIMIT if result.repeats else self._unforgotten + len(messages)
        await batch[-1].ack(multiple=True)

    async def _maintain(self, opened: OpenQueue) -> None:
        await self.processes.record_heartbeat(ROLE, self.worker_id)
        await opened.count_messages()  # answered after all acknowledgements; an error when the queue was deleted
        if self._session:
            await self.store.forget(self._session, but_newest=self._unforgotten)
        self._unforgotten = 0

    def _is_new(self, reason: str) -> bool:
        """Return whether a failure must be logged: once, however often it is met again."""
        is_new, self._reported = reason != self._reported, reason
        return is_new

    async def _wait(self) -> None:
        self._retry_s = min(max(self._retry_s * 2, MIN_RETRY_S), MAX_RETRY_S)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._retry_s):
                await self.stop.wait()


def _translate(raw: bytes) -> BridgeMessage | None:
    """Translate a message; one that cannot be read is passed on, and logged without its content."""
    try:
        return translate(raw)
    except Unreadable as error:
        log_event(log, logging.WARNING, "message not readable, passed on", bytes=len(raw), detail=str(error))
    except Exception as error:  # noqa: BLE001  # its text may hold a part of the message
        log_event(log, logging.ERROR, "message not translated, passed on", bytes=len(raw), error=type(error).__name__)
    return pass_on(raw)
