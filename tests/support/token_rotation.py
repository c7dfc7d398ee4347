"""A token that is revoked under load and works again later: every event is posted once, no worker is restarted."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from support.events import marks, numbered_alert
from support.installation import Installation, Program, until

CHANNELS = [f"c{number:02}" for number in range(30)]
PER_S = 75  # at most 40 events wait per channel while the token is revoked: a digest that lists all of them

Fix = Callable[[Installation], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds for which the token works, is revoked, and works again while events arrive."""

    before_s: float
    revoked_s: float
    after_s: float

    @property
    def seconds(self) -> float:
        return self.before_s + self.revoked_s + self.after_s


async def rotate_token(installation: Installation) -> None:
    """Rotate the token with the command."""
    new = installation.workspace.add_token()
    rotated = await installation.cli("integrations", "rotate", "acme", "--token-stdin", given=new)
    assert rotated.code == 0, rotated


async def reinstate_token(installation: Installation) -> None:
    """Reinstate the same token in Slack, without a command."""
    installation.workspace.reinstate(installation.workspace.token)


async def run_revoked_under_load(installation: Installation, run: Timing, fix: Fix) -> str:
    """Run once, check every message, and return a summary."""
    for name in CHANNELS:
        installation.workspace.add_channel(name)
    await installation.connect(*(f"#{name}" for name in CHANNELS))
    workers = [installation.worker(), installation.worker()]
    await installation.running(installation.ingest(), *workers)
    events = [numbered_alert(number, CHANNELS[number % len(CHANNELS)]) for number in range(int(PER_S * run.seconds))]
    loading = asyncio.create_task(installation.load(events, over_s=run.seconds))
    await asyncio.sleep(run.before_s)
    installation.workspace.revoke(installation.workspace.token)
    await asyncio.sleep(run.revoked_s)
    assert await installation.app.integrations.get_parked_code("acme") == "token_revoked"
    parked = (await installation.balance()).parked
    await fix(installation)
    await loading
    began = asyncio.get_running_loop().time()
    await _assert_posted_once(installation, len(events), workers)
    took_s = asyncio.get_running_loop().time() - began
    posts = sum(len(installation.messages(f"#{name}")) for name in CHANNELS)
    summary = f"all posted {took_s:.1f} s after the last event"
    return f"{len(events)} events, {parked} waited, {posts} messages, {summary}"


async def _assert_posted_once(installation: Installation, events: int, workers: list[Program]) -> None:
    balance = await installation.settled(events, most_s=120)
    assert (balance.accepted, balance.created, balance.repeated, balance.dead) == (events, events, 0, 0)
    shown = Counter(mark for name in CHANNELS for mark in installation.marks(f"#{name}"))
    expected = Counter(marks(*range(events)))
    repeated, missing = shown - expected, expected - shown
    assert not repeated | missing, (
        f"{len(repeated)} events shown too often, {len(missing)} missing: {repeated | missing}"
    )
    for name in CHANNELS:
        await installation.assert_in_order(f"#{name}")
    assert installation.sandbox.violations.total() == 0
    lines = [line for worker in workers for line in worker.lines("integration parked")]
    assert len(lines) == 1, "one line, however many lanes and workers parked"
    assert [worker.process.poll() for worker in workers] == [None, None]
    await until(lambda: _is_resumed(installation), "the integration is resumed")


async def _is_resumed(installation: Installation) -> bool:
    return await installation.app.integrations.get_parked_code("acme") == ""
