"""`ik-slack demo`: an installation with a Slack sandbox on this machine, and a story to watch."""

import asyncio
import contextlib
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import click

from config.settings import Settings
from worker.cli.ledger import print_balance
from worker.cli.output import show_progress
from worker.cli.up import console_link, on_stop_signals, single_instance_lock, startup_key_of
from worker.demo.environment import POLL_S, DemoEnvironment, clear_folder, start_environment, wait_until_ready
from worker.demo.infrakitchen import BRIDGED, CHANNELS, DemoBridge, comparison, life
from worker.demo.scenario import NOT_INVITED, EventFactory, Scene, endless_scenes, story
from worker.domain.errors import UserError
from worker.domain.event import Kind, Severity
from worker.domain.integration import Secret
from worker.domain.subscription import Filters, Subscription
from worker.pipeline.integration_setup import add_integration
from worker.publish import encode
from worker.store.bridge import BridgeStore
from worker.store.ledger import Balance, take_ledger_snapshot

ResultT = TypeVar("ResultT")
Play = Callable[[DemoEnvironment], Coroutine[None, None, Balance | None]]
EVENTS = 60
TIMEOUT_S = 120.0
SCENE_INTERVAL_S = 7.0  # after the story
SUBSCRIPTIONS = (
    ("deployments", Filters(kinds=(Kind.WORKFLOW,)), ""),
    ("platform", Filters(kinds=(Kind.RESOURCE, Kind.OTHER)), ""),
    ("alerts", Filters(kinds=(Kind.ALERT,), min_severity=Severity.WARNING), "<!here>"),
    ("team-payments", Filters(projects=("payments",)), ""),
    (NOT_INVITED, Filters(statuses=("error", "approval_pending")), ""),
)
SUBSCRIPTIONS_OF_BRIDGE = ((BRIDGED, Filters(), ""),)
INTRODUCTION = """
  Messages in Slack     {slack}
  Web console           {web}
  Flower                {flower}
  In another terminal   . {folder}/env && ik-slack ledger
  One event's history   ik-slack explain checkout-api-failed-4-{run}
  Invite the bot        {post}/invite -d '{{"channel": "{channel}"}}'
  Let Slack fail        {post}/outage -d '{{"on": true}}'
  Logs of the programs  {folder}/log
"""
INTRODUCTION_OF_BRIDGE = """
  InfraKitchen's own messages   {slack}channel/{alone}
  The same with the bridge      {slack}channel/{bridged}
  Web console                   {web}
"""


@click.command()
@click.option("--once", is_flag=True, help="Publish the story, wait for all deliveries, print the balance and exit.")
@click.option(
    "--events", type=click.IntRange(1, 1_000_000), metavar="N", default=EVENTS, show_default=True,
    help="Number of events; more events make the storm of alerts longer.",
)  # fmt: skip
@click.option(
    "--infrakitchen", is_flag=True,
    help="Show the life of a resource twice: with InfraKitchen's own messages, and with those of the bridge.",
)  # fmt: skip
def command(once: bool, events: int, infrakitchen: bool) -> None:
    """Try everything on this machine, without a Slack account.

    Starts an embedded Redis, a Slack sandbox, ingest, worker, web and Flower, and publishes a story: a
    deployment that fails, resources that change their state, a storm of alerts. No server is needed. Prints
    what to open and what to try, and runs until Ctrl-C.

    The settings of this machine are ignored, so no real installation is touched. The demo's files are in
    DATA_DIR/demo; each start deletes old files there.

    \b
    ik-slack demo --once --events 10000    exit 0 if every event is accounted for
    ik-slack demo --infrakitchen --once    what the bridge to InfraKitchen's RabbitMQ changes
    """
    play: Play
    if infrakitchen:
        play = partial(_play_bridge, once=once)
    else:
        play = partial(_play_and_wait if once else _play_without_end, events=events)
    if not once:
        click.echo("Starting an embedded Redis, a Slack sandbox, ingest, worker, web and Flower …")
        with _demo_folder() as folder:
            asyncio.run(_run(folder, play, lane_max_length=2 * events, once=False))
        click.echo("Stopped; nothing is left running.")
        return
    folder = Path(tempfile.mkdtemp(prefix="ik-slack-demo-"))  # kept after an error, for its logs
    balance = asyncio.run(_run(folder, play, lane_max_length=2 * events, once=True))
    shutil.rmtree(folder)
    if balance is None:
        raise UserError("Stopped before every event was delivered.")
    print_balance(balance, with_commands=False)


@contextmanager
def _demo_folder() -> Iterator[Path]:
    """Yield the empty folder DATA_DIR/demo; DATA_DIR is the only setting of this machine that the demo reads."""
    defaults = {name: field.default for name, field in Settings.model_fields.items() if name != "data_dir"}
    folder = Settings.load(**defaults).data_dir.absolute() / "demo"
    with single_instance_lock(folder, "ik-slack demo"):
        clear_folder(folder)
        yield folder


async def _run(folder: Path, play: Play, *, lane_max_length: int, once: bool) -> Balance | None:
    """Play a story; return the balance, None when the demo was stopped before."""
    report = partial(click.echo, err=True) if once else _print_line
    starting = start_environment(folder, lane_max_length=lane_max_length, use_default_ports=not once, report=report)
    async with starting as environment:
        balance = await _run_unless_stopped(environment, play(environment))
        if not once:
            click.echo("\nStopping after the posts in flight (Ctrl-C again: immediately).")
        return balance


async def _play_and_wait(environment: DemoEnvironment, events: int) -> Balance:
    """Publish the whole story, invite the bot to the channel it is missing in, and wait for the deliveries."""
    until_s = time.monotonic() + TIMEOUT_S + events / 100
    await wait_until_ready(environment, with_flower=False)
    await _connect_workspace(environment, SUBSCRIPTIONS)
    scenes = story(EventFactory(secrets.token_hex(3), time.time()), events)
    await _play(scenes, partial(_publish, environment), _show_scene)
    environment.workspace.invite(NOT_INVITED)
    samples = [sample for scene in scenes for sample in scene.samples]
    rejected = sum(isinstance(sample, bytes) for sample in samples)
    return await _wait_for_deliveries(environment, len(samples) - rejected, rejected, until_s)


async def _play_bridge(environment: DemoEnvironment, *, once: bool) -> Balance:
    """Play the life of a resource, wait for the deliveries, and print both channels; without `once`, never return."""
    app, workspace = environment.app, environment.workspace
    alone, bridged = (workspace.add_channel(name) for name in CHANNELS)
    await wait_until_ready(environment, with_flower=False)
    await _connect_workspace(environment, SUBSCRIPTIONS_OF_BRIDGE)
    if not once:
        web = console_link(app.settings, startup_key_of(app.settings))
        url = environment.sandbox.url
        click.echo(INTRODUCTION_OF_BRIDGE.format(slack=url, alone=alone.id, bridged=bridged.id, web=web))
    store = BridgeStore(app.redis, stream=app.settings.events_stream, retention_s=app.settings.retention_s)
    bridge = DemoBridge(store, workspace)
    await _play(life(), bridge.publish, _show_scene if once else _print_scene)
    await bridge.finish()
    balance = await _wait_for_deliveries(environment, bridge.published, 0, time.monotonic() + TIMEOUT_S)
    click.echo(f"\n{comparison(workspace)}\n")
    if not once:
        click.echo("End of the story; Ctrl-C stops the demo.")
        await asyncio.Event().wait()
    return balance


def _show_scene(scene: Scene) -> None:
    _show(f"publishing the story: second {scene.at_s:.0f}")


def _show(text: str) -> None:
    if sys.stderr.isatty():
        show_progress(text)


async def _wait_for_deliveries(environment: DemoEnvironment, accepted: int, rejected: int, until_s: float) -> Balance:
    """Wait until this many events are accounted for and none is pending or parked.

    Raises UserError with the difference when a delivery is dead or the time is over.
    """
    expected = {"accepted": accepted, "rejected": rejected}
    expected |= dict.fromkeys(("pending", "parked", "dead", "unaccounted"), 0)
    while True:
        balance = (await take_ledger_snapshot(environment.app.redis)).balance
        done = balance.delivered + balance.merged
        _show(f"delivered {done:,} of {balance.created:,}, {balance.pending:,} pending, {balance.parked:,} parked")
        differences = ", ".join(
            f"{name} is {actual:,} instead of {number:,}"
            for name, number in expected.items()
            if (actual := getattr(balance, name)) != number
        )
        if not differences:
            _show("")
            return balance
        if balance.dead or time.monotonic() > until_s:
            _show("")
            log = environment.folder / "log"
            raise UserError(f"Not every event was delivered: {differences}. The programs' output is in {log}.")
        await asyncio.sleep(2 * POLL_S)


async def _play_without_end(environment: DemoEnvironment, events: int) -> None:
    await wait_until_ready(environment, with_flower=environment.has_flower)
    await _connect_workspace(environment, SUBSCRIPTIONS)
    run = secrets.token_hex(3)
    _print_introduction(environment, run)
    await _play(story(EventFactory(run, time.time()), events), partial(_publish, environment), _print_scene)
    click.echo("\nEnd of the story. From now on an event happens every few seconds; Ctrl-C stops the demo.\n")
    for scene in endless_scenes(time.time):
        await asyncio.sleep(SCENE_INTERVAL_S)
        await _publish(environment, scene)
        _print_scene(scene)


def _print_introduction(environment: DemoEnvironment, run: str) -> None:
    folder, settings = environment.folder, environment.app.settings
    click.echo(
        INTRODUCTION.format(
            slack=environment.sandbox.url,
            web=console_link(settings, startup_key_of(settings)),
            flower=f"http://127.0.0.1:{settings.flower_port}" if environment.has_flower else "not installed",
            folder=os.path.relpath(folder) if folder.is_relative_to(Path.cwd()) else folder,
            run=run,
            post=f"curl -s -H 'Content-Type: application/json' {environment.sandbox.url}sandbox",
            channel=NOT_INVITED,
        )
    )


def _print_scene(scene: Scene) -> None:
    if scene.sentence:
        _print_line(scene.sentence)


def _print_line(line: str) -> None:
    click.echo(f"  {click.style(time.strftime('%H:%M:%S'), dim=True)}  {line}")


async def _connect_workspace(environment: DemoEnvironment, rules: Sequence[tuple[str, Filters, str]]) -> None:
    """Add the sandbox's workspace as an integration, with a subscription for each rule: channel, filters, mention."""
    app = environment.app
    token = Secret(environment.workspace.token)
    acme = await add_integration(app.integrations, app.gateway, "acme", token, description="workspace of the demo")
    now_ms = await app.redis.now_ms()
    subscriptions = [
        Subscription(f"sub-{channel}", acme.id, f"#{channel}", filters, mention=mention, created_at_ms=now_ms + number)
        for number, (channel, filters, mention) in enumerate(rules)
    ]
    await app.subscriptions.save_and_remove(save=subscriptions)


async def _play(
    scenes: Sequence[Scene], publish: Callable[[Scene], Awaitable[None]], on_scene: Callable[[Scene], None]
) -> None:
    """Publish each scene at its time, and call `on_scene` afterwards."""
    began_s = time.monotonic()
    for scene in scenes:
        await asyncio.sleep(max(began_s + scene.at_s - time.monotonic(), 0))
        await publish(scene)
        on_scene(scene)


async def _publish(environment: DemoEnvironment, scene: Scene) -> None:
    stream = environment.app.settings.events_stream
    entries = [sample if isinstance(sample, bytes) else encode(sample) for sample in scene.samples]
    await environment.app.redis.pipeline([("XADD", stream, "*", "event", entry) for entry in entries])


async def _run_unless_stopped(environment: DemoEnvironment, work: Coroutine[None, None, ResultT]) -> ResultT | None:
    """Return the result of `work`, or None after Ctrl-C or SIGTERM; a second signal kills the programs."""
    working = asyncio.create_task(work)

    def stop() -> None:
        if working.cancelling():
            environment.supervisor.kill()
        working.cancel()

    on_stop_signals(stop)
    with contextlib.suppress(asyncio.CancelledError):
        return await working
    return None
