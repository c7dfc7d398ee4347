"""All keys of a Redis by family: how many, how much is in them, and when they end."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from redis.asyncio import Redis

from worker.store.server import text

AT_ONCE = 500
WEIGHED = 50  # keys of a family whose memory is asked for; the rest are taken to be like them
MORE, A_FEW = 1.1, 20  # growth beyond both is growth: the load itself is not quite even
BOUNDED = re.compile(r":ledger:hour:N$")
"""What fills up by the clock, whatever comes: three figures for each minute of an hour, kept for 26."""
SIZE = {"list": "LLEN", "set": "SCARD", "zset": "ZCARD", "hash": "HLEN", "stream": "XLEN", "string": "EXISTS"}
NAMED = (
    (re.compile(r"(?<=:)[CDTU][A-Z0-9]{8,}\b"), "*"),  # Slack's ids
    (re.compile(r"\b[0-9a-f]{12,}\b"), "*"),  # ours
    (re.compile(r"\d+"), "N"),
)


@dataclass(slots=True)
class Family:
    """Keys that differ by numbers and ids only. `elements` are what lists, sets, hashes and streams hold."""

    kind: str
    keys: int = 0
    elements: int = 0
    ending: int = 0
    longest_s: float = 0.0
    bytes: float = 0.0

    @property
    def ends(self) -> str:
        """When its keys go by themselves, in words."""
        if not self.ending:
            return "stays"
        return (
            f"within {self.longest_s:.0f} s" if self.ending == self.keys else f"{self.ending} of {self.keys}"
        )


Census = Mapping[str, Family]


def family(key: str) -> str:
    """A key without what is its own."""
    for pattern, instead in NAMED:
        key = pattern.sub(instead, key)
    return key


async def take_key_census(redis: Redis) -> dict[str, Family]:
    """Every key there is; not one moment's picture, as keys come and go meanwhile."""
    found: dict[str, Family] = {}
    names: list[bytes] = []
    async for name in redis.scan_iter(count=AT_ONCE):
        names.append(name)
    for start in range(0, len(names), AT_ONCE):
        await _count(redis, sorted(set(names[start : start + AT_ONCE])), found)
    for one in found.values():
        one.bytes *= one.keys / min(one.keys, WEIGHED)
    return found


async def _count(redis: Redis, names: list[bytes], found: dict[str, Family]) -> None:
    kinds = [text(kind) for kind in await _asked(redis, [("TYPE", name) for name in names])]
    there = [(name, kind) for name, kind in zip(names, kinds, strict=True) if kind in SIZE]
    sizes = await _asked(redis, [(SIZE[kind], name) for name, kind in there])
    left_ms = await _asked(redis, [("PTTL", name) for name, _ in there])
    for (name, kind), size, ms in zip(there, sizes, left_ms, strict=True):
        if ms == -2:
            continue  # gone by now
        one = found.setdefault(family(text(name)), Family(kind))
        one.keys += 1
        one.elements += size
        one.ending += ms > 0
        one.longest_s = max(one.longest_s, ms / 1000)
        if one.keys <= WEIGHED:
            one.bytes += int(await redis.memory_usage(name) or 0)


async def _asked(redis: Redis, commands: list[tuple[str, bytes]]) -> list[int]:
    pipeline = redis.pipeline(transaction=False)
    for words in commands:
        pipeline.execute_command(*words)
    return list(await pipeline.execute())


def grown(earlier: Census, later: Census) -> list[str]:
    """Families that have more keys, or more in them, than the load's unevenness explains."""
    none = Family("none")
    return sorted(
        name
        for name, now in later.items()
        for then in (earlier.get(name, none),)
        if not BOUNDED.search(name)
        if now.keys > then.keys * MORE + A_FEW or now.elements > then.elements * MORE + A_FEW
    )
