"""InfraKitchen's RabbitMQ as the bridge uses it: its exchanges, our queue, and what an error of it means."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import Enum

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import CONNECTION_EXCEPTIONS
from aiormq import exceptions as aiormq

QUEUE = "ik-slack"
#: InfraKitchen's exchanges, declared exactly as it does, so that either side may start first; and what we read of each.
#: Never `#`: the lines of its logs are on the first exchange too.
EXCHANGES = (
    ("ik_raw_messages", aio_pika.ExchangeType.TOPIC, "notification_event_router.#"),
    ("ik_event_messages", aio_pika.ExchangeType.FANOUT, ""),
)
PREFETCH = 32  # messages of up to some hundred kB, all in memory at once
CONNECT_S = 10.0
ERRORS = (*CONNECTION_EXCEPTIONS, TimeoutError)
_NAMES = "|".join((QUEUE, *(name for name, _, _ in EXCHANGES)))
PERMISSIONS = f"'^({_NAMES})$' '^{QUEUE}$' '^({_NAMES})$'"
"""The rights of the user: configure, write and read."""


class RabbitFailure(Enum):
    """Why RabbitMQ cannot be read. Nothing is lost by it: the queue keeps the messages."""

    LOGIN = ("RabbitMQ does not accept the login", "Correct the user and the password in AMQP_URL.")
    PERMISSION = (
        "RabbitMQ does not allow its user to do this",
        f"Give it the rights: `rabbitmqctl set_permissions -p VHOST USER {PERMISSIONS}`.",
    )
    VHOST = (
        "RabbitMQ does not let the user into the virtual host",
        "Correct the virtual host in AMQP_URL (behind the last /, with %2F for /), or give the user its rights.",
    )
    OTHER_SETTINGS = (
        f"the queue {QUEUE} or an exchange of InfraKitchen's exists with other settings",
        f"If it is the queue, delete it when it is empty: `rabbitmqctl delete_queue {QUEUE}`. It is declared again.",
    )
    QUEUE_GONE = (f"the queue {QUEUE} was deleted", "Wait: it is declared again within seconds.")
    NO_ANSWER = ("RabbitMQ does not answer", "Start it, or correct AMQP_URL.")

    def __init__(self, reason: str, fix: str) -> None:
        self.reason = reason  #: What is wrong, as a sentence without its full stop.
        self.fix = fix  #: What to do about it.


def find_failure(error: BaseException) -> RabbitFailure:
    """Return why RabbitMQ cannot be read, by the class of the error."""
    match error:
        case aiormq.AuthenticationError() | aiormq.ProbableAuthenticationError():
            return RabbitFailure.LOGIN
        case aiormq.ChannelAccessRefused():
            return RabbitFailure.PERMISSION
        case aiormq.ConnectionNotAllowed() | aiormq.InvalidFrameError():  # instead of an answer to Connection.Open
            return RabbitFailure.VHOST
        case aiormq.ChannelPreconditionFailed():
            return RabbitFailure.OTHER_SETTINGS
        case aiormq.ChannelNotFoundEntity():
            return RabbitFailure.QUEUE_GONE
        case _:
            return RabbitFailure.NO_ANSWER


@dataclass(frozen=True, slots=True)
class OpenQueue:
    """Our queue on an open connection."""

    connection: AbstractConnection
    channel: AbstractChannel
    queue: AbstractQueue

    async def consume(self, deliveries: asyncio.Queue[AbstractIncomingMessage | None]) -> None:
        """Put the messages of the queue into `deliveries`, and None when no more can come."""
        for closing in (self.connection, self.channel):
            closing.close_callbacks.add(lambda *_: deliveries.put_nowait(None))
        await self.queue.consume(deliveries.put)

    async def count_messages(self) -> int:
        """Return how many messages wait in the queue; raise an error of ERRORS when it is gone."""
        return (await self.channel.declare_queue(QUEUE, passive=True)).declaration_result.message_count or 0


async def inspect_queue(url: str) -> tuple[int, int]:
    """Return how many messages wait in our queue and how many consumers it has; raise an error of ERRORS.

    It declares what the bridge declares, so that a missing right is found.
    """
    async with open_queue(url) as opened:
        result = opened.queue.declaration_result
        with suppress(aiormq.ChannelNotFoundEntity):  # no exchange has this name; the right to read is checked first
            await opened.queue.bind(QUEUE)
        return result.message_count or 0, result.consumer_count or 0


@asynccontextmanager
async def open_queue(url: str) -> AsyncIterator[OpenQueue]:
    """Connect, declare the exchanges and our queue, bind it, and close the connection at the end.

    One consumer of the queue is active, the others take over when it ends. Raises an error of ERRORS.
    """
    connection = await aio_pika.connect(url, timeout=CONNECT_S, client_properties={"connection_name": QUEUE})
    async with connection:
        channel = await connection.channel(publisher_confirms=False)
        await channel.set_qos(prefetch_count=PREFETCH)
        queue = await channel.declare_queue(QUEUE, durable=True, arguments={"x-single-active-consumer": True})
        for name, type_, routing_key in EXCHANGES:
            exchange = await channel.declare_exchange(name, type_, durable=True, auto_delete=False)
            await queue.bind(exchange, routing_key=routing_key)
        yield OpenQueue(connection, channel, queue)
