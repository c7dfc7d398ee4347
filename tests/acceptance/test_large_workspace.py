"""A workspace of many pages of channels: read once per age by one worker; who can be told meanwhile is.

Slack's own pages are short here, so that a few channels are many pages; `tests/chaos` reads 20,000 channels.
"""

import signal

import pytest
from support.events import numbered_alert
from support.installation import Installation, until
from support.large_workspace import (
    LIST,
    add_channels,
    count_list_calls,
    list_refreshes,
    max_list_calls_per_minute,
    parked_codes,
    subscribe_in_store,
    wait_for_lanes,
    wait_for_probes,
)

JOINED = ("c0", "c7", "c25", "c44", "p1")
NOT_JOINED = ("c10", "c20", "c30")
ARCHIVED, NOBODYS = ("c9", "c39"), ("typo", "nowhere", "p0")
NAMES = (*JOINED, *NOT_JOINED, *ARCHIVED, *NOBODYS)
PAGES = 3 + 1


def many(installation: Installation) -> None:
    """Three pages of public channels, one of private ones."""
    installation.workspace.page_limit = 20
    add_channels(installation.workspace, public=60, private=10, joined=JOINED)


@pytest.mark.thorough
@pytest.mark.slow
async def test_one_of_two_workers_reads_every_page_once_per_age_of_the_directory(
    fast: Installation,
):
    many(fast)
    await subscribe_in_store(fast, *(f"#{name}" for name in NAMES))
    first = [fast.ingest(), fast.worker(), fast.worker()]
    await fast.running(*first)
    await fast.publish(*(numbered_alert(number, name) for number, name in enumerate(NAMES)))
    await wait_for_lanes(fast, len(JOINED), len(NAMES) - len(JOINED))
    assert count_list_calls(fast) == PAGES
    [reading] = list_refreshes(first)
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
    await fast.publish(*(numbered_alert(100 + number, name) for number, name in enumerate(NAMES)))
    await wait_for_lanes(fast, 2 * len(JOINED), 2 * (len(NAMES) - len(JOINED)))
    await wait_for_probes("#typo", second)
    assert count_list_calls(fast) == PAGES, "within its age nobody reads it again"

    old_ms = await fast.app.redis.now_ms() - 901_000
    await fast.redis.hset("ik:directory:acme:meta", "read_at_ms", old_ms)
    await until(lambda: list_refreshes(second), "after its age it is read again")
    await wait_for_probes("#typo", second)
    assert count_list_calls(fast) == 2 * PAGES
    assert len(list_refreshes(second)) == 1
    assert max_list_calls_per_minute(fast) <= 20
    assert fast.sandbox.violations.total() == 0


@pytest.mark.thorough
@pytest.mark.slow
async def test_known_channels_get_messages_during_a_refresh_and_the_others_wait_visibly(fast: Installation):
    many(fast)
    by_id = fast.workspace.get_channel("c44").id
    await subscribe_in_store(fast, "#c0", by_id, "#c10", "#typo")
    worker = fast.worker()
    await fast.running(fast.ingest(), worker)
    fast.sandbox.fault("slow", method=LIST, delay_s=14)
    await fast.publish(*(numbered_alert(number, to) for number, to in enumerate(("c0", by_id, "c10", "typo"))))
    await wait_for_lanes(fast, delivered=2, parked=0)
    assert (len(fast.marks("#c0")), len(fast.marks("#c44"))) == (1, 1)
    assert count_list_calls(fast) == 1, "they were told while the first page was on its way"

    async def waits() -> str:
        [way] = (await fast.asked("explain", "evt-3"))["matched"]
        return way["delivery"]["waits"]

    why = "the channels of the workspace are being read"
    await until(waits, "the others lie down", told=lambda: why)
    assert await waits() == why
    assert "A refresh is running: 0 so far." in (await fast.cli("channels", "list")).out

    assert await worker.stop(most_s=10) == 0, "it does not wait for Slack"
    second = fast.worker()
    await wait_for_lanes(fast, delivered=2, parked=2)
    assert await parked_codes(fast) == {"#c10": "not_in_channel", "#typo": "channel_not_found"}
    assert count_list_calls(fast) == 1 + PAGES
    assert len(list_refreshes([worker, second])) == 1


@pytest.mark.slow
async def test_an_interrupted_refresh_leaves_no_claim_and_the_next_one_continues(fast: Installation):
    many(fast)
    await subscribe_in_store(fast)
    for delay_s in (0, 14):
        fast.sandbox.fault("slow", method=LIST, delay_s=delay_s)
    refresh = fast.start("refresh", ("ik-slack", "channels", "refresh"))
    await until(lambda: count_list_calls(fast) == 2, "Slack is asked for the second page")
    refresh.process.send_signal(signal.SIGINT)
    assert await refresh.ended(most_s=10) == 130
    page, stopped = filter(None, refresh.log.splitlines())
    assert page.startswith("Page 1: 20 channels so far, ")
    assert stopped == "Stopped."
    assert await fast.redis.keys("ik:lock:directory:*") == []
    again = await fast.cli("channels", "refresh")
    assert again.out == "Read 61 channels of acme in 4 pages.\n"
    assert again.err.startswith("Page 2: 40 channels so far")
    assert count_list_calls(fast) == PAGES + 1
