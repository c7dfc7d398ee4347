"""Probing what is parked: it goes on by itself once the cause is gone, and only then."""

import logging

import pytest
from fake_slack import identity
from pipeline_house import House, alert

from worker.domain.integration import REQUIRED_SCOPES, Identity, Person, Secret
from worker.pipeline.connect import rotate_token

LANE, WHOLE = "lane:acme/#ops", "integration:acme"


async def look(house: House, what: str = LANE) -> list[str]:
    """A minute later."""
    house.pass_time(61)
    return list(await house.made.sweep.prober.probe(what))


async def probes(house: House) -> list[str]:
    return sorted(name.decode() for name in await house.redis.zrange("ik:probes", 0, -1))


async def test_invited_the_lane_goes_on_by_itself(house: House) -> None:
    house.slack.change("C0000001", is_member=False)
    await house.tell(alert())
    assert await probes(house) == [LANE]
    assert await look(house) == []
    assert (await house.note())["parked"] == "not_in_channel"
    house.slack.change("C0000001", is_member=True)
    assert await look(house) == ["acme/#ops"]
    assert await probes(house) == []
    assert (await house.note())["hint"] == ""
    assert (await house.drain()).posts == 1


async def test_unarchived_the_lane_goes_on_by_itself(house: House) -> None:
    house.slack.change("C0000001", is_archived=True)
    await house.tell(alert())
    assert await look(house) == []
    house.slack.change("C0000001", is_archived=False)
    assert await look(house) == ["acme/#ops"]


async def test_kicked_after_it_posted_the_lane_is_looked_at_by_its_pin(house: House) -> None:
    await house.tell(alert("first"))
    house.slack.change("C0000001", is_member=False)
    await house.tell(alert("second"))
    assert (await house.note())["parked"] == "not_in_channel"
    house.slack.calls.clear()
    assert await look(house) == []
    assert dict(house.slack.calls) == {"conversations.info": 1}


@pytest.mark.parametrize(
    ("first", "second", "code", "step"),
    [
        (
            {"is_archived": True},
            {"is_archived": False, "is_member": False},
            "not_in_channel",
            "Type `/invite",
        ),
        ({"is_member": False}, {"is_archived": True}, "is_archived", "Unarchive #ops"),
        ({"is_member": False}, {"is_private": True}, "channel_not_found", "If #ops is private"),
    ],
)
async def test_what_stands_against_a_channel_by_now_is_what_its_lane_says(
    house: House, first: dict[str, bool], second: dict[str, bool], code: str, step: str
) -> None:
    house.slack.change("C0000001", **first)
    await house.tell(alert())
    since = (await house.note())["since"]
    house.slack.change("C0000001", **second)
    assert await look(house) == ["acme/#ops"]
    assert (await house.drain()).posts == 0
    note = await house.note()
    assert (note["parked"], note["since"]) == (code, since)
    assert note["hint"].startswith(step)
    assert await look(house) == []


async def test_a_renamed_channel_is_called_by_its_new_name_from_the_next_look_on(house: House) -> None:
    await house.tell(alert("first"))
    house.slack.change("C0000001", is_member=False, name="build")
    await house.tell(alert("second"))
    assert (await house.note())["reason"] == "@infrakitchen is not a member of #ops"
    assert await look(house) == ["acme/#ops"]
    await house.drain()
    assert (await house.note())["hint"] == "Type `/invite @infrakitchen` in #build."
    assert await look(house) == []


async def test_a_deactivated_person_is_not_said_to_be_unknown_because_slack_hides_them(house: House) -> None:
    await house.subscribe("a@b.co")
    house.slack.people["a@b.co"] = Person("U0000001")
    house.slack.ends("chat.postMessage", "user_disabled")
    await house.publish(alert())
    await house.ingest()
    await house.drain("acme/a@b.co")
    del house.slack.people["a@b.co"]
    assert await look(house, "lane:acme/a@b.co") == []
    assert (await house.note("acme/a@b.co"))["parked"] == "user_disabled"


async def test_what_only_a_post_can_tell_is_tried_once_each_time(house: House) -> None:
    house.slack.ends("chat.postMessage", "restricted_action", "restricted_action")
    await house.tell(alert())
    since = (await house.note())["since"]
    assert await look(house) == ["acme/#ops"]
    await house.drain()
    assert (await house.note())["parked"] == "restricted_action"
    assert (await house.note())["since"] == since  # a failed try keeps its age
    await look(house)
    assert (await house.drain()).posts == 1


@pytest.mark.parametrize("destination", ["U0000001", "D0000001"])
async def test_a_user_that_slack_refused_is_tried_not_taken_for_well(house: House, destination: str) -> None:
    await house.subscribe(destination)
    house.slack.ends("chat.postMessage", "user_disabled", "user_disabled")
    await house.publish(alert())
    await house.ingest()
    lane = f"acme/{destination}"
    await house.drain(lane)
    since = (await house.note(lane))["since"]
    assert await look(house, f"lane:{lane}") == [lane]
    await house.drain(lane)
    assert (await house.note(lane))["since"] == since


async def test_an_email_is_looked_up_anew(house: House) -> None:
    await house.subscribe("a@b.co")
    await house.publish(alert())
    await house.ingest()
    await house.drain("acme/a@b.co")
    assert (await house.note("acme/a@b.co"))["parked"] == "users_not_found"
    assert await look(house, "lane:acme/a@b.co") == []
    house.slack.people["a@b.co"] = Person("U0000001")
    assert await look(house, "lane:acme/a@b.co") == ["acme/a@b.co"]
    assert (await house.drain("acme/a@b.co")).posts == 1
    assert house.slack.posts[0].channel == "D0000001"


async def test_a_lane_that_is_not_parked_any_more_is_left_alone(house: House) -> None:
    await house.tell(alert())
    assert await look(house) == []


async def test_a_lane_without_an_integration_stays_parked_until_there_is_one(house: House) -> None:
    await house.made.integrations.remove("acme")
    await house.tell(alert())
    assert await look(house) == []
    await house.connect()
    assert await look(house) == ["acme/#ops"]
    assert (await house.drain()).posts == 1


async def test_a_lane_that_is_held_is_resumed_without_a_wake(house: House) -> None:
    house.slack.change("C0000001", is_member=False)
    await house.tell(alert())
    house.slack.change("C0000001", is_member=True)
    house.pass_time(61)
    await house.redis.set("ik:lane:acme/#ops:lease", "someone")
    assert list(await house.made.sweep.prober.probe(LANE)) == []
    assert (await house.note())["parked"] == ""


async def revoked(house: House) -> None:
    house.slack.faults["xoxb-1"] = "token_revoked"
    await house.publish(alert())
    await house.ingest()
    await house.drain()
    assert (await house.balance()).parked == 1
    assert await probes(house) == [WHOLE]


async def test_the_same_token_works_again_after_a_reinstall(house: House) -> None:
    await revoked(house)
    assert await look(house, WHOLE) == []
    assert (await house.balance()).parked == 1
    del house.slack.faults["xoxb-1"]
    await look(house, WHOLE)
    assert await house.due_in_s() == pytest.approx(0, abs=0.1)
    assert (await house.drain()).posts == 1
    assert await probes(house) == []


async def test_a_new_token_frees_everything_at_once(house: House) -> None:
    await revoked(house)
    assert house.integration is not None
    await rotate_token(
        house.made.integrations, house.made.gateway, house.integration, Secret("xoxb-2"), force=False
    )
    assert await house.due_in_s() == pytest.approx(0, abs=0.1)
    assert (await house.drain()).posts == 1
    assert house.slack.posts[0].token == "xoxb-2"


async def test_a_new_token_whose_command_was_killed_frees_everything_with_the_next_probe(
    house: House,
) -> None:
    await revoked(house)
    assert house.integration is not None
    await house.made.integrations.save(house.integration, Secret("xoxb-2"))  # and no further
    assert (await house.balance()).parked == 1
    await look(house, WHOLE)
    assert (await house.drain()).posts == 1
    assert house.slack.posts[0].token == "xoxb-2"
    assert await probes(house) == []


async def test_who_the_token_is_now_is_kept(house: House) -> None:
    await revoked(house)
    del house.slack.faults["xoxb-1"]
    now = identity()
    house.slack.identities["xoxb-1"] = Identity(
        now.team_id, "Acme Inc", now.url, now.user_id, "ik", now.bot_id, now.scopes
    )
    await look(house, WHOLE)
    [found] = await house.made.integrations.all()
    assert (found.team, found.bot_name, found.state) == ("Acme Inc", "ik", "active")


async def lacking(house: House, *scopes: str) -> None:
    granted = tuple(scope for scope in REQUIRED_SCOPES if scope not in scopes)
    house.slack.identities["xoxb-1"] = identity(scopes=granted)


async def test_a_missing_scope_stays_parked_until_it_is_granted(house: House) -> None:
    await lacking(house, "chat:write")
    await house.connect()
    await house.tell(alert())
    [found] = await house.made.integrations.all()
    assert found.reason == "The token of acme was not granted `chat:write`"
    for _ in range(3):
        await look(house, WHOLE)
        assert (await house.balance()).parked == 1
    await lacking(house)
    await look(house, WHOLE)
    assert (await house.drain()).posts == 1


async def test_a_granted_scope_is_tried_although_another_is_missing(house: House) -> None:
    await lacking(house, "chat:write", "users:read")
    await house.connect()
    await house.tell(alert())
    await lacking(house, "users:read")
    await look(house, WHOLE)
    assert (await house.drain()).posts == 1


async def test_posting_goes_on_with_its_scope_whatever_else_was_never_granted(house: House) -> None:
    await lacking(house, "groups:read")
    await house.connect()
    await lacking(house, "groups:read", "chat:write")
    await house.tell(alert())
    await lacking(house, "groups:read")
    await look(house, WHOLE)
    assert (await house.drain()).posts == 1


async def test_a_disabled_integration_is_not_switched_on_by_a_probe(house: House) -> None:
    await house.made.integrations.park("acme", "disabled", "a person switched it off", "", probe_s=60)
    await look(house, WHOLE)
    [found] = await house.made.integrations.all()
    assert found.state == "disabled"


async def test_what_is_still_parked_is_said_with_the_names_people_know(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.slack.change("C0000001", is_member=False)
    await house.tell(alert())
    caplog.set_level(logging.INFO)
    await look(house, LANE)
    house.slack.faults["xoxb-1"] = "token_revoked"
    await look(house, WHOLE)
    said = [vars(line)["reason"] for line in caplog.records if line.message == "still parked"]
    assert said == ["@infrakitchen is not a member of #ops", "The token of acme was revoked"]


async def test_an_integration_that_is_gone_is_probed_no_more(house: House) -> None:
    await revoked(house)
    await house.redis.hdel("ik:integrations", "acme")
    await house.redis.incr("ik:version:integrations")
    assert await look(house, WHOLE) == []
    assert await probes(house) == []


async def test_what_is_parked_is_probed_every_minute_and_a_crash_only_delays_it(house: House) -> None:
    house.slack.change("C0000001", is_member=False)
    await house.tell(alert())
    upkeep = house.made.upkeep
    assert await upkeep.due_probes(again_in_s=60, most=10) == []
    house.pass_time(61)
    assert await upkeep.due_probes(again_in_s=60, most=10) == [LANE]
    assert await upkeep.due_probes(again_in_s=60, most=10) == []
    house.pass_time(61)
    assert await upkeep.due_probes(again_in_s=60, most=10) == [LANE]


async def test_a_probe_that_has_to_wait_leaves_things_as_they_are(house: House) -> None:
    house.slack.change("C0000001", is_member=False)
    await house.tell(alert())
    await house.made.allowances.close_method("T0000001", "conversations.info", 300)
    house.slack.change("C0000001", is_member=True)
    assert await look(house) == []
    assert (await house.note())["parked"] == "not_in_channel"
    house.pass_time(300 - 61)
    assert await look(house) == ["acme/#ops"]


async def test_a_probe_that_has_to_wait_comes_again_as_soon_as_slack_may_be_asked(house: House) -> None:
    house.slack.change("C0000001", is_member=False)
    await house.tell(alert())
    house.pass_time(61)
    assert await house.made.upkeep.due_probes(again_in_s=60, most=10) == [LANE]
    await house.made.allowances.close_method("T0000001", "conversations.info", 10)
    await house.made.sweep.prober.probe(LANE)
    assert await house.made.upkeep.due_probes(again_in_s=60, most=10) == []
    house.pass_time(10)
    assert await house.made.upkeep.due_probes(again_in_s=60, most=10) == [LANE]


async def test_where_slack_does_not_say_what_was_granted_a_missing_scope_is_tried_again(house: House) -> None:
    await lacking(house, "chat:write")
    await house.connect()
    await house.tell(alert())
    await lacking(house, *REQUIRED_SCOPES)
    await look(house, WHOLE)
    [found] = await house.made.integrations.all()
    assert found.state == "active"
