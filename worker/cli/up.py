"""`ik-slack up`, which runs the Procfile's processes, and the processes `ingest`, `web` and `bridge`."""

import asyncio
import fcntl
import logging.config
import os
import secrets
import signal
import socket
import stat
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path

import click

from config.flower_options import require_credentials as require_flower_credentials
from config.logging_config import log_config
from config.settings import Settings
from worker.bootstrap.context import AppContext, ShutdownSignal, open_context
from worker.bootstrap.dispatch import create_celery_app
from worker.bootstrap.procfile_supervisor import Program, Supervisor, procfile
from worker.bootstrap.redis_urls import open_redis, redis_addresses
from worker.domain.errors import UserError
from worker.local_machine import (
    is_free,
    is_loopback,
    keep_life_sign,
    load_startup_key,
    make_private_folder,
    run_under_init,
)  # fmt: skip
from worker.sandbox.embedded_redis import EmbeddedRedis, running_url
from worker.store.bridge import BridgeStore
from worker.store.installation import InstallationMarker, Processes
from worker.store.redis_errors import StoreUnavailable
from worker.store.token_cipher import TokenCipher

log = logging.getLogger("worker")

COLOURS = ("cyan", "magenta", "yellow", "green", "blue")
POLL_S = 1.0
INSTALL_FLOWER = "pip install 'infrakitchen-slack[flower]'"


def load_settings() -> Settings:
    """Load the settings and set up logging."""
    settings = Settings.load()
    logging.config.dictConfig(log_config(settings))
    return settings


def on_stop_signals(stop: Callable[[], object]) -> None:
    """Call `stop` on SIGTERM and on Ctrl-C."""
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)


async def _run_process(
    role: str, settings: Settings, work: Callable[[AppContext, ShutdownSignal], Awaitable[None]]
) -> None:
    """Run the work of one process, until SIGTERM or SIGINT asks it to end."""
    shutdown = ShutdownSignal()
    on_stop_signals(shutdown.set)
    life_sign = asyncio.create_task(keep_life_sign(settings.key_prefix, role))
    async with open_context(settings, celery=create_celery_app(settings), shutdown=shutdown) as app:
        await work(app, shutdown)
    life_sign.cancel()


@click.command()
def ingest() -> None:
    """Read events from the stream and put deliveries into lanes.

    It runs until it is stopped. Several may run, on any machine; `ik-slack up` starts one.
    """
    settings = load_settings()
    TokenCipher(settings.key_ring).require_keys()
    asyncio.run(_run_process("ingest", settings, lambda app, _: app.ingest.run()))


@click.command()
def web() -> None:
    """Serve the console, HTTP API, webhooks, health and metrics.

    It runs until it is stopped; `ik-slack up` starts one. It listens on WEB_HOST and WEB_PORT: by default on
    this machine only. Another address needs API_TOKEN or ADMIN_PASSWORD, the password of the console. Without
    any credential it prints a link to the console, with a key that is kept in DATA_DIR.

    /healthz answers while the process runs, /readyz when Redis, stream and a worker are ready; /metrics is for
    Prometheus.

    \b
    WEB_HOST=0.0.0.0 ADMIN_PASSWORD_FILE=/run/secrets/admin-password ik-slack web
    """
    settings = load_settings()
    require_credentials(settings)
    startup_key = startup_key_of(settings)
    from worker.web.app import listen, make_app, serve

    async def run(app: AppContext, shutdown: ShutdownSignal) -> None:
        if startup_key:
            click.echo(f"Web console: {console_link(settings, startup_key)}")
        await serve(make_app(app, startup_key), listening, shutdown)

    with listen(settings.web_host, settings.web_port) as listening:
        asyncio.run(_run_process("web", settings, run))


def startup_key_of(settings: Settings) -> str:
    """Return the start-up key; empty when the settings have another credential. Raises UserError."""
    return "" if settings.api_token or settings.admin_password else load_startup_key(settings.data_dir)


def console_link(settings: Settings, startup_key: str) -> str:
    """Return the address that opens the console with the start-up key."""
    host = f"[{settings.web_host}]" if ":" in settings.web_host else settings.web_host
    return f"http://{host}:{settings.web_port}/login?key={startup_key}"


def require_credentials(settings: Settings) -> None:
    """Raise UserError when other machines could connect and no password or token is set."""
    if not (settings.api_token or settings.admin_password or is_loopback(settings.web_host)):
        raise UserError(
            f"WEB_HOST {settings.web_host} lets other machines connect, and neither API_TOKEN nor ADMIN_PASSWORD "
            "is set: set one of them, or leave WEB_HOST at 127.0.0.1."
        )


@click.command()
def bridge() -> None:
    """Consume InfraKitchen's RabbitMQ and publish to the stream.

    It reads AMQP_URL, or BROKER_URL where that is InfraKitchen's own. It publishes each message once, and only names,
    states, people, labels and reasons: variables, outputs and configurations stay in RabbitMQ.

    It runs until it is stopped; `ik-slack up` starts one where AMQP_URL is set. Of several, one is active.

    \b
    AMQP_URL=amqp://ik-slack:password@rabbitmq:5672/ ik-slack bridge
    """
    settings = load_settings()
    require_bridge(settings)
    asyncio.run(_run_bridge(settings))


def require_bridge(settings: Settings) -> None:
    """Raise UserError when the bridge could not start."""
    if not settings.rabbitmq:
        raise UserError(
            "AMQP_URL is not set: set it to the address of InfraKitchen's RabbitMQ (amqp://user:password@host/)."
        )
    if find_spec("aio_pika") is None:
        raise UserError("The bridge needs aio-pika: pip install 'infrakitchen-slack[bridge]'.")


async def _run_bridge(settings: Settings) -> None:
    """Run the bridge with what it needs and no more: it stays small beside a worker."""
    from worker.bridge.consumer import ROLE, Bridge

    stop = asyncio.Event()
    on_stop_signals(stop.set)
    life_sign = asyncio.create_task(keep_life_sign(settings.key_prefix, ROLE))
    async with open_redis(settings) as redis:
        await Bridge(
            url=settings.rabbitmq,
            store=BridgeStore(redis, stream=settings.events_stream, retention_s=settings.retention_s),
            installation=InstallationMarker(redis),
            processes=Processes(redis),
            worker_id=f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}",
            stop=stop,
            clock=time.monotonic,
        ).run()
    life_sign.cancel()


@click.command()
@click.option("--only", metavar="NAME,…", help="Run only these processes of the Procfile.")
def up(only: str | None) -> None:
    """Run ingest, worker, web and Flower on this machine, and the bridge where AMQP_URL is set.

    A process that dies is started again. Ctrl-C or SIGTERM stops all of them after the posts in flight.
    Without REDIS_URL an embedded Redis runs too, with its data in DATA_DIR.

    \b
    ENCRYPTION_KEY="$(ik-slack keys generate)" ik-slack up --only ingest,worker
    """
    run_under_init()
    settings = load_settings()
    programs = select_programs(procfile(), only)
    refuse_shadowing_modules(Path.cwd())
    TokenCipher(settings.key_ring).require_keys()
    with data_dir_lock(programs, settings):
        is_requested = only is not None
        started = [program for program in programs if can_start(program.name, settings, is_requested=is_requested)]
        _run_programs(started, settings)


def select_programs(programs: Sequence[Program], only: str | None) -> list[Program]:
    """Return the programs named in `a,b`, or all; raise UsageError for an unknown name."""
    if only is None:
        return list(programs)
    names = [name.strip() for name in only.split(",") if name.strip()]
    known = [program.name for program in programs]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise click.UsageError(f"--only: no process {', '.join(unknown) or 'named'}; there is: {', '.join(known)}")
    return [program for program in programs if program.name in names]


def data_dir_lock(programs: Sequence[Program], settings: Settings) -> AbstractContextManager[None]:
    """Return the lock of DATA_DIR, if `up` keeps files there: those of the embedded Redis and of Flower."""
    uses_data_dir = not settings.redis_url or any(program.name == "flower" for program in programs)
    return single_instance_lock(settings.data_dir) if uses_data_dir else nullcontext()


@contextmanager
def single_instance_lock(data_dir: Path, command: str = "ik-slack up") -> Iterator[None]:
    """Allow one `up` or `demo` per DATA_DIR: two would share an embedded server and Flower's file."""
    try:
        make_private_folder(data_dir)
        mode = data_dir.stat().st_mode
        descriptor = os.open(data_dir / "up.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise UserError(
            f"DATA_DIR {data_dir} cannot be used ({error.strerror}): make the directory writable for this user, or set "
            "another."
        ) from None
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:  # a warning: container volumes often have these permissions
        log.warning("every user can change DATA_DIR %s: run `chmod 700 %s`, or set another", data_dir, data_dir)
    with os.fdopen(descriptor, "r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = file.read().strip() or "another process"
            raise UserError(
                f"`{command}` runs here already (process {owner}, DATA_DIR {data_dir}): "
                "stop that process, or set another DATA_DIR."
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def refuse_shadowing_modules(folder: Path) -> None:
    """Raise UserError when `folder` has another `worker` or `config`: Celery imports from there first."""
    for name in ("worker", "config"):
        for path in (folder / f"{name}.py", folder / name / "__init__.py"):
            if path.is_file() and folder != Path(__file__).parents[2]:
                raise UserError(f"Celery would import {path}: start `ik-slack up` from another directory.")


def can_start(program: str, settings: Settings, *, is_requested: bool) -> bool:
    """Return whether `up` starts a program: Flower where it is installed, the bridge where AMQP_URL is set.

    Raises UserError when a program that is requested, or for which something is set, could not start.
    """
    if program == "web":
        require_credentials(settings)
        startup_key_of(settings)
        if is_loopback(settings.web_host):
            _require_free_port(settings.web_port, "the web process", "WEB_PORT", others="ingest,worker")
    if program == "bridge":
        if not (is_requested or settings.rabbitmq):
            return False
        require_bridge(settings)
    if program == "flower":
        if find_spec("flower") is None:
            if is_requested:
                raise UserError(f"Flower is not installed: {INSTALL_FLOWER}.")
            print_line(f"Flower is not installed and is left out: {INSTALL_FLOWER}.")
            return False
        require_flower_credentials(settings)
        _require_free_port(settings.flower_port, "Flower", "FLOWER_PORT", others="ingest,worker,web")
    return True


def _require_free_port(port: int, program: str, setting: str, *, others: str) -> None:
    if not is_free(port):
        raise UserError(
            f"Port {port} is in use, and {program} needs it: set {setting} to another, "
            f"or leave {program} out with --only {others}."
        )


def _run_programs(programs: Sequence[Program], settings: Settings) -> None:
    environment = dict(os.environ)
    if settings.log_format == "auto" and sys.stdout.isatty():
        environment["LOG_FORMAT"] = "text"  # the programs write to a pipe, not to the terminal
    embedded = None if settings.redis_url else EmbeddedRedis(settings.data_dir / "redis", end_with_parent=True)
    try:
        if embedded:
            environment["REDIS_URL"] = running_url(embedded.directory) or embedded.start()
            print_line(f"embedded Redis in {embedded.directory}, for this machine only")
        asyncio.run(_supervise(programs, environment, settings, embedded))
    finally:
        if embedded:
            embedded.stop()
    print_line("stopped")


async def _supervise(
    programs: Sequence[Program], environment: dict[str, str], settings: Settings, embedded: EmbeddedRedis | None
) -> None:
    names = [program.name for program in programs]
    width = max(map(len, names))

    def print_output(name: str, line: str) -> None:
        colour = COLOURS[names.index(name) % len(COLOURS)] if name else None
        click.echo(click.style(f"{name:<{width}} |" if name else "ik-slack:", fg=colour) + f" {line}")

    supervisor = Supervisor(programs, environment, on_line=print_output, on_exit=print_output)
    stopping = asyncio.Event()

    def stop() -> None:
        if stopping.is_set():
            supervisor.kill()
            return
        stopping.set()
        print_line("stopping after the posts in flight (again: immediately)")
        supervisor.stop()

    on_stop_signals(stop)
    if not embedded:
        await wait_for_redis(settings, print_line, stopping.is_set)
    if stopping.is_set():
        return
    print_line(f"starting {', '.join(names)}; Ctrl-C stops all")
    watching = asyncio.create_task(_keep_redis_running(embedded, stopping))
    await supervisor.run()
    watching.cancel()


async def _keep_redis_running(embedded: EmbeddedRedis | None, stopping: asyncio.Event) -> None:
    """Start the embedded server again when it dies; its append-only file keeps all data."""
    while embedded:
        await asyncio.sleep(POLL_S)
        if await asyncio.to_thread(running_url, embedded.directory) is None and not stopping.is_set():
            print_line("the embedded Redis ended, starting it again")
            try:
                await asyncio.to_thread(embedded.start)
            except UserError as error:
                print_line(str(error))


async def wait_for_redis(settings: Settings, report: Callable[[str], None], is_stopping: Callable[[], bool]) -> None:
    """Wait until Redis answers, so that the processes do not each report that it does not, and migrate older data.

    Raises UserError when Redis cannot be used, or a newer version wrote its data.
    """
    address = redis_addresses(settings)[0].partition("?")[0].rpartition("@")[2].rpartition("://")[2]
    is_reported = False
    async with open_redis(settings) as redis:
        while not is_stopping():
            try:
                await redis.command("PING")
                await InstallationMarker(redis).require_compatible()
            except StoreUnavailable:
                if not is_reported:
                    report(f"Redis at {address} does not answer: waiting for it. Start it, or correct REDIS_URL.")
                is_reported = True
                await asyncio.sleep(POLL_S)
            else:
                return


def print_line(line: str) -> None:
    """Print a line of `up` itself, not of one of its programs."""
    click.echo(f"ik-slack: {line}")
