"""The sweeper: it wakes due lanes, expires old deliveries and probes parked lanes; no error stops it."""

import asyncio
import logging
from typing import Any

import pytest
from support.events import alert
from support.pipeline import Pipeline
from support.pipeline import open_pipeline as build

from worker.domain.hints import Hint
from worker.domain.integration import Secret
from worker.domain.subscription import Subscription
from worker.pipeline.maintenance import sweeper
from worker.pipeline.maintenance.sweeper import Sweeper
from worker.rendering.digest import LATE_NOTE
from worker.store.redis_errors import StoreUnavailable
from worker.store.schedule import Backlogs, ProbeKind, ProbeTarget

DAY_S = 86_400


async def run(house: Pipeline, rounds: int = 1) -> None:
    """Run this number of rounds of the sweep."""
    looks = iter(range(10**9))
    house.app.sweeper.stopping = lambda: next(looks) >= rounds
    await house.app.sweeper.run()


async def append_without_wake_up(house: Pipeline, *bodies: dict[str, Any]) -> None:
    """Append deliveries whose wake-up calls are lost."""
    await house.publish(*(bodies or (alert(),)))
    await house.ingest()
    house.awake.clear()
    await house.redis.delete("ik:lane:acme/#ops:wake")


async def test_a_due_lane_is_woken_once(house: Pipeline) -> None:
    await append_without_wake_up(house)
    await house.app.sweeper.sweep()
    await house.app.sweeper.sweep()
    assert house.awake == ["acme/#ops"]
    house.pass_time(6)  # the wake-up call went astray
    await house.app.sweeper.sweep()
    assert house.awake == ["acme/#ops"] * 2


async def test_a_snoozed_or_leased_lane_is_not_woken(house: Pipeline) -> None:
    house.slack.ends("chat.postMessage", "internal_error")
    await house.deliver(alert())
    house.awake.clear()
    await house.app.sweeper.sweep()
    assert house.awake == []
    house.pass_time(3)
    await house.redis.set("ik:lane:acme/#ops:lease", "someone")
    await house.app.sweeper.sweep()
    assert house.awake == []


async def test_a_lane_whose_worker_died_is_woken_when_its_lease_expires(house: Pipeline) -> None:
    await append_without_wake_up(house)
    await house.app.lanes.acquire("acme/#ops", "dead")
    house.pass_time(31)
    await house.app.sweeper.sweep()
    assert house.awake == ["acme/#ops"]


@pytest.mark.slow
async def test_more_lanes_than_one_batch_are_all_woken(house: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeper, "LANES_PER_BATCH", 4)
    subscriptions = [Subscription(f"sub-{n}", "acme", f"#c{n}") for n in range(10)]
    await house.app.subscriptions.save_and_remove(save=subscriptions)
    await house.publish(alert())
    await house.ingest()
    house.awake.clear()
    await house.redis.delete(*await house.redis.keys("ik:lane:*:wake"))
    await house.app.sweeper.sweep()
    assert len(house.awake) == 11


async def test_one_worker_sweeps_at_a_time(house: Pipeline) -> None:
    await append_without_wake_up(house)
    await house.app.processes.lock("sweep", "another", 5000)
    await run(house)
    assert house.awake == []
    house.pass_time(6)
    await run(house)
    assert house.awake == ["acme/#ops"]


async def test_a_worker_has_a_heartbeat_until_it_stops(house: Pipeline) -> None:
    sweep = house.app.sweeper
    await run(house)
    assert await house.app.processes.list_alive("worker") == [sweep.worker_id]
    await sweep.stop()
    assert await house.app.processes.list_alive("worker") == []
    assert await house.app.processes.lock("sweep", "another", 5000)


async def test_a_delivery_that_waited_too_long_expires_and_is_logged(
    house: Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    await append_without_wake_up(house, alert("old"))
    house.pass_time(DAY_S - 1)
    await house.publish(alert("young"))
    await house.ingest()
    assert await house.app.sweeper.expire_deliveries() == 0
    house.pass_time(2)
    assert await house.app.sweeper.expire_deliveries() == 1
    [letter] = await house.dead()
    assert (letter.reason, letter.detail) == ("expired", "waited longer than 86400 s")
    [line] = [line for line in caplog.records if line.message == "deliveries expired"]
    assert (line.levelname, vars(line)["lane"], vars(line)["expired"]) == ("ERROR", "acme/#ops", 1)
    balance = await house.balance()
    assert (balance.dead, balance.pending) == (1, 1)


async def test_deliveries_that_expired_in_a_parked_lane_are_replayed_together_when_it_resumes(
    house: Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    house.slack.change("C0000001", is_member=False)
    await house.deliver(alert("one"), alert("two"))
    house.pass_time(7 * DAY_S + 1)
    assert await house.app.sweeper.expire_deliveries() == 2
    house.slack.change("C0000001", is_member=True)
    await house.deliver(alert("fresh"))
    assert [one.text for one in house.slack.posts] == ["🔴 fresh"]
    house.awake.clear()
    await house.app.sweeper.replay_expired()
    assert house.awake == ["acme/#ops"]
    [line] = [line for line in caplog.records if line.message == "expired deliveries replayed"]
    assert (vars(line)["lane"], vars(line)["replayed"]) == ("acme/#ops", 2)
    house.pass_time(2)
    await house.drain()
    assert house.slack.posts[1].text == "2 updates: 🔴 one; 🔴 two"
    assert LATE_NOTE.format(2) in str(house.slack.posts[1])
    await house.app.sweeper.replay_expired()
    balance = await house.balance()
    assert (balance.dead, balance.pending) == (0, 0)


async def test_a_lane_without_expired_deliveries_to_replay_is_not_woken(house: Pipeline) -> None:
    await house.redis.zadd("ik:dead:missed", {"acme/#ops": 1})
    house.awake.clear()
    await house.app.sweeper.sweep()
    assert house.awake == []
    assert await house.app.dead_letters.list_lanes_to_replay() == []


async def test_a_delivery_in_a_parked_lane_expires_later(house: Pipeline) -> None:
    house.slack.change("C0000001", is_member=False)
    await house.deliver(alert())
    house.pass_time(7 * DAY_S - 1)
    assert await house.app.sweeper.expire_deliveries() == 0
    house.pass_time(2)
    assert await house.app.sweeper.expire_deliveries() == 1
    assert (await house.dead())[0].detail == "waited longer than 604800 s for a person"


async def test_a_delivery_of_a_parked_integration_expires_later(house: Pipeline) -> None:
    house.slack.faults["xoxb-1"] = "token_revoked"
    await house.deliver(alert())
    house.pass_time(2 * DAY_S)
    assert await house.app.sweeper.expire_deliveries() == 0
    house.pass_time(6 * DAY_S)
    assert await house.app.sweeper.expire_deliveries() == 1


async def test_time_parked_does_not_count_after_the_lane_resumed(house: Pipeline) -> None:
    house.slack.change("C0000001", is_member=False)
    await house.deliver(alert())
    house.pass_time(3 * DAY_S)
    house.slack.change("C0000001", is_member=True)
    await house.app.prober.probe(ProbeTarget(ProbeKind.LANE, "acme/#ops"))
    assert await house.app.sweeper.expire_deliveries() == 0
    assert (await house.drain()).posts == 1


async def test_a_lane_whose_deliveries_expired_is_not_woken(house: Pipeline) -> None:
    await append_without_wake_up(house)
    house.pass_time(2 * DAY_S)
    await house.app.sweeper.expire_deliveries()
    await house.app.sweeper.sweep()
    assert house.awake == []


async def requested_refreshes(house: Pipeline) -> list[str]:
    """Run an upkeep round and return the integrations whose directory refresh was requested."""
    asked: list[str] = []

    async def refresh(integration_id: str) -> None:
        asked.append(integration_id)

    house.app.sweeper.refresh_directory = refresh
    house.pass_time(11)
    await house.app.sweeper.sweep()
    return asked


async def test_a_directory_that_is_too_old_is_refreshed(house: Pipeline) -> None:
    assert await requested_refreshes(house) == []  # never read: no lane needed a name
    await house.deliver(alert())
    assert await requested_refreshes(house) == []
    house.pass_time(900)
    assert await requested_refreshes(house) == ["acme"]


async def test_a_directory_that_is_being_refreshed_is_not_requested(house: Pipeline) -> None:
    await house.deliver(alert())
    house.pass_time(900)
    await house.app.directory_refresher.directory.claim_scan("acme", "another worker")
    assert await requested_refreshes(house) == []
    house.pass_time(31)  # which has died
    assert await requested_refreshes(house) == ["acme"]


async def test_the_directory_of_a_parked_integration_is_not_refreshed(house: Pipeline) -> None:
    await house.deliver(alert())
    house.slack.faults["xoxb-1"] = "token_revoked"
    await house.app.integrations.park("acme", "token_revoked", "reason", Hint.of("hint"), probe_s=60)
    house.pass_time(900)
    assert await requested_refreshes(house) == []


async def test_records_past_retention_are_deleted(house: Pipeline) -> None:
    await house.deliver(alert())
    await house.publish(b"{")
    await house.ingest()
    assert len(await house.dead()) == 1
    house.pass_time(15 * DAY_S)
    await house.app.sweeper.sweep()
    assert await house.app.dead_letters.list_ids() == []
    assert await house.deliveries() == []


async def test_a_ledger_that_does_not_balance_is_logged_as_critical(
    house: Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    await house.app.sweeper.sweep()
    assert [line for line in caplog.records if line.levelno == logging.CRITICAL] == []
    await house.redis.hincrby("ik:ledger", "created", 1)
    house.pass_time(31)
    await house.app.sweeper.sweep()
    [line] = [line for line in caplog.records if line.levelno == logging.CRITICAL]
    assert (line.message, vars(line)["unaccounted"]) == ("ledger not balanced", 1)


async def test_a_parked_lane_is_probed_and_woken(house: Pipeline) -> None:
    house.slack.change("C0000001", is_member=False)
    await house.deliver(alert())
    house.slack.change("C0000001", is_member=True)
    house.pass_time(61)
    house.awake.clear()
    await house.app.sweeper.sweep()
    await asyncio.gather(*house.app.sweeper._probes.values())
    assert house.awake == ["acme/#ops"]
    assert house.app.sweeper._probes == {}


async def test_a_probe_under_way_is_not_started_again(house: Pipeline) -> None:
    met: list[ProbeTarget] = []
    over = asyncio.Event()

    class Slow:
        async def probe(self, target: ProbeTarget) -> list[str]:
            met.append(target)
            await over.wait()
            return []

    house.slack.change("C0000001", is_member=False)
    await house.deliver(alert())
    house.app.sweeper.prober = Slow()  # type: ignore[assignment]  # any prober
    for _ in range(2):
        house.pass_time(61)
        await house.app.sweeper.sweep()
        await asyncio.sleep(0)
    assert met == [ProbeTarget(ProbeKind.LANE, "acme/#ops")]
    over.set()
    await asyncio.gather(*house.app.sweeper._probes.values())
    house.pass_time(61)
    await house.app.sweeper.sweep()
    await asyncio.gather(*house.app.sweeper._probes.values())
    assert len(met) == 2


@pytest.mark.slow
async def test_each_of_many_parked_lanes_is_probed(house: Pipeline) -> None:
    lanes = [f"C00001{n:02}" for n in range(60)]  # more than Slack may be asked about in a minute
    for n, id_ in enumerate(lanes):
        house.slack.add_channel(id_, f"c{n}")
        await house.subscribe(id_)
    await house.app.directory_refresher.refresh(house.integration, Secret("xoxb-1"))
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
        await house.app.sweeper.sweep()
        await asyncio.gather(*house.app.sweeper._probes.values())
    assert await house.redis.zcard("ik:parked") == len(lanes) - 3


class Failing:
    """A prober that fails."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    async def probe(self, target: ProbeTarget) -> list[str]:
        raise self.error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (StoreUnavailable(), "Redis does not answer"),
        (RuntimeError("a bug"), "unexpected error while probing"),
    ],
)
async def test_a_failed_probe_is_logged_and_repeated(
    house: Pipeline, caplog: pytest.LogCaptureFixture, error: Exception, said: str
) -> None:
    house.slack.change("C0000001", is_member=False)
    await house.deliver(alert())
    house.app.sweeper.prober = Failing(error)  # type: ignore[assignment]  # any prober
    for _ in range(2):
        house.pass_time(61)
        await house.app.sweeper.sweep()
        await asyncio.gather(*house.app.sweeper._probes.values())
    assert [line.message for line in caplog.records].count(said) == 2


async def test_no_error_ends_the_sweeper(house: Pipeline, caplog: pytest.LogCaptureFixture) -> None:
    await append_without_wake_up(house)
    endings: list[Exception | None] = [StoreUnavailable(), RuntimeError("a fault"), None]

    class Failing:
        async def run(self) -> None:
            if error := endings.pop(0):
                raise error

    house.app.sweeper.flower_sync = Failing()  # type: ignore[assignment]  # any step of the sweep
    await run(house, rounds=3)
    assert [line.message for line in caplog.records] == ["Redis does not answer", "unexpected error while sweeping"]
    assert house.hand.slept == [1.0, 0.5, 0.5, 0.5]
    assert endings == []


async def test_data_of_a_newer_version_is_not_touched(house: Pipeline, caplog: pytest.LogCaptureFixture) -> None:
    await append_without_wake_up(house)
    await house.redis.hset("ik:origin", mapping={"id": "a", "layout": 99, "began": 1, "lost": ""})
    await run(house, rounds=2)
    assert [line.message.partition(" under ")[0] for line in caplog.records] == [
        "Redis holds data of a newer version of infrakitchen-slack"
    ] * 2
    assert (house.awake, house.hand.slept) == ([], [10.0, 0.5] * 2)
    await house.redis.delete("ik:origin")
    await run(house)
    assert house.awake == ["acme/#ops"]


async def test_a_sweeper_that_stops_cancels_its_probes(house: Pipeline) -> None:
    house.slack.change("C0000001", is_member=False)
    await house.deliver(alert())

    class Endless:
        async def probe(self, target: ProbeTarget) -> list[str]:
            await asyncio.Event().wait()
            return []

    house.app.sweeper.prober = Endless()  # type: ignore[assignment]  # any prober
    house.pass_time(61)
    await run(house)
    [probing] = house.app.sweeper._probes.values()
    with pytest.raises(asyncio.CancelledError):
        await probing


@pytest.mark.slow
async def test_a_day_of_slack_outage_loses_nothing() -> None:
    async with build(delivery_max_age_s=3 * DAY_S) as house:
        await house.connect()
        await house.subscribe()
        house.slack.ends("chat.postMessage", *["service_unavailable"] * 100_000)
        await house.deliver(alert("before"))
        sweep: Sweeper = house.app.sweeper
        for hour in range(0, 24, 3):
            await house.publish(alert(f"hour {hour}"))
            await house.ingest()
            house.pass_time(3 * 3600)
            await sweep.sweep()
            await house.drain()
        house.slack.endings.clear()
        house.pass_time(301)
        await house.drain()
        balance = await house.balance()
        assert (balance.delivered, balance.merged, balance.pending) == (1, 8, 0)


async def test_a_refresh_is_requested_once_within_its_lock(house: Pipeline) -> None:
    await house.deliver(alert())
    house.pass_time(900)
    assert await requested_refreshes(house) == ["acme"]
    assert await requested_refreshes(house) == []
    house.pass_time(120)
    assert await requested_refreshes(house) == ["acme"]


class ManyLanes(Backlogs):
    """Four thousand lanes with pending deliveries."""

    looks = 0

    async def list_lanes(self) -> list[str]:
        self.looks, self.size = self.looks + 1, 4_000
        return []


async def test_the_more_lanes_have_pending_deliveries_the_less_often_all_are_looked_at(house: Pipeline) -> None:
    many = ManyLanes(house.app.redis)
    house.app.sweeper.backlogs = many
    for _ in range(10):
        await house.app.sweeper.sweep()
        house.pass_time(5)
    assert many.looks <= 8
