"""What a drain counts and measures, and that the sweep writes it down."""

from collections.abc import Iterator

import pytest
from pipeline_house import House, alert, workflow

from worker.domain.errors import Throttled
from worker.telemetry import COUNTERS

REVOKED = "token_revoked"


@pytest.fixture(autouse=True)
def nothing_counted() -> Iterator[None]:
    COUNTERS.taken()
    yield
    COUNTERS.taken()


def measured(name: str) -> int:
    """How many measurements."""
    return sum(count for series, count in COUNTERS.counts.items() if series[0] == name)


async def calls(house: House) -> dict[tuple[str, ...], int]:
    return (await house.made.metrics.counted()).labelled("call")


async def test_a_message_of_three_is_one_call_and_three_deliveries_told(house: House) -> None:
    await house.tell(alert("a"), alert("b"), alert("c"))
    assert (measured("post"), measured("pace_wait"), measured("event_to_post")) == (1, 1, 3)
    assert await calls(house) == {("chat.postMessage", "delivered", "ok"): 1}


async def test_a_refused_call_tells_nothing(house: House) -> None:
    house.slack.ends("chat.postMessage", Throttled(30))
    await house.tell(alert())
    assert (measured("post"), measured("event_to_post")) == (1, 0)
    assert await calls(house) == {("chat.postMessage", "throttled", "ratelimited"): 1}


async def test_an_edit_and_the_reply_in_its_thread_tell_a_delivery_once(house: House) -> None:
    await house.tell(workflow("17", "started"))
    house.pass_time(5)
    await house.tell(workflow("17", "failed"))
    assert house.slack.calls["chat.update"] == 1
    assert (measured("post"), measured("event_to_post")) == (3, 2)


async def test_a_digest_tells_a_delivery_even_though_its_card_is_still_to_come(house: House) -> None:
    await house.publish(*(alert(f"a{n}", fingerprint=f"f{n}") for n in range(60)))
    await house.ingest()
    while (await house.balance()).pending:
        house.pass_time(60)
        await house.drain()
    assert len(house.slack.posts) > 1
    assert measured("event_to_post") == 60


async def test_a_lane_that_parks_is_counted_with_the_reason(house: House) -> None:
    house.slack.change("C0000001", is_archived=True)
    house.slack.ends("chat.postMessage", "is_archived")
    await house.tell(alert())
    assert COUNTERS.counts["parkings", "lane", "is_archived"] == 1


async def test_an_integration_is_counted_once_however_many_lanes_meet_its_fault(house: House) -> None:
    house.slack.add_channel("C0000002", "shop")
    await house.subscribe("#shop")
    house.slack.ends("chat.postMessage", REVOKED, REVOKED)
    await house.tell(alert())
    await house.drain("acme/#shop")
    assert {key: count for key, count in COUNTERS.counts.items() if key[0] == "parkings"} == {
        ("parkings", "integration", REVOKED): 1
    }


@pytest.mark.parametrize(
    ("destination", "method"),
    [("#new", "conversations.list"), ("ada@example.com", "users.lookupByEmail")],
)
async def test_slack_asking_to_wait_before_a_look_up_is_counted_with_its_method(
    house: House, destination: str, method: str
) -> None:
    house.slack.ends(method, Throttled(600))
    await house.subscribe(destination)
    await house.tell(alert(), lane=f"acme/{destination}")
    assert COUNTERS.counts["throttled", method] == 1


async def test_a_worker_that_ends_writes_down_what_it_counted(house: House) -> None:
    await house.tell(alert())
    await house.made.sweep.leave()
    assert COUNTERS.counts == {}
    assert sum((await house.made.metrics.counted()).labelled("event_to_post").values()) == 1


async def test_what_is_counted_is_written_down_about_once_a_second(house: House) -> None:
    await house.tell(alert())
    looks = iter([False, False, True])
    house.made.sweep.stopping = lambda: next(looks)
    await house.made.sweep.run()
    assert sum((await house.made.metrics.counted()).labelled("post").values()) == 1
