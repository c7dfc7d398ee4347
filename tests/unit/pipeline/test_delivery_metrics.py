"""The counts and durations of a drain, and their storage by the sweep."""

from collections.abc import Iterator

import pytest
from support.events import alert, workflow
from support.pipeline import Pipeline

from worker.domain.errors import Throttled
from worker.telemetry import COUNTERS

REVOKED = "token_revoked"


@pytest.fixture(autouse=True)
def nothing_counted() -> Iterator[None]:
    COUNTERS.take()
    yield
    COUNTERS.take()


def count_measurements(name: str) -> int:
    """Return the number of measurements."""
    return sum(count for series, count in COUNTERS.counts.items() if series[0] == name)


async def calls(house: Pipeline) -> dict[tuple[str, ...], int]:
    return (await house.app.metrics.get_totals()).labelled("call")


async def test_a_digest_of_three_is_one_call_and_three_deliveries(house: Pipeline) -> None:
    await house.deliver(alert("a"), alert("b"), alert("c"))
    assert (count_measurements("post"), count_measurements("pace_wait"), count_measurements("event_to_post")) == (
        1,
        1,
        3,
    )
    assert await calls(house) == {("chat.postMessage", "delivered", "ok"): 1}


async def test_a_throttled_call_delivers_nothing(house: Pipeline) -> None:
    house.slack.ends("chat.postMessage", Throttled(30))
    await house.deliver(alert())
    assert (count_measurements("post"), count_measurements("event_to_post")) == (1, 0)
    assert await calls(house) == {("chat.postMessage", "throttled", "ratelimited"): 1}


async def test_an_edit_and_its_reply_deliver_once(house: Pipeline) -> None:
    await house.deliver(workflow("17", "started"))
    house.pass_time(5)
    await house.deliver(workflow("17", "failed"))
    assert house.slack.calls["chat.update"] == 1
    assert (count_measurements("post"), count_measurements("event_to_post")) == (3, 2)


async def test_each_delivery_of_a_storm_is_measured_once_in_its_digest_or_its_card(house: Pipeline) -> None:
    severities = ["critical"] * 20 + ["warning"] * 40
    alerts = (alert(f"a{n}", fingerprint=f"f{n}", severity=severity) for n, severity in enumerate(severities))
    await house.publish(*alerts)
    await house.ingest()
    while (await house.balance()).pending:
        house.pass_time(60)
        await house.drain()
    assert len(house.slack.posts) > 1
    assert count_measurements("event_to_post") == 60


async def test_a_lane_that_parks_is_counted_with_the_reason(house: Pipeline) -> None:
    house.slack.change("C0000001", is_archived=True)
    house.slack.ends("chat.postMessage", "is_archived")
    await house.deliver(alert())
    assert COUNTERS.counts["parkings", "lane", "is_archived"] == 1


async def test_a_parked_integration_is_counted_once_however_many_lanes_it_has(house: Pipeline) -> None:
    house.slack.add_channel("C0000002", "shop")
    await house.subscribe("#shop")
    house.slack.ends("chat.postMessage", REVOKED, REVOKED)
    house.slack.ends("auth.test", REVOKED, REVOKED)
    await house.deliver(alert())
    await house.drain("acme/#shop")
    assert {key: count for key, count in COUNTERS.counts.items() if key[0] == "parkings"} == {
        ("parkings", "integration", REVOKED): 1
    }


@pytest.mark.parametrize(
    ("destination", "method"),
    [("#new", "conversations.list"), ("ada@example.com", "users.lookupByEmail")],
)
async def test_a_throttled_look_up_is_counted_with_its_method(house: Pipeline, destination: str, method: str) -> None:
    house.slack.ends(method, Throttled(600))
    await house.subscribe(destination)
    await house.deliver(alert(), lane=f"acme/{destination}")
    assert COUNTERS.counts["throttled", method] == 1


async def test_a_stopping_worker_writes_its_counters(house: Pipeline) -> None:
    await house.deliver(alert())
    await house.app.sweeper.stop()
    assert COUNTERS.counts == {}
    assert sum((await house.app.metrics.get_totals()).labelled("event_to_post").values()) == 1


async def test_counters_are_written_about_once_a_second(house: Pipeline) -> None:
    await house.deliver(alert())
    looks = iter([False, False, True])
    house.app.sweeper.stopping = lambda: next(looks)
    await house.app.sweeper.run()
    assert sum((await house.app.metrics.get_totals()).labelled("post").values()) == 1
