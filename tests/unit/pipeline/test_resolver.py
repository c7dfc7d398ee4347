"""The resolver: a destination becomes a Slack address with as few calls as possible."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from support.events import alert
from support.fake_slack import identity
from support.pipeline import Pipeline, error_of, refresh_directory

from worker.domain.delivery import Address
from worker.domain.errors import Blocked, RetryLater, Throttled
from worker.domain.integration import Conversation, ConversationPage, ListingCursor, Person, Secret

INFO, LIST, LOOKUP = "conversations.info", "conversations.list", "users.lookupByEmail"


async def resolve(house: Pipeline, destination: str = "#ops", pinned: Address | None = None, **more: Any) -> Address:
    assert house.integration is not None
    return await house.app.resolver.resolve(
        f"acme/{destination}", destination, pinned, house.integration, Secret("xoxb-1"),
        **{"budget_s": 10.0, **more},
    )  # fmt: skip


async def test_a_name_is_found_in_the_directory_and_pinned(house: Pipeline) -> None:
    assert await resolve(house) == Address("C0000001", "#ops")
    assert dict(house.slack.calls) == {"auth.test": 1, LIST: 2}
    note = await house.note()
    assert note.address == Address("C0000001", "#ops")


async def test_a_name_that_is_known_asks_slack_nothing(house: Pipeline) -> None:
    await refresh_directory(house)
    house.slack.calls.clear()
    await resolve(house)
    assert not house.slack.calls


async def test_an_id_that_is_known_asks_slack_nothing(house: Pipeline) -> None:
    await refresh_directory(house)
    house.slack.calls.clear()
    assert await resolve(house, "C0000001") == Address("C0000001", "#ops")
    assert not house.slack.calls


@pytest.mark.parametrize(
    ("destination", "code"),
    [("C0000001", ""), ("#ops", ""), ("C0000002", "not_in_channel"), ("C0000009", "channel_not_found"),
     ("#nowhere", "channel_not_found")],
)  # fmt: skip
async def test_directory_only_asks_slack_nothing(house: Pipeline, destination: str, code: str) -> None:
    house.slack.add_channel("C0000002", "lobby", is_member=False)
    await refresh_directory(house)
    house.slack.calls.clear()
    if code:
        assert (await error_of(resolve(house, destination, directory_only=True))).code == code
    else:
        assert await resolve(house, destination, directory_only=True) == Address("C0000001", "#ops")
    assert not house.slack.calls


async def test_an_unknown_id_is_looked_up_and_saved(house: Pipeline) -> None:
    assert await resolve(house, "C0000001") == Address("C0000001", "#ops")
    assert (house.slack.calls[INFO], house.slack.calls[LIST]) == (1, 0)
    await resolve(house, "C0000001")
    assert house.slack.calls[INFO] == 1


@pytest.mark.parametrize("destination", ["U0000001", "W0000001", "D0000001"])
async def test_a_user_or_a_direct_message_is_taken_as_written(house: Pipeline, destination: str) -> None:
    assert await resolve(house, destination) == Address(destination, destination)
    assert house.slack.calls[INFO] == 0


@pytest.mark.parametrize("destination", ["#ops", "C0000001"])
async def test_the_error_of_a_renamed_channel_has_its_current_name(house: Pipeline, destination: str) -> None:
    house.slack.change("C0000001", name="build", is_member=False)
    error = await error_of(resolve(house, destination, Address("C0000001", "#ops"), bypass_cache=True))
    assert isinstance(error, Blocked)
    assert error.reason == "@infrakitchen is not a member of #build"
    assert str(error.hint) == "Type `/invite @infrakitchen` in #build."


async def test_the_error_of_a_channel_without_a_name_has_the_destination(house: Pipeline) -> None:
    house.slack.add_channel("G0000001", "", is_member=False)
    error = await error_of(resolve(house, "G0000001"))
    assert error.reason == "@{bot} is not a member of {channel}", "filled in by who knows the destination"


async def test_without_the_scope_of_private_channels_a_missing_name_says_so(house: Pipeline) -> None:
    house.slack.identities["xoxb-1"] = identity(scopes=("chat:write", "channels:read"))
    house.integration = await house.connect()
    error = await error_of(resolve(house, "#secret"))
    assert isinstance(error, Blocked)
    assert error.code == "channel_not_found"
    assert "Otherwise correct the subscription's destination." in str(error.hint)
    assert "Add groups:read under OAuth & Permissions" in str(error.hint)
    house.integration = replace(house.integration, scopes=())  # Slack did not say which
    assert "groups:read" not in str(vars(await error_of(resolve(house, "#secret"))))


async def test_the_address_of_a_channel_without_a_name_has_its_id(house: Pipeline) -> None:
    house.slack.add_channel("G0000001", "")
    assert await resolve(house, "G0000001") == Address("G0000001", "G0000001")


async def test_an_email_is_looked_up_once(house: Pipeline) -> None:
    house.slack.people["a@b.co"] = Person("U0000001")
    for _ in range(2):
        assert await resolve(house, "a@b.co") == Address("U0000001", "a@b.co")
    assert house.slack.calls[LOOKUP] == 1


@pytest.mark.parametrize(
    ("person", "code"),
    [
        (Person("U1", deleted=True), "user_disabled"),
        (Person("U1", is_bot=True), "cannot_dm_bot"),
        (None, "users_not_found"),
    ],
)
async def test_an_email_that_cannot_get_messages_is_blocked_and_looked_up_again(
    house: Pipeline, person: Person | None, code: str
) -> None:
    if person:
        house.slack.people["a@b.co"] = person
    for _ in range(2):
        error = await error_of(resolve(house, "a@b.co"))
        assert isinstance(error, Blocked)
        assert error.code == code
    assert house.slack.calls[LOOKUP] == 2


@pytest.mark.parametrize(
    ("person", "code"),
    [
        (Person("U0000001", deleted=True), "user_disabled"),
        (Person("U0000001", is_bot=True), "cannot_dm_bot"),
        (Person("U0000002"), "user_not_found"),
    ],
)
async def test_a_user_is_looked_up_for_a_probe_and_not_for_every_post(
    house: Pipeline, person: Person, code: str
) -> None:
    house.slack.people["a@b.co"] = person
    await resolve(house, "U0000001")
    assert house.slack.calls["users.info"] == 0
    error = await error_of(resolve(house, "U0000001", bypass_cache=True))
    assert isinstance(error, Blocked)
    assert error.code == code


@pytest.mark.parametrize("code", ["missing_scope", "unknown_method", "internal_error"])
async def test_a_user_that_slack_cannot_look_up_is_not_blocked(house: Pipeline, code: str) -> None:
    house.slack.ends("users.info", code)
    assert await resolve(house, "U0000001", bypass_cache=True) == Address("U0000001", "U0000001")


async def test_a_probe_of_an_email_bypasses_the_directory(house: Pipeline) -> None:
    house.slack.people["a@b.co"] = Person("U0000001")
    await resolve(house, "a@b.co")
    house.slack.people["a@b.co"] = Person("U0000001", deleted=True)
    assert isinstance(await error_of(resolve(house, "a@b.co", bypass_cache=True)), Blocked)


async def test_a_missing_name_refreshes_an_old_directory_only(house: Pipeline) -> None:
    await refresh_directory(house)
    house.slack.add_channel("C0000002", "new")
    error = await error_of(resolve(house, "#new"))
    assert isinstance(error, Blocked)
    assert error.code == "channel_not_found"
    house.pass_time(11)
    assert await resolve(house, "#new") == Address("C0000002", "#new")


async def test_a_missing_name_refreshes_a_large_directory_only_at_its_max_age(house: Pipeline) -> None:
    for n in range(10):
        house.slack.add_channel(f"C00001{n:02}", f"c{n}")
    await refresh_directory(house)
    assert house.slack.calls[LIST] == 7  # six pages of public channels, one of private ones
    for bypass_cache in (False, True):
        house.pass_time(450 - 10)
        error = await error_of(resolve(house, "#typo", bypass_cache=bypass_cache))
        assert isinstance(error, Blocked)
        assert error.code == "channel_not_found"
    assert house.slack.calls[LIST] == 7
    house.pass_time(30)
    await error_of(resolve(house, "#typo", bypass_cache=True))
    assert house.slack.calls[LIST] == 14


async def test_a_new_channel_of_a_large_workspace_is_found_once_the_bot_is_in_it(house: Pipeline) -> None:
    for n in range(10):
        house.slack.add_channel(f"C00001{n:02}", f"c{n}")
    await refresh_directory(house)
    house.slack.calls.clear()
    house.slack.add_channel("C0000002", "new", is_member=False)
    assert isinstance(await error_of(resolve(house, "#new")), Blocked)
    house.slack.change("C0000002", is_member=True)
    house.pass_time(16)
    assert await resolve(house, "#new", bypass_cache=True) == Address("C0000002", "#new")
    assert house.slack.calls[LIST] == 0


@pytest.mark.parametrize("code", ["unknown_method", "service_unavailable"])
async def test_without_memberships_from_slack_a_large_directory_is_refreshed_sometimes(
    house: Pipeline, code: str
) -> None:
    for n in range(10):
        house.slack.add_channel(f"C00001{n:02}", f"c{n}")
    assert await refresh_directory(house) == 7
    house.slack.calls.clear()
    house.slack.add_channel("C0000002", "new")
    house.slack.ends("users.conversations", *[code] * 4)
    house.pass_time(7 * 12 - 1)
    error = await error_of(resolve(house, "#new"))
    assert isinstance(error, Blocked)
    assert error.code == "channel_not_found"
    assert house.slack.calls[LIST] == 0
    house.pass_time(2)
    assert await resolve(house, "#new") == Address("C0000002", "#new")
    assert house.slack.calls[LIST] == 7


async def test_a_token_error_stops_the_refresh_of_memberships(house: Pipeline) -> None:
    for n in range(10):
        house.slack.add_channel(f"C00001{n:02}", f"c{n}")
    await refresh_directory(house)
    house.slack.ends("users.conversations", "token_revoked")
    error = await error_of(resolve(house, "#new"))
    assert isinstance(error, Blocked)
    assert error.code == "token_revoked"


async def test_a_missing_name_waits_for_the_refresh_of_memberships(house: Pipeline) -> None:
    for n in range(10):
        house.slack.add_channel(f"C00001{n:02}", f"c{n}")
    await refresh_directory(house)
    await house.app.processes.lock("joined:acme", "another worker", 30_000)
    error = await error_of(resolve(house, "#typo"))
    assert isinstance(error, RetryLater)
    assert error.reason == "Slack is being asked which channels the bot is in"


async def test_one_refresh_serves_all_lanes(house: Pipeline) -> None:
    for n in range(2, 7):
        house.slack.add_channel(f"C000000{n}", f"c{n}")
    found = await asyncio.gather(*(resolve(house, f"#c{n}") for n in range(2, 7)))
    assert len(set(found)) == 5
    assert house.slack.calls[LIST] == 4  # three pages of two public channels, one of private ones


@pytest.mark.parametrize(
    ("change", "code"), [({"is_member": False}, "not_in_channel"), ({"is_archived": True}, "is_archived")]
)
async def test_a_channel_is_checked_with_slack_before_its_lane_is_blocked(
    house: Pipeline, change: dict[str, bool], code: str
) -> None:
    house.slack.change("C0000001", **change)
    await refresh_directory(house)
    error = await error_of(resolve(house))
    assert isinstance(error, Blocked)
    assert error.code == code
    assert house.slack.calls[INFO] == 1
    house.slack.change("C0000001", **dict.fromkeys(change, code == "not_in_channel"))
    assert await resolve(house) == Address("C0000001", "#ops")
    assert house.slack.calls[INFO] == 2
    await resolve(house)
    assert house.slack.calls[INFO] == 2  # Slack's answer is cached


async def test_a_pinned_id_survives_a_rename(house: Pipeline) -> None:
    pinned = await resolve(house)
    house.slack.change("C0000001", name="operations")
    house.slack.add_channel("C0000002", "ops")  # another channel takes the old name
    await refresh_directory(house)
    assert await resolve(house, pinned=pinned) == Address("C0000001", "#operations")
    assert (await house.note()).address.name == "#operations"


@pytest.mark.parametrize("is_noted", [True, False])
async def test_a_name_that_another_channel_has_now_is_that_channel(house: Pipeline, is_noted: bool) -> None:
    await refresh_directory(house)
    house.slack.change("C0000001", name="operations")
    house.slack.add_channel("C0000002", "ops")
    if is_noted:
        await resolve(house, "C0000001", bypass_cache=True)
    house.pass_time(11)
    assert await resolve(house, bypass_cache=not is_noted) == Address("C0000002", "#ops")


async def test_a_channel_deleted_and_created_again_is_found_by_its_name(house: Pipeline) -> None:
    pinned = await resolve(house)
    del house.slack.channels["C0000001"]
    house.slack.add_channel("C0000002", "ops")
    house.pass_time(11)
    assert await resolve(house, pinned=pinned, bypass_cache=True) == Address("C0000002", "#ops")
    assert (await house.note()).address.id == "C0000002"


async def test_a_channel_created_again_is_found_by_a_lane_that_never_posted(house: Pipeline) -> None:
    house.slack.change("C0000001", is_member=False)
    await refresh_directory(house)
    del house.slack.channels["C0000001"]
    house.slack.add_channel("C0000002", "ops")
    house.pass_time(11)
    assert await resolve(house) == Address("C0000002", "#ops")


async def test_a_deleted_channel_is_not_found_by_any_look_up(house: Pipeline) -> None:
    pinned = await resolve(house)
    del house.slack.channels["C0000001"]
    for _ in range(2):
        house.pass_time(11)
        error = await error_of(resolve(house, pinned=pinned, bypass_cache=True))
        assert isinstance(error, Blocked)
        assert error.code == "channel_not_found"


async def test_a_pinned_channel_that_blocks_is_not_looked_up_by_its_name(house: Pipeline) -> None:
    pinned = await resolve(house)
    house.slack.change("C0000001", is_archived=True)
    house.slack.calls.clear()
    error = await error_of(resolve(house, pinned=pinned, bypass_cache=True))
    assert isinstance(error, Blocked)
    assert error.code == "is_archived"
    assert house.slack.calls[LIST] == 0


@pytest.mark.parametrize(("method", "destination"), [(INFO, "C0000001"), (LOOKUP, "a@b.co")])
async def test_a_throttled_look_up_delays_every_worker(house: Pipeline, method: str, destination: str) -> None:
    house.slack.ends(method, Throttled(20))
    for _ in range(2):
        error = await error_of(resolve(house, destination))
        assert isinstance(error, RetryLater)
        assert error.wait_s == pytest.approx(20, abs=0.1)
    assert house.slack.calls[method] == 1
    slot = await house.app.rate_limiter.book_post_slot("T0000001", "C0000001", max_wait_s=0)
    assert slot.booked  # posting goes on


async def test_look_ups_keep_the_rate_limit_of_their_method(house: Pipeline) -> None:
    for n in range(13):
        house.slack.add_channel(f"C00001{n:02}", f"c{n}")
        await resolve(house, f"C00001{n:02}")
    assert [wait_s for wait_s in house.hand.slept if wait_s] == [pytest.approx(60 / 38, abs=0.01)]
    error = await error_of(resolve(house, "C0000001", budget_s=0.1))
    assert isinstance(error, RetryLater)
    assert error.reason == "waits to call conversations.info"


async def test_the_lane_waits_while_another_worker_refreshes(house: Pipeline) -> None:
    await house.app.processes.lock("directory:acme", "another worker", 30_000)
    error = await error_of(resolve(house, "#typo"))
    assert isinstance(error, RetryLater)
    assert (error.wait_s, house.slack.calls[LIST]) == (3.0, 0)


@pytest.mark.parametrize("older_s", [None, 901])
async def test_known_channels_get_their_messages_during_a_refresh(house: Pipeline, older_s: float | None) -> None:
    if older_s:
        await refresh_directory(house)
        house.pass_time(older_s)
    for n in range(2, 7):
        house.slack.add_channel(f"C000000{n}", f"c{n}")
    await house.app.processes.lock("directory:acme", "another worker", 30_000)
    assert await resolve(house, "#ops") == Address("C0000001", "#ops")
    assert await resolve(house, "#c5") == Address("C0000005", "#c5")
    assert await resolve(house, "C0000006") == Address("C0000006", "#c6")
    assert house.slack.calls["users.conversations"] == (3 + 1 if older_s else 4)
    assert house.slack.calls[INFO] == 0  # it was noted where the bot is
    assert house.slack.calls[LIST] == (2 if older_s else 0)


async def test_a_channel_without_the_bot_waits_for_the_whole_refresh(house: Pipeline) -> None:
    house.slack.change("C0000001", is_member=False)
    await house.app.processes.lock("directory:acme", "another worker", 30_000)
    assert isinstance(await error_of(resolve(house)), RetryLater)
    await house.app.processes.unlock("directory:acme", "another worker")
    error = await error_of(resolve(house))
    assert isinstance(error, Blocked)
    assert error.code == "not_in_channel"


async def test_a_long_refresh_continues_while_its_lanes_are_snoozed(house: Pipeline) -> None:
    gate = asyncio.Event()
    listing = house.slack.list_conversations

    async def slow(*given: Any, **named: Any) -> ConversationPage:
        await gate.wait()
        return await listing(*given, **named)

    house.slack.list_conversations = slow  # type: ignore[method-assign]
    error = await error_of(resolve(house, budget_s=0.0))
    assert isinstance(error, RetryLater)
    assert error.reason == "the channels of the workspace are being read"
    gate.set()
    assert await resolve(house) == Address("C0000001", "#ops")
    assert house.slack.calls[LIST] == 2


async def test_lanes_wait_for_a_refresh_only_in_its_grace_period(
    house: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stuck(*given: Any, **named: Any) -> ConversationPage:
        await asyncio.Event().wait()
        return ConversationPage(())

    house.slack.list_conversations = stuck  # type: ignore[method-assign]  # it does not answer
    monkeypatch.setattr("worker.pipeline.directory_refresher.GRACE_S", 0.01)
    async with asyncio.timeout(5):
        for _ in range(2):
            assert isinstance(await error_of(resolve(house, budget_s=60)), RetryLater)


async def test_the_reason_of_a_snooze_names_the_refresh(house: Pipeline) -> None:
    readings = house.app.directory_refresher.directory
    await readings.claim_scan("acme", "another worker")
    channels = [Conversation(f"C1{n:07}", f"c{n}") for n in range(1200)]
    await readings.save_scanned_page("acme", "another worker", channels, ListingCursor(private=True, pages=3))
    house.slack.change("C0000001", is_member=False)
    done = await house.deliver(alert())
    reason = "the channels of the workspace are being read, 1,200 so far"
    assert (done.posts, done.reason, done.retry_s) == (0, reason, 0.0)
    assert (await house.note()).snoozed == reason
    await readings.release_scan("acme", "another worker")
    house.slack.change("C0000001", is_member=True)
    house.pass_time(16)
    assert (await house.drain()).posts == 1


async def test_every_waiting_lane_gets_the_error_of_a_failed_refresh(house: Pipeline) -> None:
    house.slack.ends(LIST, "service_unavailable")
    results = await asyncio.gather(resolve(house), resolve(house, "#x"), return_exceptions=True)
    assert [getattr(one, "code", "") for one in results] == ["service_unavailable"] * 2


async def test_a_scope_that_only_a_look_up_needs_parks_only_that_lane(house: Pipeline) -> None:
    house.slack.ends(LOOKUP, "missing_scope")
    error = await error_of(resolve(house, "mira@example.com"))
    assert isinstance(error, Blocked)
    assert (error.code, error.scope) == ("missing_scope", "lane")
