"""The bridge with messages that wait in RabbitMQ (Debian's rabbitmq-server).

    python benchmarks/bridge.py [--messages 10000]

Prints the time from the start of the bridge until no message waits, its processor time per message, its start included,
and its peak memory.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import environment
from aio_pika.exceptions import AMQPException

sys.path.append(str(environment.HERE.parent / "tests"))
from support.bridge import make_load
from support.installation import until
from support.rabbitmq import MISSING, RabbitServer, publish, queue_figures, run_rabbitmq

TIMEOUT_S = 300


async def measure(messages: int, rabbitmq: RabbitServer) -> None:
    """Let messages wait while the bridge is stopped, start it, and print the figures."""
    with environment.redis_server() as redis_url, tempfile.TemporaryDirectory() as folder:
        settings = environment.settings(redis_url, "http://127.0.0.1:9/", folder, AMQP_URL=rabbitmq.url)
        command = (environment.program("ik-slack"), "bridge")
        with environment.process(*command, **settings):  # it declares the queue
            await _wait_for_queue(rabbitmq, messages=0, consumers=1)
        await publish(rabbitmq.url, make_load(messages).bodies)
        await _wait_for_queue(rabbitmq, messages=messages, consumers=0)
        started_s = time.monotonic()
        with environment.process(*command, **settings) as bridge:
            await _wait_for_queue(rabbitmq, messages=0, consumers=1)
            took_s = time.monotonic() - started_s
            processor_ms = environment.processor_s(bridge.pid) * 1000 / messages
            peak_mb = environment.peak_mb(bridge.pid)
        await _wait_for_queue(rabbitmq, messages=0, consumers=0)
    print(f"{messages} messages: {took_s:.1f} s, {processor_ms:.2f} ms of processor each, peak memory {peak_mb:.0f} MB")


async def _wait_for_queue(rabbitmq: RabbitServer, *, messages: int, consumers: int) -> None:
    async def is_reached() -> bool:
        with suppress(OSError, AMQPException):  # there is no queue yet
            figures = await queue_figures(rabbitmq.url)
            return (figures.message_count, figures.consumer_count) == (messages, consumers)
        return False

    await until(is_reached, f"{messages} messages and {consumers} consumers", most_s=TIMEOUT_S)


def main() -> None:
    """Run the benchmark where RabbitMQ is installed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=10_000)
    options = parser.parse_args()
    if MISSING:
        print("skipped: rabbitmq-server is not installed")
        return
    with tempfile.TemporaryDirectory() as folder, run_rabbitmq(Path(folder)) as rabbitmq:
        asyncio.run(measure(options.messages, rabbitmq))


if __name__ == "__main__":
    main()
