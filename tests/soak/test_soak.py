"""The arithmetic of a soak: what counts as growth, and what as chance."""

from collections import Counter
from pathlib import Path
from random import Random

import pytest
from key_census import Family, family, find_grown, take_key_census
from redis.asyncio import Redis
from soak_load import count_deliveries, entry
from soak_report import SoakResult, report
from trend import trend

from worker.sandbox.embedded_redis import EmbeddedRedis
from worker.sources import Unreadable, parse
from worker.store.ledger import Balance

HOUR = [float(second) for second in range(0, 3600, 5)]


def test_the_slope_of_a_line_is_exact():
    line = trend([(second, 80 + second / 3600 * 7) for second in HOUR])
    assert line.per_hour == pytest.approx(7)
    assert line.noise == pytest.approx(0, abs=1e-6)
    assert not line.is_flat(1)
    assert line.is_flat(7.1)


def test_noise_is_not_growth_and_does_not_hide_a_leak():
    chance = Random(1)
    flat = [(second, 80 + chance.gauss(0, 2)) for second in HOUR]
    leaking = [(second, mb + second / 3600 * 5) for second, mb in flat]
    assert trend(flat).is_flat(1)
    assert not trend(leaking).is_flat(1)


def test_a_trend_needs_three_measurements():
    with pytest.raises(ValueError, match="three points"):
        trend([(0, 1), (1, 1)])


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("ik:delivery:07f6e1a9c0b3d4e5f607", "ik:delivery:*"),
        ("ik:lane:acme/#soak-07:attempts", "ik:lane:acme/#soak-N:attempts"),
        ("ik:lane:acme/#soak-07:card:07f6e1a9c0b3d4e5f607", "ik:lane:acme/#soak-N:card:*"),
        ("ik:pace:T0DVBU7LLQ4:C0DVBU7LLQ4", "ik:pace:*:*"),
        ("ik:ledger", "ik:ledger"),
    ],
)
def test_keys_that_differ_by_ids_and_numbers_are_one_family(key: str, expected: str):
    assert family(key) == expected


async def test_a_census_counts_keys_elements_and_expiry(tmp_path: Path):
    with EmbeddedRedis(tmp_path) as url:
        async with Redis.from_url(url) as redis:
            for number in range(60):
                await redis.set(f"one:{number}", "x", ex=100)
                await redis.rpush(f"many:{number}", "a", "b")
            await redis.xadd("stream", {"a": "b"})
            census = await take_key_census(redis)
    assert {name: (counted.keys, counted.elements, counted.ending) for name, counted in census.items()} == {
        "one:N": (60, 60, 60), "many:N": (60, 120, 0), "stream": (1, 1, 0),
    }  # fmt: skip
    assert (census["one:N"].ends, census["many:N"].ends) == ("within 100 s", "never")
    assert census["one:N"].bytes > 60


def test_key_families_that_grow_faster_than_the_load_are_found():
    earlier = {
        "ik:ledger:hour:N": Family("hash", 1, 40),
        "even": Family("hash", 1000, 5000),
        "more": Family("hash", 1000, 1000),
        "in": Family("list", 1, 9),
    }
    later = {
        "even": Family("hash", 1080, 5400), "more": Family("hash", 1200, 1200), "in": Family("list", 1, 90),
        "new": Family("string", 21, 0), "few": Family("string", 20, 0),
        "ik:ledger:hour:N": Family("hash", 1, 90),
    }  # fmt: skip
    assert find_grown(earlier, later) == ["in", "more", "new"]


def test_the_load_creates_the_expected_deliveries():
    events = Counter(kind(entry(number)) for number in range(1000))
    assert events == {"workflow": 300, "alert": 600 + 20, "other": 70, "unreadable": 10}
    assert count_deliveries(1000) == 970


def kind(body: bytes) -> str:
    try:
        return parse(body, "1-0").kind.value
    except Unreadable:
        return "unreadable"


@pytest.mark.parametrize(("per_hour", "fault"), [(0.5, ""), (9.0, "FAILED: worker grows by 9.00")])
def test_a_failed_check_is_reported(capsys: pytest.CaptureFixture[str], per_hour: float, fault: str):
    memory = {"worker": [(second, 80 + second / 3600 * per_hour) for second in HOUR]}
    keys = {"ik:event:*": Family("hash", 100, 300, 100, 240.0)}
    result = SoakResult(3600, 600, 1000, Balance(*[0] * 14), 3, memory, [{}, keys, keys], [])
    assert report(result) is not bool(fault)
    printed = capsys.readouterr().out
    assert fault in printed
    assert ("All checks passed." in printed) is not bool(fault)
