"""`ik-slack bridge`: consumes InfraKitchen's RabbitMQ and publishes to the stream."""

import asyncio
import os
import secrets
import socket
import time
from importlib.util import find_spec

import click

from config.settings import Settings
from worker.domain.errors import UserError


@click.command("bridge")
def command() -> None:
    """Consume InfraKitchen's RabbitMQ and publish to the stream.

    It reads AMQP_URL, or BROKER_URL where that is InfraKitchen's own. It publishes each message once, and only names,
    states, people, labels and reasons: variables, outputs and configurations stay in RabbitMQ.

    It runs until it is stopped; `ik-slack up` starts one where AMQP_URL is set. Of several, one is active.

    \b
    AMQP_URL=amqp://ik-slack:password@rabbitmq:5672/ ik-slack bridge
    """
    from worker.cli.up import load_settings

    settings = load_settings()
    require_bridge(settings)
    asyncio.run(_run(settings))


def require_bridge(settings: Settings) -> None:
    """Raise UserError when the bridge could not start."""
    if not settings.rabbitmq:
        raise UserError(
            "AMQP_URL is not set: set it to the address of InfraKitchen's RabbitMQ (amqp://user:password@host/)."
        )
    if find_spec("aio_pika") is None:
        raise UserError("The bridge needs aio-pika: pip install 'infrakitchen-slack[bridge]'.")


async def _run(settings: Settings) -> None:
    """Run the bridge with what it needs and no more: it stays small beside a worker."""
    from worker.bootstrap.redis_urls import connect_redis, redis_addresses
    from worker.bridge.consumer import ROLE, Bridge
    from worker.cli.up import on_stop_signals
    from worker.life_signs import keep_life_sign
    from worker.store.bridge import BridgeStore
    from worker.store.installation import InstallationMarker, Processes
    from worker.store.keys import Keys
    from worker.store.redis_client import RedisClient

    stop = asyncio.Event()
    on_stop_signals(stop.set)
    life_sign = asyncio.create_task(keep_life_sign(settings.key_prefix, ROLE))
    redis = RedisClient(connect_redis(redis_addresses(settings)[0]), Keys(settings.key_prefix))
    try:
        await Bridge(
            url=settings.rabbitmq,
            store=BridgeStore(redis, stream=settings.events_stream, retention_s=settings.retention_s),
            installation=InstallationMarker(redis),
            processes=Processes(redis),
            worker_id=f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}",
            stop=stop,
            clock=time.monotonic,
        ).run()
    finally:
        await redis.aclose()
        life_sign.cancel()
