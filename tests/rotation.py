"""A token that is revoked under load and works again later: everything is told once, nobody is restarted."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from installation import Installation, Program, alert, evts, until

CHANNELS = [f"c{number:02}" for number in range(30)]
PER_S = 100

Mend = Callable[[Installation], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Run:
    """So long the token works, is revoked, and works again while events arrive."""

    before_s: float
    revoked_s: float
    after_s: float

    @property
    def seconds(self) -> float:
        return self.before_s + self.revoked_s + self.after_s


async def rotate(one: Installation) -> None:
    """A new token, given by a person."""
    new = one.workspace.add_token()
    rotated = await one.cli("integrations", "rotate", "acme", "--token-stdin", given=new)
    assert rotated.code == 0, rotated


async def reinstate(one: Installation) -> None:
    """The same string works again, and nobody says so."""
    one.workspace.reinstate(one.workspace.token)


async def revoked_under_load(one: Installation, run: Run, mend: Mend) -> str:
    """The run, and its balance message by message: what it took, in words."""
    for name in CHANNELS:
        one.workspace.add_channel(name)
    await one.connect(*(f"#{name}" for name in CHANNELS))
    workers = [one.worker(), one.worker()]
    await one.running(one.ingest(), *workers)
    events = [alert(number, CHANNELS[number % len(CHANNELS)]) for number in range(int(PER_S * run.seconds))]
    loading = asyncio.create_task(one.load(events, over_s=run.seconds))
    await asyncio.sleep(run.before_s)
    one.workspace.revoke(one.workspace.token)
    await asyncio.sleep(run.revoked_s)
    assert await one.made.integrations.parked_code("acme") == "token_revoked"
    parked = (await one.balance()).parked
    await mend(one)
    await loading
    began = asyncio.get_running_loop().time()
    await _told_once(one, len(events), workers)
    took_s = asyncio.get_running_loop().time() - began
    posts = sum(len(one.messages(f"#{name}")) for name in CHANNELS)
    told = f"all told {took_s:.1f} s after the last event"
    return f"{len(events)} events, {parked} waited, {posts} messages, {told}"


async def _told_once(one: Installation, events: int, workers: list[Program]) -> None:
    balance = await one.settled(events, most_s=120)
    assert (balance.accepted, balance.created, balance.repeated, balance.dead) == (events, events, 0, 0)
    shown = Counter(mark for name in CHANNELS for mark in one.marks(f"#{name}"))
    assert shown == Counter(evts(*range(events))), "every event is shown, and by one message"
    for name in CHANNELS:
        await one.assert_in_order(f"#{name}")
    assert one.sandbox.violations.total() == 0
    lines = [line for worker in workers for line in worker.lines("integration parked")]
    assert len(lines) == 1, "one line, however many lanes and workers noticed"
    assert [worker.process.poll() for worker in workers] == [None, None]
    await until(lambda: _no_mark(one), "it counts as working")


async def _no_mark(one: Installation) -> bool:
    return await one.made.integrations.parked_code("acme") == ""
