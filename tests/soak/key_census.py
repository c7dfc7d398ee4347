"""A census of the keys of a Redis by family: their number, elements, memory and expiry."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from redis.asyncio import Redis

from worker.store.redis_client import text

BATCH = 500
WEIGHED = 50  # keys of a family whose memory is measured; the others are assumed to be alike
FACTOR, MARGIN = 1.1, 20  # a family grows when it exceeds both: the load is not quite even
#: Filled by the clock, not by the load: three figures for each minute of an hour, kept for 26 hours.
BOUNDED = re.compile(r":ledger:hour:N$")
SIZE = {"list": "LLEN", "set": "SCARD", "zset": "ZCARD", "hash": "HLEN", "stream": "XLEN", "string": "EXISTS"}
ID_PATTERNS = (
    (re.compile(r"(?<=:)[CDTU][A-Z0-9]{8,}\b"), "*"),  # Slack's ids
    (re.compile(r"\b[0-9a-f]{12,}\b"), "*"),  # the worker's ids
    (re.compile(r"\d+"), "N"),
)


@dataclass(slots=True)
class Family:
    """Keys that differ only by numbers and ids."""

    kind: str
    keys: int = 0
    #: In lists, sets, hashes and streams.
    elements: int = 0
    #: Keys that expire.
    ending: int = 0
    longest_s: float = 0.0
    bytes: float = 0.0

    @property
    def ends(self) -> str:
        """Describe when the keys expire."""
        if not self.ending:
            return "never"
        return f"within {self.longest_s:.0f} s" if self.ending == self.keys else f"{self.ending} of {self.keys}"


Census = Mapping[str, Family]


def family(key: str) -> str:
    """Return a key with placeholders for its numbers and ids."""
    for pattern, placeholder in ID_PATTERNS:
        key = pattern.sub(placeholder, key)
    return key


async def take_key_census(redis: Redis) -> dict[str, Family]:
    """Count every key. Keys may appear and expire meanwhile."""
    families: dict[str, Family] = {}
    names: list[bytes] = []
    async for name in redis.scan_iter(count=BATCH):
        names.append(name)
    for start in range(0, len(names), BATCH):
        await _count(redis, sorted(set(names[start : start + BATCH])), families)
    for counted in families.values():
        counted.bytes *= counted.keys / min(counted.keys, WEIGHED)
    return families


async def _count(redis: Redis, names: list[bytes], families: dict[str, Family]) -> None:
    kinds = [text(kind) for kind in await _execute(redis, [("TYPE", name) for name in names])]
    existing = [(name, kind) for name, kind in zip(names, kinds, strict=True) if kind in SIZE]
    sizes = await _execute(redis, [(SIZE[kind], name) for name, kind in existing])
    left_ms = await _execute(redis, [("PTTL", name) for name, _ in existing])
    for (name, kind), size, ms in zip(existing, sizes, left_ms, strict=True):
        if ms == -2:
            continue  # expired meanwhile
        counted = families.setdefault(family(text(name)), Family(kind))
        counted.keys += 1
        counted.elements += size
        counted.ending += ms > 0
        counted.longest_s = max(counted.longest_s, ms / 1000)
        if counted.keys <= WEIGHED:
            counted.bytes += int(await redis.memory_usage(name) or 0)


async def _execute(redis: Redis, commands: list[tuple[str, bytes]]) -> list[int]:
    pipeline = redis.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*command)
    return list(await pipeline.execute())


def find_grown(earlier: Census, later: Census) -> list[str]:
    """Return the families that have more keys or elements than the unevenness of the load explains."""
    empty = Family("none")
    return sorted(
        name
        for name, now in later.items()
        for then in (earlier.get(name, empty),)
        if not BOUNDED.search(name)
        if now.keys > then.keys * FACTOR + MARGIN or now.elements > then.elements * FACTOR + MARGIN
    )
