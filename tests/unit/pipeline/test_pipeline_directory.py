"""A directory is read whole, by one reader for all; broken off, it goes on where it stopped."""

import asyncio
import logging
from typing import Any

import pytest
from pipeline_house import House, ended, read

from worker.domain.errors import Blocked, NotYet, Refusal, Throttled
from worker.domain.integration import Conversation, Page, Place, Secret
from worker.store.readings import Readings

LIST = "conversations.list"


async def names(house: House) -> list[str]:
    return [one.name for one in await house.made.directory.all("acme")]


def add_channels(house: House, how_many: int) -> None:
    """Besides `#ops`; two of them are a page."""
    for n in range(how_many):
        house.slack.add_channel(f"C00001{n:02}", f"c{n}")


def readings(house: House) -> Readings:
    return house.made.reader.readings


class Killed(BaseException):
    """What ends a reader without another word."""


async def killed(house: House) -> None:
    """Our reader ends, and cannot even give up its claim."""

    async def silent(*_: object) -> None:
        return

    house.slack.ends(LIST, Killed())
    give_up = house.made.reader.readings.give_up
    house.made.reader.readings.give_up = silent  # type: ignore[method-assign]  # it is dead
    with pytest.raises(Killed):
        await read(house)
    house.made.reader.readings.give_up = give_up  # type: ignore[method-assign]


async def test_public_and_private_channels_are_read_page_by_page(house: House) -> None:
    for n in range(2, 6):
        house.slack.add_channel(f"C000000{n}", f"c{n}", is_private=n > 3)
    told: list[tuple[int, int]] = []
    assert await read(house, progress=lambda *so_far: told.append(so_far)) == 3
    assert told == [(1, 2), (2, 3), (3, 5)]
    assert len(await names(house)) == 5
    assert house.slack.calls[LIST] == 3


async def test_a_directory_without_any_channel_is_read_too(house: House) -> None:
    await read(house)
    house.slack.channels.clear()
    await read(house)
    assert await names(house) == []
    known = await house.made.directory.known("acme")
    assert (known.age_s, known.pages, known.so_far) == (0, 2, None)


async def test_a_reading_is_one_line_in_the_log(house: House, caplog: pytest.LogCaptureFixture) -> None:
    add_channels(house, 3)
    with caplog.at_level(logging.INFO):
        await read(house)
    [line] = [vars(one) for one in caplog.records if one.message == "directory read"]
    assert (line["integration"], line["pages"], line["channels"]) == ("acme", 3, 4)


async def test_pages_keep_the_pace_of_the_method(house: House) -> None:
    add_channels(house, 20)
    began_s = house.hand.now_s
    assert await read(house) == 12
    assert house.hand.now_s - began_s == pytest.approx((12 - 5) * 4, abs=0.1)  # five at once, 15 a minute


# Scopes


async def test_without_groups_read_public_channels_are_still_listed(house: House) -> None:
    house.slack.ends(LIST, lambda: None, "missing_scope")
    assert await read(house) == 1
    assert await names(house) == ["ops"]


async def test_without_channels_read_the_integration_is_at_fault(house: House) -> None:
    house.slack.ends(LIST, "missing_scope")
    error = await ended(read(house))
    assert isinstance(error, Blocked)
    assert error.scope == "integration"


# One at a time


async def test_a_reading_of_this_worker_is_not_doubled(house: House) -> None:
    first, second = await asyncio.gather(read(house), read(house), return_exceptions=True)
    assert (first, type(second)) == (2, NotYet)


async def test_what_another_worker_has_just_read_is_not_read_again(house: House) -> None:
    await read(house)
    house.pass_time(9)
    assert await read(house, unless_younger_s=10) == 0
    assert house.slack.calls[LIST] == 2
    house.pass_time(2)
    assert await read(house, unless_younger_s=10) == 2
    assert await read(house) == 2


async def test_a_reader_that_lost_its_claim_stops_and_keeps_nothing(house: House) -> None:
    add_channels(house, 3)

    def stealing(*_: int) -> None:
        stolen.append(asyncio.ensure_future(house.redis.set("ik:lock:directory:acme", "another worker")))

    stolen: list[asyncio.Future[Any]] = []
    listing = house.slack.list_conversations

    async def slow(*given: Any, **named: Any) -> Page:
        await asyncio.gather(*stolen)
        return await listing(*given, **named)

    house.slack.list_conversations = slow  # type: ignore[method-assign]  # the theft comes first
    assert isinstance(await ended(read(house, progress=stealing)), NotYet)
    assert await house.redis.get("ik:lock:directory:acme") == b"another worker"
    assert (await house.made.directory.known("acme")).age_s is None
    assert house.slack.calls[LIST] <= 2


async def test_a_reader_that_loses_its_claim_after_the_last_page_changes_nothing(house: House) -> None:
    whole = readings(house).whole

    async def late(*given: Any) -> bool:
        await house.redis.set("ik:lock:directory:acme", "another worker")
        return await whole(*given)

    readings(house).whole = late  # type: ignore[method-assign]  # the theft comes first
    assert isinstance(await ended(read(house)), NotYet)
    assert (await house.made.directory.known("acme")).age_s is None


async def test_a_reading_of_the_workspace_an_integration_has_left_stops(house: House) -> None:
    add_channels(house, 3)

    async def moved() -> None:
        await house.made.directory.forget("acme")

    forgotten: list[asyncio.Future[None]] = []
    house.slack.ends(LIST, lambda: None, lambda: forgotten.append(asyncio.ensure_future(moved())))
    page = readings(house).page

    async def late(*given: Any) -> int | None:
        await asyncio.gather(*forgotten)
        return await page(*given)

    readings(house).page = late  # type: ignore[method-assign]  # the move comes first
    assert isinstance(await ended(read(house)), NotYet)
    assert house.slack.calls[LIST] == 2
    assert await house.redis.keys("ik:directory:*") == []


# Broken off


BROKEN = {
    "service_unavailable": "Slack is not available at the moment",
    "internal_error": "Slack had an error of its own",
    "token_revoked": "The token of acme was revoked",
}


@pytest.mark.parametrize("code", BROKEN)
async def test_a_reading_that_fails_in_the_middle_leaves_the_old_one_and_goes_on_there(
    house: House, caplog: pytest.LogCaptureFixture, code: str
) -> None:
    await read(house)
    add_channels(house, 5)
    house.slack.ends(LIST, lambda: None, lambda: None, code)
    house.slack.calls.clear()
    error = await ended(read(house))
    assert (type(error) is not NotYet, getattr(error, "code", "")) == (True, code)
    assert await names(house) == ["ops"]
    [line] = [vars(one) for one in caplog.records if one.message == "directory not read"]
    assert (line["pages"], line["reason"]) == (2, BROKEN[code])
    assert await read(house) == 4
    assert len(await names(house)) == 6
    assert house.slack.calls[LIST] == 4 + 1


async def test_of_a_reader_that_was_killed_another_takes_over_after_its_claims_life(house: House) -> None:
    add_channels(house, 5)
    house.slack.ends(LIST, lambda: None, lambda: None)
    await killed(house)
    house.slack.calls.clear()
    error = await ended(read(house))
    assert isinstance(error, NotYet)
    assert error.reason == "the channels of the workspace are being read, 4 so far"
    assert house.slack.calls[LIST] == 0
    house.pass_time(31)
    assert await read(house) == 4
    assert house.slack.calls[LIST] == 2
    assert len(await names(house)) == 6


async def test_a_reading_that_was_broken_off_long_ago_begins_anew(house: House) -> None:
    add_channels(house, 5)
    house.slack.ends(LIST, lambda: None, lambda: None, "internal_error")
    await ended(read(house))
    del house.slack.channels["C0000100"]  # which was read
    house.pass_time(181)
    house.slack.calls.clear()
    await read(house)
    assert house.slack.calls[LIST] == 4
    assert await names(house) == ["c1", "c2", "c3", "c4", "ops"]


async def test_a_worker_that_stops_gives_its_reading_up_at_once(house: House) -> None:
    add_channels(house, 5)
    house.slack.ends(LIST, lambda: None, lambda: None, lambda: house.stopped.append(True))
    house.made.reader.stopping = lambda: bool(house.stopped)
    error = await ended(read(house))
    assert isinstance(error, NotYet)
    house.stopped.clear()
    assert await read(house) == 4  # by whoever comes next, and only what is left
    assert house.slack.calls[LIST] == 4


async def test_a_wait_ended_by_the_workers_stop_calls_slack_no_more(house: House) -> None:
    add_channels(house, 20)

    async def stops(seconds: float) -> None:
        if seconds > 1:
            house.stopped.append(True)

    house.made.reader.sleep = stops
    house.made.reader.stopping = lambda: bool(house.stopped)
    assert isinstance(await ended(read(house)), NotYet)
    assert house.slack.calls[LIST] == 5


async def test_a_claim_is_kept_through_the_longest_wait(house: House) -> None:
    house.slack.ends(LIST, Throttled(70))
    others: list[Place | None] = []
    sleep = house.hand.sleep

    async def looking(seconds: float) -> None:
        await sleep(seconds)
        others.append(await readings(house).claim("acme", "another worker"))

    house.made.reader.sleep = looking
    assert await read(house) == 2
    assert len(others) >= 7
    assert set(others) == {None}


# Throttled


async def test_a_throttled_page_is_waited_for(house: House) -> None:
    add_channels(house, 3)
    house.slack.ends(LIST, lambda: None, Throttled(30))
    assert await read(house) == 3
    assert sum(house.hand.slept) == pytest.approx(30, abs=0.1)
    assert house.slack.calls[LIST] == 4
    assert len(await names(house)) == 4


async def test_a_page_throttled_by_another_worker_is_waited_for(house: House) -> None:
    await house.made.allowances.close_method("T0000001", LIST, 20)
    assert await read(house) == 2
    assert sum(house.hand.slept) == pytest.approx(20, abs=0.1)


async def test_a_page_throttled_for_long_ends_the_reading_but_no_posting(house: House) -> None:
    house.slack.ends(LIST, Throttled(600))
    error = await ended(read(house))
    assert isinstance(error, NotYet)
    assert error.wait_s == 600
    assert (await house.made.allowances.slot_to_post("T0000001", "C1", longest_s=0)).booked
    again = await ended(read(house))
    assert isinstance(again, NotYet)
    assert again.wait_s == pytest.approx(600, abs=0.1)
    assert house.slack.calls[LIST] == 1


# Cursors


async def test_a_cursor_that_slack_forgot_begins_the_list_again(house: House) -> None:
    add_channels(house, 3)
    house.slack.ends(LIST, lambda: None, "invalid_cursor")
    await read(house)
    assert len(await names(house)) == 4
    assert house.slack.calls[LIST] == 5


async def test_a_cursor_forgotten_among_the_private_channels_begins_these_alone_again(house: House) -> None:
    for n in range(3):
        house.slack.add_channel(f"C000001{n}", f"p{n}", is_private=True)
    house.slack.ends(LIST, lambda: None, lambda: None, "invalid_cursor")
    await read(house)
    assert await names(house) == ["ops", "p0", "p1", "p2"]
    assert house.slack.calls[LIST] == 1 + 1 + 1 + 2


async def test_cursors_that_are_always_forgotten_end_the_reading(house: House) -> None:
    house.slack.ends(LIST, *["invalid_cursor"] * 10)
    error = await ended(read(house))
    assert isinstance(error, Refusal)
    assert error.code == "invalid_cursor"
    assert house.slack.calls[LIST] == 3


async def test_another_transient_failure_is_not_tried_again_at_once(house: House) -> None:
    house.slack.ends(LIST, "service_unavailable")
    await ended(read(house))
    assert house.slack.calls[LIST] == 1


async def test_a_list_that_goes_round_in_a_circle_ends(house: House) -> None:
    a, b = Conversation("C1", "a", is_member=True), Conversation("C2", "b", is_member=True)
    house.slack.pages = {(False, ""): Page((a,), "x"), (False, "x"): Page((b,), "x")}
    assert await read(house) == 3
    assert await names(house) == ["a", "b"]


# Where the bot is


async def note_joined(house: House) -> None:
    assert house.integration is not None
    await house.made.reader.note_joined(house.integration, Secret("xoxb-1"), budget_s=10)


async def test_the_channels_the_bot_is_in_are_noted_besides_what_is_known(house: House) -> None:
    await read(house)
    house.slack.add_channel("C0000002", "foreign", is_member=False)
    for n in range(3, 6):
        house.slack.add_channel(f"C000000{n}", f"c{n}", is_private=n == 5)
    await note_joined(house)
    assert await names(house) == ["c3", "c4", "c5", "ops"]
    assert house.slack.calls["users.conversations"] == 3


async def test_where_the_bot_is_not_is_noted_as_little_as_nothing(house: House) -> None:
    house.slack.change("C0000001", is_member=False)
    await note_joined(house)
    assert await names(house) == []


async def test_where_the_bot_is_is_asked_once_in_a_while_for_all_workers(house: House) -> None:
    await note_joined(house)
    await note_joined(house)
    assert house.slack.calls["users.conversations"] == 2  # public ones and private ones
    house.pass_time(16)
    await note_joined(house)
    assert house.slack.calls["users.conversations"] == 4


async def test_lanes_that_ask_at_once_where_the_bot_is_share_the_answer(house: House) -> None:
    await asyncio.gather(*(note_joined(house) for _ in range(5)))
    assert house.slack.calls["users.conversations"] == 2


async def test_while_another_worker_asks_where_the_bot_is_it_is_not_known(house: House) -> None:
    await house.made.upkeep.lock("joined:acme", "another worker", 30_000)
    assert isinstance(await ended(note_joined(house)), NotYet)
    house.pass_time(31)
    await note_joined(house)


async def test_after_slack_failed_to_say_where_the_bot_is_it_is_asked_again(house: House) -> None:
    house.slack.ends("users.conversations", "service_unavailable")
    assert isinstance(await ended(note_joined(house)), Refusal)
    await note_joined(house)
    assert await names(house) == ["ops"]


async def test_a_worker_that_stops_asks_nothing_more(house: House) -> None:
    house.made.reader.stopping = lambda: True
    assert isinstance(await ended(note_joined(house)), NotYet)
    assert house.slack.calls["users.conversations"] == 0


async def test_a_reader_that_leaves_gives_up_what_it_has_begun(house: House) -> None:
    assert house.integration is not None
    asked, never = asyncio.Semaphore(0), asyncio.Event()

    async def stuck(*_: Any, **named: Any) -> Page:
        asked.release()
        await never.wait()
        return Page(())

    house.slack.list_conversations = stuck  # type: ignore[method-assign]  # it does not answer
    reader, token = house.made.reader, Secret("xoxb-1")
    waits = await reader.begin(house.integration, token, unless_younger_s=10, budget_s=0)
    assert isinstance(waits, NotYet)
    with pytest.raises(NotYet):
        await reader.note_joined(house.integration, token, budget_s=0)
    for _ in range(2):
        await asked.acquire()
    assert set(await house.redis.keys("ik:lock:*")) == {b"ik:lock:directory:acme", b"ik:lock:joined:acme"}
    await reader.leave()
    assert await house.redis.keys("ik:lock:*") == []
