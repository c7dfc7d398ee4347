"""The arithmetic of a soak: what it calls growth, and what it takes for chance."""

from collections import Counter
from pathlib import Path
from random import Random

import pytest
from key_census import Family, family, grown, take_key_census
from redis.asyncio import Redis
from soak_load import entry, told
from soak_report import Soaked, report
from trend import trend

from worker.sandbox.redis import EmbeddedRedis
from worker.sources import Unreadable, read
from worker.store.ledger import Balance

HOUR = [float(second) for second in range(0, 3600, 5)]


def test_a_slope_is_found_as_it_was_laid():
    found = trend([(second, 80 + second / 3600 * 7) for second in HOUR])
    assert found.per_hour == pytest.approx(7)
    assert found.noise == pytest.approx(0, abs=1e-6)
    assert not found.is_flat(1)
    assert found.is_flat(7.1)


def test_noise_is_not_taken_for_growth_and_hides_no_leak():
    chance = Random(1)
    flat = [(second, 80 + chance.gauss(0, 2)) for second in HOUR]
    leaking = [(second, mb + second / 3600 * 5) for second, mb in flat]
    assert trend(flat).is_flat(1)
    assert not trend(leaking).is_flat(1)


def test_too_few_figures_are_refused():
    with pytest.raises(ValueError, match="three points"):
        trend([(0, 1), (1, 1)])


@pytest.mark.parametrize(
    ("key", "its_family"),
    [
        ("ik:delivery:07f6e1a9c0b3d4e5f607", "ik:delivery:*"),
        ("ik:lane:acme/#soak-07:attempts", "ik:lane:acme/#soak-N:attempts"),
        ("ik:lane:acme/#soak-07:card:07f6e1a9c0b3d4e5f607", "ik:lane:acme/#soak-N:card:*"),
        ("ik:pace:T0DVBU7LLQ4:C0DVBU7LLQ4", "ik:pace:*:*"),
        ("ik:ledger", "ik:ledger"),
    ],
)
def test_keys_that_differ_by_ids_and_numbers_are_of_one_family(key: str, its_family: str):
    assert family(key) == its_family


async def test_a_census_counts_keys_what_is_in_them_and_when_they_end(tmp_path: Path):
    with EmbeddedRedis(tmp_path) as url:
        async with Redis.from_url(url) as redis:
            for number in range(60):
                await redis.set(f"one:{number}", "x", ex=100)
                await redis.rpush(f"many:{number}", "a", "b")
            await redis.xadd("stream", {"a": "b"})
            census = await take_key_census(redis)
    assert {name: (one.keys, one.elements, one.ending) for name, one in census.items()} == {
        "one:N": (60, 60, 60), "many:N": (60, 120, 0), "stream": (1, 1, 0),
    }  # fmt: skip
    assert (census["one:N"].ends, census["many:N"].ends) == ("within 100 s", "stays")
    assert census["one:N"].bytes > 60


def test_only_what_the_load_does_not_explain_has_grown():
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
    assert grown(earlier, later) == ["in", "more", "new"]


def test_the_load_makes_as_many_deliveries_as_it_says():
    events = Counter(kind(entry(number)) for number in range(1000))
    assert events == {"workflow": 300, "alert": 600 + 20, "other": 70, "unreadable": 10}
    assert told(1000) == 970


def kind(body: bytes) -> str:
    try:
        return read(body, "1-0").kind.value
    except Unreadable:
        return "unreadable"


@pytest.mark.parametrize(("per_hour", "fault"), [(0.5, ""), (9.0, "NOT HELD: worker grows by 9.00")])
def test_a_promise_that_does_not_hold_is_said(
    capsys: pytest.CaptureFixture[str], per_hour: float, fault: str
):
    memory = {"worker": [(second, 80 + second / 3600 * per_hour) for second in HOUR]}
    keys = {"ik:event:*": Family("hash", 100, 300, 100, 240.0)}
    soaked = Soaked(3600, 600, 1000, Balance(*[0] * 13), 3, memory, [{}, keys, keys], [])
    assert report(soaked) is not bool(fault)
    said = capsys.readouterr().out
    assert fault in said
    assert ("Every promise held." in said) is not bool(fault)
