"""The directory is refreshed by one worker for all; an interrupted listing continues where it ended."""

import asyncio
import logging
from typing import Any

import pytest
from support.pipeline import Pipeline, error_of, refresh_directory

from worker.domain.errors import Blocked, RetryLater, SlackError, Throttled
from worker.domain.integration import Conversation, ConversationPage, ListingCursor, Secret
from worker.store.directory import Directory

LIST = "conversations.list"


async def names(house: Pipeline) -> list[str]:
    return [one.name for one in await house.app.directory.list_channels("acme")]


def add_channels(house: Pipeline, how_many: int) -> None:
    """Add channels besides `#ops`, two to a page."""
    for n in range(how_many):
        house.slack.add_channel(f"C00001{n:02}", f"c{n}")


def readings(house: Pipeline) -> Directory:
    return house.app.directory_refresher.directory


class Killed(BaseException):
    """The sudden death of a refreshing worker."""


async def kill_refresh(house: Pipeline) -> None:
    """Kill the refresh, so that it does not release its claim."""

    async def silent(*_: object) -> None:
        return

    house.slack.ends(LIST, Killed())
    give_up = house.app.directory_refresher.directory.release_scan
    house.app.directory_refresher.directory.release_scan = silent  # type: ignore[method-assign]  # it is dead
    with pytest.raises(Killed):
        await refresh_directory(house)
    house.app.directory_refresher.directory.release_scan = give_up  # type: ignore[method-assign]


async def test_public_and_private_channels_are_listed_page_by_page(house: Pipeline) -> None:
    for n in range(2, 6):
        house.slack.add_channel(f"C000000{n}", f"c{n}", is_private=n > 3)
    progress_calls: list[tuple[int, int]] = []
    assert await refresh_directory(house, progress=lambda *so_far: progress_calls.append(so_far)) == 3
    assert progress_calls == [(1, 2), (2, 3), (3, 5)]
    assert len(await names(house)) == 5
    assert house.slack.calls[LIST] == 3


async def test_a_workspace_without_channels_gives_an_empty_directory(house: Pipeline) -> None:
    await refresh_directory(house)
    house.slack.channels.clear()
    await refresh_directory(house)
    assert await names(house) == []
    known = await house.app.directory.get_status("acme")
    assert (known.age_s, known.pages, known.scanned_channels) == (0, 2, None)


async def test_a_refresh_is_one_line_in_the_log(house: Pipeline, caplog: pytest.LogCaptureFixture) -> None:
    add_channels(house, 3)
    with caplog.at_level(logging.INFO):
        await refresh_directory(house)
    [line] = [vars(one) for one in caplog.records if one.message == "directory refreshed"]
    assert (line["integration"], line["pages"], line["channels"]) == ("acme", 3, 4)


async def test_pages_keep_the_rate_limit_of_the_method(house: Pipeline) -> None:
    add_channels(house, 20)
    began_s = house.hand.now_s
    assert await refresh_directory(house) == 12
    assert house.hand.now_s - began_s == pytest.approx((12 - 5) * 4, abs=0.1)  # five at once, 15 a minute


# Scopes


async def test_public_channels_are_listed_without_the_scope_groups_read(house: Pipeline) -> None:
    house.slack.ends(LIST, lambda: None, "missing_scope")
    assert await refresh_directory(house) == 1
    assert await names(house) == ["ops"]


async def test_the_integration_is_blocked_without_the_scope_channels_read(house: Pipeline) -> None:
    house.slack.ends(LIST, "missing_scope")
    error = await error_of(refresh_directory(house))
    assert isinstance(error, Blocked)
    assert error.scope == "integration"


# One at a time


async def test_two_refreshes_of_one_worker_do_not_run_at_once(house: Pipeline) -> None:
    first, second = await asyncio.gather(refresh_directory(house), refresh_directory(house), return_exceptions=True)
    assert (first, type(second)) == (2, RetryLater)


async def test_a_directory_that_another_worker_just_refreshed_is_not_refreshed(house: Pipeline) -> None:
    await refresh_directory(house)
    house.pass_time(9)
    assert await refresh_directory(house, unless_younger_s=10) == 0
    assert house.slack.calls[LIST] == 2
    house.pass_time(2)
    assert await refresh_directory(house, unless_younger_s=10) == 2
    assert await refresh_directory(house) == 2


async def test_a_refresh_that_lost_its_claim_stops_and_saves_nothing(house: Pipeline) -> None:
    add_channels(house, 3)

    def stealing(*_: int) -> None:
        stolen.append(asyncio.ensure_future(house.redis.set("ik:lock:directory:acme", "another worker")))

    stolen: list[asyncio.Future[Any]] = []
    listing = house.slack.list_conversations

    async def slow(*given: Any, **named: Any) -> ConversationPage:
        await asyncio.gather(*stolen)
        return await listing(*given, **named)

    house.slack.list_conversations = slow  # type: ignore[method-assign]  # the theft comes first
    assert isinstance(await error_of(refresh_directory(house, progress=stealing)), RetryLater)
    assert await house.redis.get("ik:lock:directory:acme") == b"another worker"
    assert (await house.app.directory.get_status("acme")).age_s is None
    assert house.slack.calls[LIST] <= 2


async def test_a_refresh_that_lost_its_claim_after_the_last_page_saves_nothing(house: Pipeline) -> None:
    whole = readings(house).finish_scan

    async def late(*given: Any) -> bool:
        await house.redis.set("ik:lock:directory:acme", "another worker")
        return await whole(*given)

    readings(house).finish_scan = late  # type: ignore[method-assign]  # the theft comes first
    assert isinstance(await error_of(refresh_directory(house)), RetryLater)
    assert (await house.app.directory.get_status("acme")).age_s is None


async def test_a_refresh_stops_when_its_integration_moves_to_another_workspace(house: Pipeline) -> None:
    add_channels(house, 3)

    async def moved() -> None:
        await house.app.directory.clear("acme")

    forgotten: list[asyncio.Future[None]] = []
    house.slack.ends(LIST, lambda: None, lambda: forgotten.append(asyncio.ensure_future(moved())))
    page = readings(house).save_scanned_page

    async def late(*given: Any) -> int | None:
        await asyncio.gather(*forgotten)
        return await page(*given)

    readings(house).save_scanned_page = late  # type: ignore[method-assign]  # the move comes first
    assert isinstance(await error_of(refresh_directory(house)), RetryLater)
    assert house.slack.calls[LIST] == 2
    assert await house.redis.keys("ik:directory:*") == []


# Broken off


BROKEN = {
    "service_unavailable": "Slack is not available at the moment",
    "internal_error": "Slack had an internal error",
    "token_revoked": "The token of acme was revoked",
}


@pytest.mark.parametrize("code", BROKEN)
async def test_a_refresh_that_fails_keeps_the_old_directory_and_continues_where_it_failed(
    house: Pipeline, caplog: pytest.LogCaptureFixture, code: str
) -> None:
    await refresh_directory(house)
    add_channels(house, 5)
    house.slack.ends(LIST, lambda: None, lambda: None, code)
    house.slack.calls.clear()
    error = await error_of(refresh_directory(house))
    assert (type(error) is not RetryLater, getattr(error, "code", "")) == (True, code)
    assert await names(house) == ["ops"]
    [line] = [vars(one) for one in caplog.records if one.message == "directory not refreshed"]
    assert (line["pages"], line["reason"]) == (2, BROKEN[code])
    assert await refresh_directory(house) == 4
    assert len(await names(house)) == 6
    assert house.slack.calls[LIST] == 4 + 1


async def test_another_worker_continues_a_killed_refresh_when_its_claim_expires(house: Pipeline) -> None:
    add_channels(house, 5)
    house.slack.ends(LIST, lambda: None, lambda: None)
    await kill_refresh(house)
    house.slack.calls.clear()
    error = await error_of(refresh_directory(house))
    assert isinstance(error, RetryLater)
    assert error.reason == "the channels of the workspace are being read, 4 so far"
    assert house.slack.calls[LIST] == 0
    house.pass_time(31)
    assert await refresh_directory(house) == 4
    assert house.slack.calls[LIST] == 2
    assert len(await names(house)) == 6


async def test_a_refresh_that_was_interrupted_long_ago_starts_again(house: Pipeline) -> None:
    add_channels(house, 5)
    house.slack.ends(LIST, lambda: None, lambda: None, "internal_error")
    await error_of(refresh_directory(house))
    del house.slack.channels["C0000100"]  # which was read
    house.pass_time(181)
    house.slack.calls.clear()
    await refresh_directory(house)
    assert house.slack.calls[LIST] == 4
    assert await names(house) == ["c1", "c2", "c3", "c4", "ops"]


async def test_a_worker_that_stops_releases_its_refresh(house: Pipeline) -> None:
    add_channels(house, 5)
    house.slack.ends(LIST, lambda: None, lambda: None, lambda: house.stopped.append(True))
    house.app.directory_refresher.stopping = lambda: bool(house.stopped)
    error = await error_of(refresh_directory(house))
    assert isinstance(error, RetryLater)
    house.stopped.clear()
    assert await refresh_directory(house) == 4  # by the next worker, and only the remaining pages
    assert house.slack.calls[LIST] == 4


async def test_no_call_follows_a_wait_that_the_workers_stop_ended(house: Pipeline) -> None:
    add_channels(house, 20)

    async def stops(seconds: float) -> None:
        if seconds > 1:
            house.stopped.append(True)

    house.app.directory_refresher.sleep = stops
    house.app.directory_refresher.stopping = lambda: bool(house.stopped)
    assert isinstance(await error_of(refresh_directory(house)), RetryLater)
    assert house.slack.calls[LIST] == 5


async def test_a_claim_is_renewed_during_the_longest_wait(house: Pipeline) -> None:
    house.slack.ends(LIST, Throttled(70))
    others: list[ListingCursor | None] = []
    sleep = house.hand.sleep

    async def looking(seconds: float) -> None:
        await sleep(seconds)
        others.append(await readings(house).claim_scan("acme", "another worker"))

    house.app.directory_refresher.sleep = looking
    assert await refresh_directory(house) == 2
    assert len(others) >= 7
    assert set(others) == {None}


# Throttled


async def test_a_throttled_page_is_requested_again_after_the_wait(house: Pipeline) -> None:
    add_channels(house, 3)
    house.slack.ends(LIST, lambda: None, Throttled(30))
    assert await refresh_directory(house) == 3
    assert sum(house.hand.slept) == pytest.approx(30, abs=0.1)
    assert house.slack.calls[LIST] == 4
    assert len(await names(house)) == 4


async def test_a_page_waits_for_a_method_that_another_worker_closed(house: Pipeline) -> None:
    await house.app.rate_limiter.close_method("T0000001", LIST, 20)
    assert await refresh_directory(house) == 2
    assert sum(house.hand.slept) == pytest.approx(20, abs=0.1)


async def test_a_long_throttling_ends_the_refresh_and_does_not_stop_posts(house: Pipeline) -> None:
    house.slack.ends(LIST, Throttled(600))
    error = await error_of(refresh_directory(house))
    assert isinstance(error, RetryLater)
    assert error.wait_s == 600
    assert (await house.app.rate_limiter.book_post_slot("T0000001", "C1", max_wait_s=0)).booked
    again = await error_of(refresh_directory(house))
    assert isinstance(again, RetryLater)
    assert again.wait_s == pytest.approx(600, abs=0.1)
    assert house.slack.calls[LIST] == 1


# Cursors


async def test_a_cursor_that_slack_forgot_starts_the_listing_again(house: Pipeline) -> None:
    add_channels(house, 3)
    house.slack.ends(LIST, lambda: None, "invalid_cursor")
    await refresh_directory(house)
    assert len(await names(house)) == 4
    assert house.slack.calls[LIST] == 5


async def test_a_forgotten_cursor_of_private_channels_starts_only_these_again(house: Pipeline) -> None:
    for n in range(3):
        house.slack.add_channel(f"C000001{n}", f"p{n}", is_private=True)
    house.slack.ends(LIST, lambda: None, lambda: None, "invalid_cursor")
    await refresh_directory(house)
    assert await names(house) == ["ops", "p0", "p1", "p2"]
    assert house.slack.calls[LIST] == 1 + 1 + 1 + 2


async def test_cursors_that_are_always_forgotten_end_the_refresh(house: Pipeline) -> None:
    house.slack.ends(LIST, *["invalid_cursor"] * 10)
    error = await error_of(refresh_directory(house))
    assert isinstance(error, SlackError)
    assert error.code == "invalid_cursor"
    assert house.slack.calls[LIST] == 3


async def test_another_transient_error_ends_the_refresh(house: Pipeline) -> None:
    house.slack.ends(LIST, "service_unavailable")
    await error_of(refresh_directory(house))
    assert house.slack.calls[LIST] == 1


async def test_a_repeated_cursor_ends_the_listing(house: Pipeline) -> None:
    a, b = Conversation("C1", "a", is_member=True), Conversation("C2", "b", is_member=True)
    house.slack.pages = {(False, ""): ConversationPage((a,), "x"), (False, "x"): ConversationPage((b,), "x")}
    assert await refresh_directory(house) == 3
    assert await names(house) == ["a", "b"]


# Where the bot is


async def note_joined(house: Pipeline) -> None:
    assert house.integration is not None
    await house.app.directory_refresher.refresh_memberships(house.integration, Secret("xoxb-1"), budget_s=10)


async def test_memberships_are_added_to_the_directory(house: Pipeline) -> None:
    await refresh_directory(house)
    house.slack.add_channel("C0000002", "foreign", is_member=False)
    for n in range(3, 6):
        house.slack.add_channel(f"C000000{n}", f"c{n}", is_private=n == 5)
    await note_joined(house)
    assert await names(house) == ["c3", "c4", "c5", "ops"]
    assert house.slack.calls["users.conversations"] == 3


async def test_a_bot_without_memberships_adds_nothing_to_the_directory(house: Pipeline) -> None:
    house.slack.change("C0000001", is_member=False)
    await note_joined(house)
    assert await names(house) == []


async def test_memberships_are_listed_at_most_every_15_seconds(house: Pipeline) -> None:
    await note_joined(house)
    await note_joined(house)
    assert house.slack.calls["users.conversations"] == 2  # public ones and private ones
    house.pass_time(16)
    await note_joined(house)
    assert house.slack.calls["users.conversations"] == 4


async def test_lanes_that_need_memberships_share_one_listing(house: Pipeline) -> None:
    await asyncio.gather(*(note_joined(house) for _ in range(5)))
    assert house.slack.calls["users.conversations"] == 2


async def test_memberships_must_be_awaited_while_another_worker_lists_them(house: Pipeline) -> None:
    await house.app.processes.lock("joined:acme", "another worker", 30_000)
    assert isinstance(await error_of(note_joined(house)), RetryLater)
    house.pass_time(31)
    await note_joined(house)


async def test_memberships_are_listed_again_after_an_error(house: Pipeline) -> None:
    house.slack.ends("users.conversations", "service_unavailable")
    assert isinstance(await error_of(note_joined(house)), SlackError)
    await note_joined(house)
    assert await names(house) == ["ops"]


async def test_a_worker_that_stops_lists_no_memberships(house: Pipeline) -> None:
    house.app.directory_refresher.stopping = lambda: True
    assert isinstance(await error_of(note_joined(house)), RetryLater)
    assert house.slack.calls["users.conversations"] == 0


async def test_stopping_cancels_the_refreshes_under_way(house: Pipeline) -> None:
    assert house.integration is not None
    asked, never = asyncio.Semaphore(0), asyncio.Event()

    async def stuck(*_: Any, **named: Any) -> ConversationPage:
        asked.release()
        await never.wait()
        return ConversationPage(())

    house.slack.list_conversations = stuck  # type: ignore[method-assign]  # it does not answer
    reader, token = house.app.directory_refresher, Secret("xoxb-1")
    waits = await reader.ensure_refreshed(house.integration, token, unless_younger_s=10, budget_s=0)
    assert isinstance(waits, RetryLater)
    with pytest.raises(RetryLater):
        await reader.refresh_memberships(house.integration, token, budget_s=0)
    for _ in range(2):
        await asked.acquire()
    assert set(await house.redis.keys("ik:lock:*")) == {b"ik:lock:directory:acme", b"ik:lock:joined:acme"}
    await reader.stop()
    assert await house.redis.keys("ik:lock:*") == []
