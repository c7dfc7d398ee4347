"""The sweep: what is due is woken, what is old expires, what is parked is probed; nothing stops it."""

import asyncio
import logging
from typing import Any

import pytest
from pipeline_house import House, alert
from pipeline_house import house as build
from redis.exceptions import ConnectionError as Disconnected

from worker.domain.integration import Secret
from worker.pipeline.digest import LATE_NOTE
from worker.pipeline.sweep import Sweep

DAY_S = 86_400


async def run(house: House, rounds: int = 1) -> None:
    """So many rounds of the sweep."""
    looks = iter(range(10**9))
    house.made.sweep.stopping = lambda: next(looks) >= rounds
    await house.made.sweep.run()


async def waiting(house: House, *bodies: dict[str, Any]) -> None:
    """Something waits, and nobody was woken for it."""
    await house.publish(*(bodies or (alert(),)))
    await house.ingest()
    house.awake.clear()
    await house.redis.delete("ik:lane:acme/#ops:wake")


async def test_a_lane_that_is_due_is_woken_once(house: House) -> None:
    await waiting(house)
    await house.made.sweep.tick()
    await house.made.sweep.tick()
    assert house.awake == ["acme/#ops"]
    house.pass_time(6)  # the wake-up call went astray
    await house.made.sweep.tick()
    assert house.awake == ["acme/#ops"] * 2


async def test_a_lane_that_lies_down_or_is_held_is_not_woken(house: House) -> None:
    house.slack.ends("chat.postMessage", "internal_error")
    await house.tell(alert())
    house.awake.clear()
    await house.made.sweep.tick()
    assert house.awake == []
    house.pass_time(3)
    await house.redis.set("ik:lane:acme/#ops:lease", "someone")
    await house.made.sweep.tick()
    assert house.awake == []


async def test_a_lane_whose_worker_died_is_woken_when_its_lease_is_over(house: House) -> None:
    await waiting(house)
    await house.made.lanes.acquire("acme/#ops", "dead")
    house.pass_time(31)
    await house.made.sweep.tick()
    assert house.awake == ["acme/#ops"]


async def test_more_lanes_than_are_woken_at_once_are_all_woken(house: House) -> None:
    for n in range(520):
        await house.subscribe(f"#c{n}")
    await house.publish(alert())
    await house.ingest()
    house.awake.clear()
    await house.redis.delete(*await house.redis.keys("ik:lane:*:wake"))
    await house.made.sweep.tick()
    assert len(house.awake) == 521


async def test_one_worker_sweeps_at_a_time(house: House) -> None:
    await waiting(house)
    await house.made.upkeep.lock("sweep", "another", 5000)
    await run(house)
    assert house.awake == []
    house.pass_time(6)
    await run(house)
    assert house.awake == ["acme/#ops"]


async def test_a_worker_shows_that_it_is_alive_and_leaves(house: House) -> None:
    sweep = house.made.sweep
    await run(house)
    assert await house.made.upkeep.alive("worker") == [sweep.who]
    await sweep.leave()
    assert await house.made.upkeep.alive("worker") == []
    assert await house.made.upkeep.lock("sweep", "another", 5000)


async def test_what_waits_too_long_expires_and_says_so(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    await waiting(house, alert("old"))
    house.pass_time(DAY_S - 1)
    await house.publish(alert("young"))
    await house.ingest()
    assert await house.made.sweep.expire() == 0
    house.pass_time(2)
    assert await house.made.sweep.expire() == 1
    [letter] = await house.dead()
    assert (letter.reason, letter.detail) == ("expired", "waited longer than 86400 s")
    [line] = [line for line in caplog.records if line.message == "deliveries expired"]
    assert (line.levelname, vars(line)["lane"], vars(line)["expired"]) == ("ERROR", "acme/#ops", 1)
    balance = await house.balance()
    assert (balance.dead, balance.pending) == (1, 1)


async def test_what_expired_while_parked_is_told_together_once_the_lane_can_be_told_again(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.slack.change("C0000001", is_member=False)
    await house.tell(alert("one"), alert("two"))
    house.pass_time(7 * DAY_S + 1)
    assert await house.made.sweep.expire() == 2
    house.slack.change("C0000001", is_member=True)
    await house.tell(alert("fresh"))
    assert [one.text for one in house.slack.posts] == ["🔴 fresh"]
    house.awake.clear()
    await house.made.sweep.replay_missed()
    assert house.awake == ["acme/#ops"]
    [line] = [line for line in caplog.records if line.message.startswith("dead letters replayed")]
    assert (vars(line)["lane"], vars(line)["replayed"]) == ("acme/#ops", 2)
    house.pass_time(2)
    await house.drain()
    assert house.slack.posts[1].text == "2 updates: 🔴 one; 🔴 two"
    assert LATE_NOTE.format(2) in str(house.slack.posts[1])
    await house.made.sweep.replay_missed()
    balance = await house.balance()
    assert (balance.dead, balance.pending) == (0, 0)


async def test_where_nothing_is_left_to_be_replayed_nobody_is_woken(house: House) -> None:
    await house.redis.zadd("ik:dead:missed", {"acme/#ops": 1})
    house.awake.clear()
    await house.made.sweep.tick()
    assert house.awake == []
    assert await house.made.dead_letters.lanes_that_missed() == []


async def test_what_is_parked_waits_longer(house: House) -> None:
    house.slack.change("C0000001", is_member=False)
    await house.tell(alert())
    house.pass_time(7 * DAY_S - 1)
    assert await house.made.sweep.expire() == 0
    house.pass_time(2)
    assert await house.made.sweep.expire() == 1
    assert (await house.dead())[0].detail == "waited longer than 604800 s for a person"


async def test_what_waits_for_its_integration_waits_longer_too(house: House) -> None:
    house.slack.faults["xoxb-1"] = "token_revoked"
    await house.tell(alert())
    house.pass_time(2 * DAY_S)
    assert await house.made.sweep.expire() == 0
    house.pass_time(6 * DAY_S)
    assert await house.made.sweep.expire() == 1


async def test_time_parked_does_not_count_once_the_lane_goes_on(house: House) -> None:
    house.slack.change("C0000001", is_member=False)
    await house.tell(alert())
    house.pass_time(3 * DAY_S)
    house.slack.change("C0000001", is_member=True)
    await house.made.sweep.prober.probe("lane:acme/#ops")
    assert await house.made.sweep.expire() == 0
    assert (await house.drain()).posts == 1


async def test_an_expired_lane_is_not_woken(house: House) -> None:
    await waiting(house)
    house.pass_time(2 * DAY_S)
    await house.made.sweep.expire()
    await house.made.sweep.tick()
    assert house.awake == []


async def asked_for(house: House) -> list[str]:
    """Which directories are to be read anew, in a round in which things are tidied."""
    asked: list[str] = []

    async def refresh(integration_id: str) -> None:
        asked.append(integration_id)

    house.made.sweep.refresh = refresh
    house.pass_time(11)
    await house.made.sweep.tick()
    return asked


async def test_a_directory_that_is_too_old_is_read_anew(house: House) -> None:
    assert await asked_for(house) == []  # never read: nobody asked for a name
    await house.tell(alert())
    assert await asked_for(house) == []
    house.pass_time(900)
    assert await asked_for(house) == ["acme"]


async def test_a_directory_that_is_being_read_is_not_asked_for(house: House) -> None:
    await house.tell(alert())
    house.pass_time(900)
    await house.made.reader.readings.claim("acme", "another worker")
    assert await asked_for(house) == []
    house.pass_time(31)  # which has died
    assert await asked_for(house) == ["acme"]


async def test_the_directory_of_a_parked_integration_is_not_asked_for(house: House) -> None:
    await house.tell(alert())
    house.slack.faults["xoxb-1"] = "token_revoked"
    await house.made.integrations.park("acme", "token_revoked", "reason", "hint", probe_s=60)
    house.pass_time(900)
    assert await asked_for(house) == []


async def test_what_nobody_needs_any_more_is_thrown_away(house: House) -> None:
    await house.tell(alert())
    await house.publish(b"{")
    await house.ingest()
    assert len(await house.dead()) == 1
    house.pass_time(15 * DAY_S)
    await house.made.sweep.tick()
    assert await house.made.dead_letters.ids() == []
    assert await house.deliveries() == []


async def test_a_ledger_that_does_not_balance_is_cried_out(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    await house.made.sweep.tick()
    assert [line for line in caplog.records if line.levelno == logging.CRITICAL] == []
    await house.redis.hincrby("ik:ledger", "created", 1)
    house.pass_time(31)
    await house.made.sweep.tick()
    [line] = [line for line in caplog.records if line.levelno == logging.CRITICAL]
    assert (line.message, vars(line)["unaccounted"]) == ("the ledger does not balance", 1)


async def test_what_is_parked_is_probed_and_woken(house: House) -> None:
    house.slack.change("C0000001", is_member=False)
    await house.tell(alert())
    house.slack.change("C0000001", is_member=True)
    house.pass_time(61)
    house.awake.clear()
    await house.made.sweep.tick()
    await asyncio.gather(*house.made.sweep._probing.values())
    assert house.awake == ["acme/#ops"]
    assert house.made.sweep._probing == {}


async def test_what_is_still_being_looked_at_is_not_looked_at_once_more(house: House) -> None:
    met: list[str] = []
    over = asyncio.Event()

    class Slow:
        async def probe(self, what: str) -> list[str]:
            met.append(what)
            await over.wait()
            return []

    house.slack.change("C0000001", is_member=False)
    await house.tell(alert())
    house.made.sweep.prober = Slow()  # type: ignore[assignment]  # any prober
    for _ in range(2):
        house.pass_time(61)
        await house.made.sweep.tick()
        await asyncio.sleep(0)
    assert met == ["lane:acme/#ops"]
    over.set()
    await asyncio.gather(*house.made.sweep._probing.values())
    house.pass_time(61)
    await house.made.sweep.tick()
    await asyncio.gather(*house.made.sweep._probing.values())
    assert len(met) == 2


async def test_of_many_that_stay_parked_none_keeps_another_from_being_looked_at(house: House) -> None:
    lanes = [f"C00001{n:02}" for n in range(60)]  # more than Slack may be asked about in a minute
    for n, id_ in enumerate(lanes):
        house.slack.add_channel(id_, f"c{n}")
        await house.subscribe(id_)
    await house.made.reader.read(house.integration, Secret("xoxb-1"))
    await house.publish(alert())
    await house.ingest()
    for id_ in lanes:  # kicked out of all of them at once
        house.slack.change(id_, is_member=False)
        await house.drain(f"acme/{id_}")
    assert await house.redis.zcard("ik:parked") == len(lanes)
    for id_ in (lanes[0], lanes[30], lanes[-1]):
        house.slack.change(id_, is_member=True)
    for _ in range(60):
        house.pass_time(3)
        await house.made.sweep.tick()
        await asyncio.gather(*house.made.sweep._probing.values())
    assert await house.redis.zcard("ik:parked") == len(lanes) - 3


class Failing:
    """A prober that fails."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    async def probe(self, what: str) -> list[str]:
        raise self.error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Disconnected("away"), "Redis does not answer"),
        (RuntimeError("a fault"), "a fault of this program"),
    ],
)
async def test_a_probe_that_fails_is_said_and_comes_again(
    house: House, caplog: pytest.LogCaptureFixture, error: Exception, said: str
) -> None:
    house.slack.change("C0000001", is_member=False)
    await house.tell(alert())
    house.made.sweep.prober = Failing(error)  # type: ignore[assignment]  # any prober
    for _ in range(2):
        house.pass_time(61)
        await house.made.sweep.tick()
        await asyncio.gather(*house.made.sweep._probing.values())
    assert [line.message for line in caplog.records].count(said) == 2


async def test_redis_away_or_a_fault_does_not_end_the_sweep(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    await waiting(house)
    endings: list[Exception | None] = [Disconnected("away"), RuntimeError("a fault"), None]

    async def mirror() -> None:
        if error := endings.pop(0):
            raise error

    house.made.sweep.mirror = mirror
    await run(house, rounds=3)
    assert [line.message for line in caplog.records] == ["Redis does not answer", "a fault of this program"]
    assert house.hand.slept == [1.0, 0.5, 0.5, 0.5]
    assert endings == []


async def test_what_a_newer_version_of_ours_wrote_is_left_alone_until_it_is_gone(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    await waiting(house)
    await house.redis.hset("ik:origin", mapping={"id": "a", "layout": 99, "began": 1, "lost": ""})
    await run(house, rounds=2)
    assert [line.message.partition(" under ")[0] for line in caplog.records] == [
        "Redis holds data of a newer version of infrakitchen-slack"
    ] * 2
    assert (house.awake, house.hand.slept) == ([], [10.0, 0.5] * 2)
    await house.redis.delete("ik:origin")
    await run(house)
    assert house.awake == ["acme/#ops"]


async def test_a_sweep_that_stops_leaves_no_probe_behind(house: House) -> None:
    house.slack.change("C0000001", is_member=False)
    await house.tell(alert())

    class Endless:
        async def probe(self, what: str) -> list[str]:
            await asyncio.Event().wait()
            return []

    house.made.sweep.prober = Endless()  # type: ignore[assignment]  # any prober
    house.pass_time(61)
    await run(house)
    [probing] = house.made.sweep._probing.values()
    with pytest.raises(asyncio.CancelledError):
        await probing


async def test_a_day_of_slack_outage_loses_nothing() -> None:
    async with build(delivery_max_age_s=3 * DAY_S) as house:
        await house.connect()
        await house.subscribe()
        house.slack.ends("chat.postMessage", *["service_unavailable"] * 100_000)
        await house.tell(alert("before"))
        sweep: Sweep = house.made.sweep
        for hour in range(24):
            await house.publish(alert(f"hour {hour}"))
            await house.ingest()
            house.pass_time(3600)
            await sweep.tick()
            await house.drain()
        house.slack.endings.clear()
        house.pass_time(301)
        await house.drain()
        balance = await house.balance()
        assert (balance.delivered, balance.merged, balance.pending) == (1, 24, 0)


async def test_a_directory_is_asked_for_once_however_busy_the_workers_are(house: House) -> None:
    await house.tell(alert())
    house.pass_time(900)
    assert await asked_for(house) == ["acme"]
    assert await asked_for(house) == []
    house.pass_time(120)
    assert await asked_for(house) == ["acme"]
