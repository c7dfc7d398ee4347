"""A workspace of many pages of channels: read once per age by one worker; who can be told meanwhile is.

Slack's own pages are short here, so that a few channels are many pages; `tests/chaos` reads 20,000 channels.
"""

import signal

import pytest
from installation import Installation, alert, until
from large_workspace import (
    LIST,
    fill,
    lanes_end,
    listed,
    looked_for,
    most_in_a_minute,
    parked_codes,
    readings,
    subscribe,
)

JOINED = ("c0", "c7", "c25", "c44", "p1")
NOT_JOINED = ("c10", "c20", "c30")
ARCHIVED, NOBODYS = ("c9", "c39"), ("typo", "nowhere", "p0")
NAMES = (*JOINED, *NOT_JOINED, *ARCHIVED, *NOBODYS)
PAGES = 3 + 1


def many(one: Installation) -> None:
    """Three pages of public channels, one of private ones."""
    one.workspace.page_most = 20
    fill(one.workspace, public=60, private=10, joined=JOINED)


@pytest.mark.slow
async def test_exactly_the_pages_needed_are_read_by_one_worker_of_two_and_none_within_the_age(
    fast: Installation,
):
    many(fast)
    await subscribe(fast, *(f"#{name}" for name in NAMES))
    first = [fast.ingest(), fast.worker(), fast.worker()]
    await fast.running(*first)
    await fast.publish(*(alert(number, name) for number, name in enumerate(NAMES)))
    await lanes_end(fast, len(JOINED), len(NAMES) - len(JOINED))
    assert listed(fast) == PAGES
    [reading] = readings(first)
    assert (reading["pages"], reading["channels"]) == (PAGES, 60 + 1)
    assert await parked_codes(fast) == {
        **dict.fromkeys((f"#{name}" for name in NOT_JOINED), "not_in_channel"),
        **dict.fromkeys((f"#{name}" for name in ARCHIVED), "is_archived"),
        **dict.fromkeys((f"#{name}" for name in NOBODYS), "channel_not_found"),
    }

    for program in first:
        assert await program.stop() == 0
    second = [fast.ingest(), fast.worker(), fast.worker()]
    await fast.running(*second)
    await fast.publish(*(alert(100 + number, name) for number, name in enumerate(NAMES)))
    await lanes_end(fast, 2 * len(JOINED), 2 * (len(NAMES) - len(JOINED)))
    await looked_for("#typo", second)
    assert listed(fast) == PAGES, "within its age nobody reads it again"

    old_ms = await fast.made.server.now_ms() - 901_000
    await fast.redis.hset("ik:directory:acme:meta", "read_at_ms", old_ms)
    await until(lambda: readings(second), "after its age it is read again")
    await looked_for("#typo", second)
    assert listed(fast) == 2 * PAGES
    assert len(readings(second)) == 1
    assert most_in_a_minute(fast) <= 20
    assert fast.sandbox.violations.total() == 0


@pytest.mark.slow
async def test_while_it_is_read_who_can_be_told_is_told_and_the_others_wait_to_be_seen(fast: Installation):
    many(fast)
    by_id = fast.workspace.channel("c44").id
    await subscribe(fast, "#c0", by_id, "#c10", "#typo")
    worker = fast.worker()
    await fast.running(fast.ingest(), worker)
    fast.sandbox.fault("slow", method=LIST, delay_s=14)
    await fast.publish(*(alert(number, to) for number, to in enumerate(("c0", by_id, "c10", "typo"))))
    await lanes_end(fast, told=2, parked=0)
    assert (len(fast.marks("#c0")), len(fast.marks("#c44"))) == (1, 1)
    assert listed(fast) == 1, "they were told while the first page was on its way"

    async def waits() -> str:
        [way] = (await fast.asked("explain", "evt-3"))["matched"]
        return way["delivery"]["waits"]

    why = "the channels of the workspace are being read"
    await until(waits, "the others lie down", told=lambda: why)
    assert await waits() == why
    assert "They are being read now: 0 so far." in (await fast.cli("channels", "list")).out

    assert await worker.stop(most_s=10) == 0, "it does not wait for Slack"
    second = fast.worker()
    await lanes_end(fast, told=2, parked=2)
    assert await parked_codes(fast) == {"#c10": "not_in_channel", "#typo": "channel_not_found"}
    assert listed(fast) == 1 + PAGES
    assert len(readings([worker, second])) == 1


@pytest.mark.slow
async def test_a_refresh_that_is_interrupted_leaves_nothing_locked_and_the_next_goes_on(fast: Installation):
    many(fast)
    await subscribe(fast)
    for delay_s in (0, 14):
        fast.sandbox.fault("slow", method=LIST, delay_s=delay_s)
    refresh = fast.start("refresh", ("ik-slack", "channels", "refresh"))
    await until(lambda: listed(fast) == 2, "Slack is asked for the second page")
    refresh.process.send_signal(signal.SIGINT)
    assert await refresh.ended(most_s=10) == 130
    page, stopped = filter(None, refresh.log.splitlines())
    assert page.startswith("Page 1: 20 channels so far, ")
    assert stopped == "Stopped."
    assert await fast.redis.keys("ik:lock:directory:*") == []
    again = await fast.cli("channels", "refresh")
    assert again.out == "Read 61 channels of acme in 4 pages.\n"
    assert again.err.startswith("Page 2: 40 channels so far")
    assert listed(fast) == PAGES + 1
