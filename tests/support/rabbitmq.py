"""A RabbitMQ of the test's own: free ports, own directory and node name; tests are skipped where none is installed."""

import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import aio_pika
import pytest
from pamqp.commands import Queue

# The scripts without Debian's wrapper, which changes the user.
PROGRAMS = Path("/usr/lib/rabbitmq/bin")
MISSING = not (PROGRAMS / "rabbitmq-server").exists()
needs_rabbitmq = pytest.mark.skipif(MISSING, reason="rabbitmq-server is not installed")
START_S = 60.0
EXCHANGES = (("ik_raw_messages", "topic"), ("ik_event_messages", "fanout"))


class RabbitServer:
    """One server; its files, and so its durable queues, survive `kill` and `start`."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.port, self._dist_port, self._epmd_port = _free_ports(3)
        self.node = f"ik{secrets.token_hex(4)}@localhost"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return self.address()

    def address(self, user: str = "guest", password: str = "guest") -> str:
        return f"amqp://{user}:{password}@127.0.0.1:{self.port}/"

    @property
    def environment(self) -> dict[str, str]:
        folder = self.directory
        return os.environ | {
            "HOME": str(folder),
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_BASE": str(folder),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_LOGS": str(folder / "rabbit.log"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none",
        }

    def start(self) -> None:
        """Start the server and wait until it accepts connections."""
        with (self.directory / "out.log").open("ab") as out:
            self.process = subprocess.Popen(
                [PROGRAMS / "rabbitmq-server"],
                env=self.environment, cwd=self.directory, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + START_S
        while not self._answers():
            assert self.process.poll() is None, (self.directory / "out.log").read_text()[-2000:]
            assert time.monotonic() < deadline, "RabbitMQ did not start"
            time.sleep(0.1)

    def kill(self) -> None:
        """Kill the server; its files stay."""
        if self.process:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def close(self) -> None:
        """Kill the server and the port mapper that it started."""
        self.kill()
        stop = ["epmd", "-kill"]  # it refuses while it believes that the node runs
        for _ in range(20):
            answer = subprocess.run(stop, env=self.environment, capture_output=True, check=False, text=True)
            if "Killed" in answer.stdout + answer.stderr:
                return
            time.sleep(0.1)

    def ctl(self, *arguments: str) -> str:
        """Run a `rabbitmqctl` command and return its output."""
        done = subprocess.run(
            [PROGRAMS / "rabbitmqctl", "-q", *arguments],
            env=self.environment,
            capture_output=True,
            check=True,
            text=True,
        )
        return done.stdout

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            return bool(connection.recv(1))
        return False


@contextmanager
def run_rabbitmq(directory: Path) -> Iterator[RabbitServer]:
    """Start a server, and close it at the end."""
    server = RabbitServer(directory)
    try:
        server.start()
        yield server
    finally:
        server.close()


async def delete_queue(url: str) -> None:
    """Delete the bridge's queue with its messages."""
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel()
        await channel.queue_delete("ik-slack")


async def publish(url: str, bodies: Iterable[bytes]) -> None:
    """Publish messages as InfraKitchen does: persistent, entity events to the fanout, the others by their key."""
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel()
        exchanges = {
            name: await channel.declare_exchange(name, type_, durable=True, auto_delete=False)
            for name, type_ in EXCHANGES
        }
        for body in bodies:
            is_notification = b'"event_type"' in body
            message = aio_pika.Message(body, content_type="json", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
            exchange = exchanges["ik_raw_messages" if is_notification else "ik_event_messages"]
            await exchange.publish(message, routing_key="notification_event_router" if is_notification else "")


async def queue_figures(url: str) -> Queue.DeclareOk:
    """Return the figures of the bridge's queue; raise an AMQP error while there is none."""
    connection = await aio_pika.connect(url, timeout=5)
    async with connection:
        channel = await connection.channel()
        return (await channel.declare_queue("ik-slack", passive=True)).declaration_result


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for opened in sockets:
        opened.bind(("127.0.0.1", 0))
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports
