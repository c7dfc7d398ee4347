"""A destination as a person wrote it becomes an address Slack knows; Slack is asked as rarely as can be."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from fake_slack import identity
from pipeline_house import House, alert, ended, read

from worker.domain.delivery import Address
from worker.domain.errors import Blocked, NotYet, Throttled
from worker.domain.integration import Conversation, Page, Person, Place, Secret

INFO, LIST, LOOKUP = "conversations.info", "conversations.list", "users.lookupByEmail"


async def resolve(
    house: House, destination: str = "#ops", pinned: Address | None = None, **more: Any
) -> Address:
    assert house.integration is not None
    return await house.made.resolver.resolve(
        f"acme/{destination}", destination, pinned, house.integration, Secret("xoxb-1"),
        **{"budget_s": 10.0, **more},
    )  # fmt: skip


async def test_a_name_is_found_in_the_directory_and_pinned(house: House) -> None:
    assert await resolve(house) == Address("C0000001", "#ops")
    assert dict(house.slack.calls) == {"auth.test": 1, LIST: 2}
    note = await house.note()
    assert (note["address"], note["name"]) == ("C0000001", "#ops")


async def test_a_name_that_is_known_asks_slack_nothing(house: House) -> None:
    await read(house)
    house.slack.calls.clear()
    await resolve(house)
    assert not house.slack.calls


async def test_an_id_that_is_known_asks_slack_nothing(house: House) -> None:
    await read(house)
    house.slack.calls.clear()
    assert await resolve(house, "C0000001") == Address("C0000001", "#ops")
    assert not house.slack.calls


async def test_an_id_that_is_not_known_is_asked_for_alone_and_kept(house: House) -> None:
    assert await resolve(house, "C0000001") == Address("C0000001", "#ops")
    assert (house.slack.calls[INFO], house.slack.calls[LIST]) == (1, 0)
    await resolve(house, "C0000001")
    assert house.slack.calls[INFO] == 1


@pytest.mark.parametrize("destination", ["U0000001", "W0000001", "D0000001"])
async def test_a_user_or_a_direct_message_is_taken_as_written(house: House, destination: str) -> None:
    assert await resolve(house, destination) == Address(destination, destination)
    assert house.slack.calls[INFO] == 0


@pytest.mark.parametrize("destination", ["#ops", "C0000001"])
async def test_a_renamed_channel_that_stands_closed_is_called_as_it_is_now(
    house: House, destination: str
) -> None:
    house.slack.change("C0000001", name="build", is_member=False)
    error = await ended(resolve(house, destination, Address("C0000001", "#ops"), fresh=True))
    assert isinstance(error, Blocked)
    assert error.reason == "@infrakitchen is not a member of #build"
    assert error.hint == "Type `/invite @infrakitchen` in #build."


async def test_a_closed_conversation_without_a_name_is_called_as_it_was_written(house: House) -> None:
    house.slack.add_channel("G0000001", "", is_member=False)
    error = await ended(resolve(house, "G0000001"))
    assert error.reason == "@{bot} is not a member of {channel}", "filled in by who knows the destination"


async def test_without_the_scope_to_see_private_channels_a_miss_names_it(house: House) -> None:
    house.slack.identities["xoxb-1"] = identity(scopes=("chat:write", "channels:read"))
    house.integration = await house.connect()
    error = await ended(resolve(house, "#secret"))
    assert isinstance(error, Blocked)
    assert error.code == "channel_not_found"
    assert "If it was deleted or is a typo" in error.hint
    assert "Add groups:read under OAuth & Permissions" in error.hint
    house.integration = replace(house.integration, scopes=())  # Slack did not say which
    assert "groups:read" not in str(vars(await ended(resolve(house, "#secret"))))


async def test_a_conversation_without_a_name_is_called_by_its_id(house: House) -> None:
    house.slack.add_channel("G0000001", "")
    assert await resolve(house, "G0000001") == Address("G0000001", "G0000001")


async def test_an_email_is_looked_up_once(house: House) -> None:
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
async def test_an_email_nobody_can_be_told_at_is_blocked_and_asked_anew(
    house: House, person: Person | None, code: str
) -> None:
    if person:
        house.slack.people["a@b.co"] = person
    for _ in range(2):
        error = await ended(resolve(house, "a@b.co"))
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
async def test_a_user_is_looked_at_when_somebody_asks_anew_and_not_for_every_post(
    house: House, person: Person, code: str
) -> None:
    house.slack.people["a@b.co"] = person
    await resolve(house, "U0000001")
    assert house.slack.calls["users.info"] == 0
    error = await ended(resolve(house, "U0000001", fresh=True))
    assert isinstance(error, Blocked)
    assert error.code == code


@pytest.mark.parametrize("code", ["missing_scope", "unknown_method", "internal_error"])
async def test_that_slack_tells_nothing_of_a_user_stands_against_nobody(house: House, code: str) -> None:
    house.slack.ends("users.info", code)
    assert await resolve(house, "U0000001", fresh=True) == Address("U0000001", "U0000001")


async def test_probing_an_email_does_not_trust_what_was_remembered(house: House) -> None:
    house.slack.people["a@b.co"] = Person("U0000001")
    await resolve(house, "a@b.co")
    house.slack.people["a@b.co"] = Person("U0000001", deleted=True)
    assert isinstance(await ended(resolve(house, "a@b.co", fresh=True)), Blocked)


async def test_a_miss_in_an_old_directory_reads_it_anew_and_in_a_fresh_one_is_a_miss(house: House) -> None:
    await read(house)
    house.slack.add_channel("C0000002", "new")
    error = await ended(resolve(house, "#new"))
    assert isinstance(error, Blocked)
    assert error.code == "channel_not_found"
    house.pass_time(11)
    assert await resolve(house, "#new") == Address("C0000002", "#new")


async def test_a_miss_in_a_large_directory_is_believed_to_its_age_whoever_read_it(house: House) -> None:
    for n in range(10):
        house.slack.add_channel(f"C00001{n:02}", f"c{n}")
    await read(house)
    assert house.slack.calls[LIST] == 7  # six pages of public channels, one of private ones
    for fresh in (False, True):
        house.pass_time(450 - 10)
        error = await ended(resolve(house, "#typo", fresh=fresh))
        assert isinstance(error, Blocked)
        assert error.code == "channel_not_found"
    assert house.slack.calls[LIST] == 7
    house.pass_time(30)
    await ended(resolve(house, "#typo", fresh=True))
    assert house.slack.calls[LIST] == 14


async def test_a_new_channel_of_a_large_workspace_is_found_once_the_bot_is_in_it(house: House) -> None:
    for n in range(10):
        house.slack.add_channel(f"C00001{n:02}", f"c{n}")
    await read(house)
    house.slack.calls.clear()
    house.slack.add_channel("C0000002", "new", is_member=False)
    assert isinstance(await ended(resolve(house, "#new")), Blocked)
    house.slack.change("C0000002", is_member=True)
    house.pass_time(16)
    assert await resolve(house, "#new", fresh=True) == Address("C0000002", "#new")
    assert house.slack.calls[LIST] == 0


@pytest.mark.parametrize("code", ["unknown_method", "service_unavailable"])
async def test_where_slack_does_not_say_where_the_bot_is_a_large_directory_is_read_now_and_then(
    house: House, code: str
) -> None:
    for n in range(10):
        house.slack.add_channel(f"C00001{n:02}", f"c{n}")
    assert await read(house) == 7
    house.slack.calls.clear()
    house.slack.add_channel("C0000002", "new")
    house.slack.ends("users.conversations", *[code] * 4)
    house.pass_time(7 * 12 - 1)
    error = await ended(resolve(house, "#new"))
    assert isinstance(error, Blocked)
    assert error.code == "channel_not_found"
    assert house.slack.calls[LIST] == 0
    house.pass_time(2)
    assert await resolve(house, "#new") == Address("C0000002", "#new")
    assert house.slack.calls[LIST] == 7


async def test_what_stands_against_all_stands_against_asking_where_the_bot_is(house: House) -> None:
    for n in range(10):
        house.slack.add_channel(f"C00001{n:02}", f"c{n}")
    await read(house)
    house.slack.ends("users.conversations", "token_revoked")
    error = await ended(resolve(house, "#new"))
    assert isinstance(error, Blocked)
    assert error.code == "token_revoked"


async def test_a_miss_is_not_believed_while_slack_is_asked_where_the_bot_is(house: House) -> None:
    for n in range(10):
        house.slack.add_channel(f"C00001{n:02}", f"c{n}")
    await read(house)
    await house.made.upkeep.lock("joined:acme", "another worker", 30_000)
    error = await ended(resolve(house, "#typo"))
    assert isinstance(error, NotYet)
    assert error.reason == "Slack is being asked which channels the bot is in"


async def test_a_miss_reads_once_for_all_lanes(house: House) -> None:
    for n in range(2, 7):
        house.slack.add_channel(f"C000000{n}", f"c{n}")
    found = await asyncio.gather(*(resolve(house, f"#c{n}") for n in range(2, 7)))
    assert len(set(found)) == 5
    assert house.slack.calls[LIST] == 4  # three pages of two public channels, one of private ones


@pytest.mark.parametrize(
    ("change", "code"), [({"is_member": False}, "not_in_channel"), ({"is_archived": True}, "is_archived")]
)
async def test_what_stands_against_a_channel_is_confirmed_by_slack_before_it_is_believed(
    house: House, change: dict[str, bool], code: str
) -> None:
    house.slack.change("C0000001", **change)
    await read(house)
    error = await ended(resolve(house))
    assert isinstance(error, Blocked)
    assert error.code == code
    assert house.slack.calls[INFO] == 1
    house.slack.change("C0000001", **dict.fromkeys(change, code == "not_in_channel"))
    assert await resolve(house) == Address("C0000001", "#ops")
    assert house.slack.calls[INFO] == 2
    await resolve(house)
    assert house.slack.calls[INFO] == 2  # what Slack told is kept


async def test_a_pinned_id_survives_a_rename(house: House) -> None:
    pinned = await resolve(house)
    house.slack.change("C0000001", name="operations")
    house.slack.add_channel("C0000002", "ops")  # another channel takes the old name
    await read(house)
    assert await resolve(house, pinned=pinned) == Address("C0000001", "#operations")
    assert (await house.note())["name"] == "#operations"


@pytest.mark.parametrize("is_noted", [True, False])
async def test_a_name_that_went_to_another_channel_since_the_read_is_that_channels(
    house: House, is_noted: bool
) -> None:
    await read(house)
    house.slack.change("C0000001", name="operations")
    house.slack.add_channel("C0000002", "ops")
    if is_noted:
        await resolve(house, "C0000001", fresh=True)
    house.pass_time(11)
    assert await resolve(house, fresh=not is_noted) == Address("C0000002", "#ops")


async def test_a_channel_deleted_and_made_anew_is_found_under_its_name(house: House) -> None:
    pinned = await resolve(house)
    del house.slack.channels["C0000001"]
    house.slack.add_channel("C0000002", "ops")
    house.pass_time(11)
    assert await resolve(house, pinned=pinned, fresh=True) == Address("C0000002", "#ops")
    assert (await house.note())["address"] == "C0000002"


async def test_a_channel_made_anew_is_found_by_a_lane_that_never_posted(house: House) -> None:
    house.slack.change("C0000001", is_member=False)
    await read(house)
    del house.slack.channels["C0000001"]
    house.slack.add_channel("C0000002", "ops")
    house.pass_time(11)
    assert await resolve(house) == Address("C0000002", "#ops")


async def test_a_deleted_channel_is_not_found_however_often_it_is_looked_for(house: House) -> None:
    pinned = await resolve(house)
    del house.slack.channels["C0000001"]
    for _ in range(2):
        house.pass_time(11)
        error = await ended(resolve(house, pinned=pinned, fresh=True))
        assert isinstance(error, Blocked)
        assert error.code == "channel_not_found"


async def test_a_pinned_channel_that_blocks_is_not_looked_for_under_its_name(house: House) -> None:
    pinned = await resolve(house)
    house.slack.change("C0000001", is_archived=True)
    house.slack.calls.clear()
    error = await ended(resolve(house, pinned=pinned, fresh=True))
    assert isinstance(error, Blocked)
    assert error.code == "is_archived"
    assert house.slack.calls[LIST] == 0


@pytest.mark.parametrize(("method", "destination"), [(INFO, "C0000001"), (LOOKUP, "a@b.co")])
async def test_a_lookup_that_slack_throttles_waits_and_so_does_everyone(
    house: House, method: str, destination: str
) -> None:
    house.slack.ends(method, Throttled(20))
    for _ in range(2):
        error = await ended(resolve(house, destination))
        assert isinstance(error, NotYet)
        assert error.wait_s == pytest.approx(20, abs=0.1)
    assert house.slack.calls[method] == 1
    slot = await house.made.allowances.slot_to_post("T0000001", "C0000001", longest_s=0)
    assert slot.booked  # posting goes on


async def test_lookups_keep_the_pace_of_their_method(house: House) -> None:
    for n in range(13):
        house.slack.add_channel(f"C00001{n:02}", f"c{n}")
        await resolve(house, f"C00001{n:02}")
    assert [wait_s for wait_s in house.hand.slept if wait_s] == [pytest.approx(60 / 38, abs=0.01)]
    error = await ended(resolve(house, "C0000001", budget_s=0.1))
    assert isinstance(error, NotYet)
    assert error.reason == "waits to call conversations.info"


async def test_while_another_worker_reads_the_lane_waits(house: House) -> None:
    await house.made.upkeep.lock("directory:acme", "another worker", 30_000)
    error = await ended(resolve(house, "#typo"))
    assert isinstance(error, NotYet)
    assert (error.wait_s, house.slack.calls[LIST]) == (3.0, 0)


@pytest.mark.parametrize("older_s", [None, 901])
async def test_while_the_directory_is_read_whoever_can_be_told_is(
    house: House, older_s: float | None
) -> None:
    if older_s:
        await read(house)
        house.pass_time(older_s)
    for n in range(2, 7):
        house.slack.add_channel(f"C000000{n}", f"c{n}")
    await house.made.upkeep.lock("directory:acme", "another worker", 30_000)
    assert await resolve(house, "#ops") == Address("C0000001", "#ops")
    assert await resolve(house, "#c5") == Address("C0000005", "#c5")
    assert await resolve(house, "C0000006") == Address("C0000006", "#c6")
    assert house.slack.calls["users.conversations"] == (3 + 1 if older_s else 4)
    assert house.slack.calls[INFO] == 0  # it was noted where the bot is
    assert house.slack.calls[LIST] == (2 if older_s else 0)


async def test_a_name_where_the_bot_is_not_waits_until_all_is_read(house: House) -> None:
    house.slack.change("C0000001", is_member=False)
    await house.made.upkeep.lock("directory:acme", "another worker", 30_000)
    assert isinstance(await ended(resolve(house)), NotYet)
    await house.made.upkeep.unlock("directory:acme", "another worker")
    error = await ended(resolve(house))
    assert isinstance(error, Blocked)
    assert error.code == "not_in_channel"


async def test_a_long_reading_goes_on_while_its_lanes_lie_down(house: House) -> None:
    gate = asyncio.Event()
    listing = house.slack.list_conversations

    async def slow(*given: Any, **named: Any) -> Page:
        await gate.wait()
        return await listing(*given, **named)

    house.slack.list_conversations = slow  # type: ignore[method-assign]
    error = await ended(resolve(house, budget_s=0.0))
    assert isinstance(error, NotYet)
    assert error.reason == "the channels of the workspace are being read"
    gate.set()
    assert await resolve(house) == Address("C0000001", "#ops")
    assert house.slack.calls[LIST] == 2


async def test_a_long_reading_is_waited_for_in_its_first_moments_alone(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stuck(*given: Any, **named: Any) -> Page:
        await asyncio.Event().wait()
        return Page(())

    house.slack.list_conversations = stuck  # type: ignore[method-assign]  # it does not answer
    monkeypatch.setattr("worker.pipeline.directory.MOMENTS_S", 0.01)
    async with asyncio.timeout(5):
        for _ in range(2):
            assert isinstance(await ended(resolve(house, budget_s=60)), NotYet)


async def test_a_lane_tells_why_it_waits_for_the_directory(house: House) -> None:
    readings = house.made.reader.readings
    await readings.claim("acme", "another worker")
    channels = [Conversation(f"C1{n:07}", f"c{n}") for n in range(1200)]
    await readings.page("acme", "another worker", channels, Place(private=True, pages=3))
    house.slack.change("C0000001", is_member=False)
    done = await house.tell(alert())
    reason = "the channels of the workspace are being read, 1,200 so far"
    assert (done.posts, done.reason, done.retry_s) == (0, reason, 0.0)
    assert (await house.note())["snoozed"] == reason
    await readings.give_up("acme", "another worker")
    house.slack.change("C0000001", is_member=True)
    house.pass_time(16)
    assert (await house.drain()).posts == 1


async def test_a_failed_reading_is_told_to_every_lane_that_waits(house: House) -> None:
    house.slack.ends(LIST, "service_unavailable")
    results = await asyncio.gather(resolve(house), resolve(house, "#x"), return_exceptions=True)
    assert [getattr(one, "code", "") for one in results] == ["service_unavailable"] * 2


async def test_a_scope_that_only_a_look_up_lacks_stops_that_lane_alone(house: House) -> None:
    house.slack.ends(LOOKUP, "missing_scope")
    error = await ended(resolve(house, "mira@example.com"))
    assert isinstance(error, Blocked)
    assert (error.code, error.scope) == ("missing_scope", "lane")
