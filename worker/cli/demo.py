"""`ik-slack demo`: everything on this machine, with a small Slack and a story to watch."""

import asyncio
import contextlib
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import click

from config.settings import Settings
from worker.cli.before import only_one
from worker.cli.demo_quiet import afternoon
from worker.cli.demo_story import Scene, Writer, story
from worker.cli.demo_words import Progress, introduce, say, say_scene
from worker.cli.ledger import print_balance
from worker.cli.stage import Stage, clear, ready, serves_flower, stage
from worker.cli.telling import all_told, connect, enact, invite, tell
from worker.domain.errors import Problem
from worker.store.ledger import Balance

Answer = TypeVar("Answer")
EVENTS = 60
DEADLINE_S = 120.0
QUIET_S = 7.0  # between the scenes after the story


@click.command()
@click.option("--once", is_flag=True, help="Tell the story, wait until all has arrived, print the balance.")
@click.option(
    "--events", type=click.IntRange(1, 1_000_000), metavar="N", default=EVENTS, show_default=True,
    help="About how many events; more make a longer storm of alerts.",
)  # fmt: skip
def command(once: bool, events: int) -> None:
    """Everything on this machine, with a small Slack: no account, no server.

    Starts an embedded Redis, the small Slack, ingest, worker and Flower, and publishes a story: a deployment
    that fails, resources that change state, a storm of alerts. It prints what to open and what to try, and
    goes on until Ctrl-C. Settings of this machine are not used, so nothing real is touched. Its files are
    under DATA_DIR/demo, made anew each time.

    \b
    ik-slack demo
    ik-slack demo --once                     exits with 0 only if every event is accounted for
    ik-slack demo --once --events 10000      a storm
    """
    if not once:
        with _folder() as folder:
            asyncio.run(_until_stopped(folder, events))
        return
    with _folder_once() as folder:
        found = asyncio.run(_once(folder, events))
    if found is None:
        raise Problem("Stopped before all was told.")
    print_balance(found, commands=False)


@contextmanager
def _folder() -> Iterator[Path]:
    """DATA_DIR/demo without what an earlier demo left there. Only DATA_DIR is read of this machine."""
    defaults = {name: field.default for name, field in Settings.model_fields.items() if name != "data_dir"}
    folder = Settings.load(**defaults).data_dir.absolute() / "demo"
    with only_one(folder, "ik-slack demo"):
        clear(folder)
        yield folder


@contextmanager
def _folder_once() -> Iterator[Path]:
    """A directory for this time only; it stays when something went wrong, for its logs."""
    folder = Path(tempfile.mkdtemp(prefix="ik-slack-demo-"))
    yield folder
    shutil.rmtree(folder)


async def _once(folder: Path, events: int) -> Balance | None:
    """The story told to its end, or None when it was stopped; Problem when something is missing then."""
    progress = Progress(sys.stderr)
    async with stage(folder, longest=2 * events, fixed_ports=False, say=progress.note) as on:
        found = await _unless_stopped(on, _told(on, events, DEADLINE_S + events / 100, progress))
        progress.end()
    return found


async def _told(on: Stage, events: int, deadline_s: float, progress: "Progress") -> Balance:
    """Publish all of it, the bot being invited half way, and wait."""
    began_s = time.monotonic()
    await ready(on)
    await connect(on)
    scenes = story(Writer(secrets.token_hex(3), time.time()), events)
    samples = [sample for scene in scenes for sample in scene.samples]
    half = asyncio.Event()
    published = 0

    def told(scene: Scene) -> None:
        nonlocal published
        published += len(scene.samples)
        progress.published(published, len(samples))
        if 2 * published >= len(samples):
            half.set()

    inviting = asyncio.create_task(invite(on, half))
    try:
        await tell(on, scenes, told)
        return await all_told(on, samples, deadline_s - (time.monotonic() - began_s), progress.balance)
    finally:
        inviting.cancel()


async def _until_stopped(folder: Path, events: int) -> None:
    click.echo("Starting an embedded Redis, a small Slack, ingest, worker and Flower …")
    async with stage(folder, longest=2 * events, fixed_ports=True, say=say) as on:
        await _unless_stopped(on, _play(on, events))
        click.echo("\nStopping: posts in flight are finished (Ctrl-C once more: at once).")
    click.echo("Stopped; nothing is left running.")


async def _play(on: Stage, events: int) -> None:
    """The story, and then a quiet afternoon without end."""
    await ready(on)
    await connect(on)
    await serves_flower(on)
    run = secrets.token_hex(3)
    introduce(on, run)
    await tell(on, story(Writer(run, time.time()), events), say_scene)
    click.echo("\nThe story is told. From now on something happens every few seconds; Ctrl-C ends it.\n")
    for scene in afternoon(time.time):
        await asyncio.sleep(QUIET_S)
        await enact(on, scene)
        say_scene(scene)


async def _unless_stopped(on: Stage, work: Coroutine[object, object, Answer]) -> Answer | None:
    """What came of it; None when Ctrl-C or SIGTERM came first. Asked again, the programs are killed."""
    stopping = asyncio.Event()

    def stop() -> None:
        if stopping.is_set():
            on.supervisor.kill()
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    working, asked = asyncio.ensure_future(work), asyncio.ensure_future(stopping.wait())
    await asyncio.wait((working, asked), return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if working.done():
        return working.result()
    working.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await working
    return None
