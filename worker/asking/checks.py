"""What `ik-slack doctor` looks at: each finding is a line, with the mend when something is wrong."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from worker.asking.wording import count, when
from worker.domain.errors import Problem
from worker.store.ledger import take_census
from worker.store.origin import LOST, MEND
from worker.store.outage import AWAY, outage_of
from worker.store.server import Unavailable

if TYPE_CHECKING:
    from worker.bootstrap import Services

LOOK_S = 4.0
NEARLY_FULL = 0.8
OLDEST = (6, 2)
MUCH_UNREAD = 1_000
START_OR_CORRECT = "Start it, or correct its address and password in the settings."
START = "Start it with `ik-slack up`."
CORRECT_TEMPLATE = (
    "The default message is posted instead. Correct it: `ik-slack subscriptions export > FILE`, change it "
    "there, `ik-slack subscriptions apply FILE`; or `ik-slack integrations template NAME FILE`, if it is the "
    "template of the integration."
)


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    NOTE = "note"  # worth knowing, no fault
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, and the step that mends it."""

    check: str
    level: Level
    detail: str
    mend: str = ""


Look = Callable[["Services"], Awaitable[Sequence[Finding]]]


def judged(check: str, passed: bool, detail: str, mend: str, *, otherwise: Level = Level.FAILED) -> Finding:
    """A finding that needs its mend only when it did not pass."""
    return Finding(check, Level.OK, detail) if passed else Finding(check, otherwise, detail, mend)


async def looked(
    made: "Services", check: str, look: Look, *, most_s: float, mend: str = START_OR_CORRECT
) -> Sequence[Finding]:
    """What a look finds; that it found nothing out is a finding too."""
    try:
        async with asyncio.timeout(most_s):
            return await look(made)
    except TimeoutError:
        reason = f"no answer within {most_s:g} s"
    except Unavailable as error:
        outage = outage_of(error)
        reason = f"{outage.reason.removeprefix('Redis ')} ({error})"
        mend = mend if outage is AWAY else outage.mend
    return [Finding(check, Level.FAILED, reason, mend)]


async def redis(made: "Services") -> Sequence[Finding]:
    """Reachable, new enough, and keeping what it is given."""
    await made.server.command("PING")
    try:
        sections = ("server", "replication", "persistence", "memory")
        said = {key: value for name in sections for key, value in (await made.upkeep.info(name)).items()}
    except Unavailable as error:
        return [
            Finding("Redis", Level.NOTE, f"answers; its version and settings could not be read ({error})")
        ]
    return [_version(said), _persistence(said), _eviction(said), *_memory(said), await _data(made)]


async def broker(made: "Services") -> Sequence[Finding]:
    """Reachable."""
    await made.broker.command("PING")
    where = "answers" if made.settings.broker_url else "is Redis too"
    return [Finding("broker", Level.OK, where)]


async def key_ring(made: "Services") -> Sequence[Finding]:
    """It opens every token."""
    connections = (await made.integrations.connections()).values()
    closed = [one for one in connections if one.token is None]
    if closed:
        return [
            Finding(
                f"{one.integration.name}: key", Level.FAILED, "its token cannot be opened", one.unreadable
            )
            for one in closed
        ]
    return [Finding("key ring", Level.OK, f"opens {count(len(connections), 'token')}")]


async def subscriptions(made: "Services") -> Sequence[Finding]:
    """There are some that tell something, and their templates work."""
    everyone, faults = await made.subscriptions.all(), await made.drain.template_faults.all()
    active = [one for one in everyone if not one.paused]
    mend = "Add one with `ik-slack subscriptions add --to '#channel'`."
    detail = f"{len(active)} active" if active else "none is active: nothing is told"
    failing = [
        Finding(f"{one.id}: template", Level.FAILED, f"failed: {faults[one.id]}", CORRECT_TEMPLATE)
        for one in everyone
        if one.id in faults
    ]
    return [judged("subscriptions", bool(active), detail, mend, otherwise=Level.NOTE), *failing]


async def running(made: "Services") -> Sequence[Finding]:
    """Workers and ingest alive, and how far the stream is read."""
    workers, readers = await made.upkeep.alive("worker"), await made.upkeep.alive("ingest")
    lag = await made.stream.lag()
    unread = f"{count(lag, 'entry', 'entries')} not read yet"
    mend = (
        f"See whether it shrinks; `ik-slack ingest` may run several times. {'' if readers else START}".strip()
    )
    return [
        judged("worker", bool(workers), f"{len(workers)} running" if workers else "none is running", START),
        judged("ingest", bool(readers), f"{len(readers)} running" if readers else "none is running", START),
        judged("stream", lag <= MUCH_UNREAD, unread, mend, otherwise=Level.NOTE),
    ]


async def limits(made: "Services") -> Sequence[Finding]:
    """Lanes in which so much waits, or for so long, that the oldest soon become dead letters."""
    settings = made.settings
    near = await made.lanes.near(
        running_s=settings.delivery_max_age_s, parked_s=settings.parked_max_age_s, only_new=False
    )
    mend = "See why it waits: `ik-slack parked list`, `ik-slack deliveries list --state pending`."
    return [
        Finding(f"{one.lane}: {one.limit}", Level.NOTE, one.words, f"{one.then} {mend}") for one in near
    ] or [Finding("backlog", Level.OK, "no lane is near a limit")]


async def accounts(made: "Services") -> Sequence[Finding]:
    """What waits for a person, and the balance."""
    balance, lanes = await take_census(made.server)
    dead = sum((await made.dead_letters.reasons()).values())
    stopped = sum(1 for one in lanes if one.parked or one.integration_parked)
    waiting = f"{count(stopped, 'lane')} parked, {count(balance.parked, 'delivery', 'deliveries')} waiting"
    lost = f"{balance.unaccounted:,} unaccounted for" if balance.unaccounted else "balances"
    return [
        judged(
            "dead letters", not dead, f"{dead:,}", "See `ik-slack dead-letters list`.", otherwise=Level.NOTE
        ),
        judged("parked", not stopped, waiting, "See `ik-slack parked list`.", otherwise=Level.NOTE),
        judged(
            "ledger", not balance.unaccounted, lost, "Redis lost data, or we have a fault: please tell us."
        ),
    ]


def _version(said: dict[str, str]) -> Finding:
    name = "Valkey" if "valkey_version" in said else "Redis"
    version = said.get("redis_version", "")
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if not numbers:
        return Finding("Redis", Level.NOTE, "answers; its version could not be read")
    detail = f"{name} {said.get('valkey_version', version)}"
    if said.get("role") == "slave":
        return Finding(
            "Redis", Level.FAILED, f"{detail} is a replica", "Set REDIS_URL to the one it follows."
        )
    mend = "Use Redis or Valkey 6.2 or newer."
    return judged("Redis", numbers >= OLDEST, detail, mend)


def _persistence(said: dict[str, str]) -> Finding:
    if "aof_enabled" not in said:
        return Finding("persistence", Level.NOTE, "could not be read; the append-only file must be on")
    if said.get("aof_last_write_status", "ok") != "ok":
        mend = "Make room on its disk, and see its log."
        return Finding("persistence", Level.FAILED, "Redis cannot write its append-only file", mend)
    is_on = said["aof_enabled"] == "1"
    mend = "Set `appendonly yes`: without it, a restart of Redis loses events."
    return judged("persistence", is_on, f"append-only file {'on' if is_on else 'off'}", mend)


def _memory(said: dict[str, str]) -> list[Finding]:
    """How full it is; nothing when it has no limit, or does not say."""
    used, most = (int(said.get(name, 0)) for name in ("used_memory", "maxmemory"))
    if not most:
        return []
    detail = f"{used / most:.0%} of maxmemory ({most / 2**20:,.0f} MiB) in use"
    mend = "Raise maxmemory: when it is reached, Redis refuses what is published."
    level = Level.FAILED if used >= most else Level.NOTE
    return [judged("memory", used < NEARLY_FULL * most, detail, mend, otherwise=level)]


async def _data(made: "Services") -> Finding:
    """Since when they are there, and whether there were others before."""
    try:
        data = await made.origin.look()
    except Problem as error:
        return Finding("data", Level.FAILED, "written by a newer version", str(error))
    lost_s = (await made.server.now_ms() - data.lost_ms) / 1000
    if data.lost_ms and lost_s < made.settings.retention_s:
        return Finding("data", Level.NOTE, f"{LOST} at {when(data.lost_ms)}", MEND)
    return Finding("data", Level.OK, f"there since {when(data.began_ms)}")


def _eviction(said: dict[str, str]) -> Finding:
    policy = said.get("maxmemory_policy")
    if policy is None:
        return Finding("eviction", Level.NOTE, "could not be read; maxmemory-policy must be noeviction")
    mend = "Set `maxmemory-policy noeviction`: any other throws away deliveries when memory is short."
    return judged("eviction", policy == "noeviction", policy, mend)
