"""Probes of parked lanes and integrations: they resume once the cause is gone, and only then."""

import logging

import pytest
from support.events import alert
from support.fake_slack import identity
from support.pipeline import Pipeline

from worker.domain.hints import NO_HINT, Hint
from worker.domain.integration import REQUIRED_SCOPES, Identity, Person, Secret
from worker.pipeline.integration_setup import rotate_token
from worker.store.schedule import ProbeTarget

LANE, WHOLE = "lane:acme/#ops", "integration:acme"


async def probe_later(house: Pipeline, what: str = LANE) -> list[str]:
    """Probe a minute later and return the results."""
    house.pass_time(61)
    return list(await house.app.prober.probe(ProbeTarget.parse(what)))


async def probes(house: Pipeline) -> list[str]:
    return sorted(name.decode() for name in await house.redis.zrange("ik:probes", 0, -1))


async def test_a_lane_resumes_when_the_bot_is_invited(house: Pipeline) -> None:
    house.slack.change("C0000001", is_member=False)
    await house.deliver(alert())
    assert await probes(house) == [LANE]
    assert await probe_later(house) == []
    assert (await house.note()).parked == "not_in_channel"
    house.slack.change("C0000001", is_member=True)
    assert await probe_later(house) == ["acme/#ops"]
    assert await probes(house) == []
    assert (await house.note()).hint == NO_HINT
    assert (await house.drain()).posts == 1


async def test_a_lane_resumes_when_its_channel_is_unarchived(house: Pipeline) -> None:
    house.slack.change("C0000001", is_archived=True)
    await house.deliver(alert())
    assert await probe_later(house) == []
    house.slack.change("C0000001", is_archived=False)
    assert await probe_later(house) == ["acme/#ops"]


async def test_a_lane_with_a_pinned_address_is_probed_by_that_address(house: Pipeline) -> None:
    await house.deliver(alert("first"))
    house.slack.change("C0000001", is_member=False)
    await house.deliver(alert("second"))
    assert (await house.note()).parked == "not_in_channel"
    house.slack.calls.clear()
    assert await probe_later(house) == []
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
        ({"is_member": False}, {"is_private": True}, "channel_not_found", "If the channel is private"),
    ],
)
async def test_a_lane_with_a_new_reason_is_parked_with_that_reason(
    house: Pipeline, first: dict[str, bool], second: dict[str, bool], code: str, step: str
) -> None:
    house.slack.change("C0000001", **first)
    await house.deliver(alert())
    since = (await house.note()).since_ms
    house.slack.change("C0000001", **second)
    assert await probe_later(house) == ["acme/#ops"]
    assert (await house.drain()).posts == 0
    note = await house.note()
    assert (note.parked, note.since_ms) == (code, since)
    assert str(note.hint).startswith(step)
    assert await probe_later(house) == []


async def test_a_renamed_channel_has_its_new_name_after_the_next_probe(house: Pipeline) -> None:
    await house.deliver(alert("first"))
    house.slack.change("C0000001", is_member=False, name="build")
    await house.deliver(alert("second"))
    assert (await house.note()).reason == "@infrakitchen is not a member of #ops"
    assert await probe_later(house) == ["acme/#ops"]
    await house.drain()
    assert str((await house.note()).hint) == "Type `/invite @infrakitchen` in #build."
    assert await probe_later(house) == []


async def test_a_deactivated_user_is_not_reported_as_unknown(house: Pipeline) -> None:
    await house.subscribe("a@b.co")
    house.slack.people["a@b.co"] = Person("U0000001")
    house.slack.ends("chat.postMessage", "user_disabled")
    await house.publish(alert())
    await house.ingest()
    await house.drain("acme/a@b.co")
    del house.slack.people["a@b.co"]
    assert await probe_later(house, "lane:acme/a@b.co") == []
    assert (await house.note("acme/a@b.co")).parked == "user_disabled"


async def test_a_reason_that_only_a_post_can_check_is_probed_by_one_post(house: Pipeline) -> None:
    house.slack.ends("chat.postMessage", "restricted_action", "restricted_action")
    await house.deliver(alert())
    since = (await house.note()).since_ms
    assert await probe_later(house) == ["acme/#ops"]
    await house.drain()
    assert (await house.note()).parked == "restricted_action"
    assert (await house.note()).since_ms == since  # a failed try keeps its age
    await probe_later(house)
    assert (await house.drain()).posts == 1


@pytest.mark.parametrize("destination", ["U0000001", "D0000001"])
async def test_a_lane_of_a_user_id_is_probed_by_one_post(house: Pipeline, destination: str) -> None:
    await house.subscribe(destination)
    house.slack.ends("chat.postMessage", "user_disabled", "user_disabled")
    await house.publish(alert())
    await house.ingest()
    lane = f"acme/{destination}"
    await house.drain(lane)
    since = (await house.note(lane)).since_ms
    assert await probe_later(house, f"lane:{lane}") == [lane]
    await house.drain(lane)
    assert (await house.note(lane)).since_ms == since


async def test_an_email_is_looked_up_again(house: Pipeline) -> None:
    await house.subscribe("a@b.co")
    await house.publish(alert())
    await house.ingest()
    await house.drain("acme/a@b.co")
    assert (await house.note("acme/a@b.co")).parked == "users_not_found"
    assert await probe_later(house, "lane:acme/a@b.co") == []
    house.slack.people["a@b.co"] = Person("U0000001")
    assert await probe_later(house, "lane:acme/a@b.co") == ["acme/a@b.co"]
    assert (await house.drain("acme/a@b.co")).posts == 1
    assert house.slack.posts[0].channel == "D0000001"


async def test_a_lane_that_is_not_parked_is_not_probed(house: Pipeline) -> None:
    await house.deliver(alert())
    assert await probe_later(house) == []


async def test_a_lane_without_an_integration_stays_parked_until_there_is_one(house: Pipeline) -> None:
    await house.app.integrations.remove("acme")
    await house.deliver(alert())
    assert await probe_later(house) == []
    await house.connect()
    assert await probe_later(house) == ["acme/#ops"]
    assert (await house.drain()).posts == 1


async def test_a_leased_lane_is_resumed_without_a_wake_up_call(house: Pipeline) -> None:
    house.slack.change("C0000001", is_member=False)
    await house.deliver(alert())
    house.slack.change("C0000001", is_member=True)
    house.pass_time(61)
    await house.redis.set("ik:lane:acme/#ops:lease", "someone")
    assert list(await house.app.prober.probe(ProbeTarget.parse(LANE))) == []
    assert (await house.note()).parked == ""


async def revoked(house: Pipeline) -> None:
    house.slack.faults["xoxb-1"] = "token_revoked"
    await house.publish(alert())
    await house.ingest()
    await house.drain()
    assert (await house.balance()).parked == 1
    assert await probes(house) == [WHOLE]


async def test_an_integration_resumes_when_its_token_works_again(house: Pipeline) -> None:
    await revoked(house)
    assert await probe_later(house, WHOLE) == []
    assert (await house.balance()).parked == 1
    del house.slack.faults["xoxb-1"]
    await probe_later(house, WHOLE)
    assert await house.due_in_s() == pytest.approx(0, abs=0.1)
    assert (await house.drain()).posts == 1
    assert await probes(house) == []


async def test_a_new_token_resumes_every_lane(house: Pipeline) -> None:
    await revoked(house)
    assert house.integration is not None
    await rotate_token(house.app.integrations, house.app.gateway, house.integration, Secret("xoxb-2"), force=False)
    assert await house.due_in_s() == pytest.approx(0, abs=0.1)
    assert (await house.drain()).posts == 1
    assert house.slack.posts[0].token == "xoxb-2"


async def test_the_next_probe_resumes_every_lane_after_a_killed_rotation(
    house: Pipeline,
) -> None:
    await revoked(house)
    assert house.integration is not None
    await house.app.integrations.save(house.integration, Secret("xoxb-2"))  # and no further
    assert (await house.balance()).parked == 1
    await probe_later(house, WHOLE)
    assert (await house.drain()).posts == 1
    assert house.slack.posts[0].token == "xoxb-2"
    assert await probes(house) == []


async def test_a_probe_saves_the_new_identity_of_a_token(house: Pipeline) -> None:
    await revoked(house)
    del house.slack.faults["xoxb-1"]
    now = identity()
    house.slack.identities["xoxb-1"] = Identity(
        now.team_id, "Acme Inc", now.url, now.user_id, "ik", now.bot_id, now.scopes
    )
    await probe_later(house, WHOLE)
    [found] = await house.app.integrations.list_all()
    assert (found.team, found.bot_name, found.state) == ("Acme Inc", "ik", "active")


async def lacking(house: Pipeline, *scopes: str) -> None:
    granted = tuple(scope for scope in REQUIRED_SCOPES if scope not in scopes)
    house.slack.identities["xoxb-1"] = identity(scopes=granted)


async def test_a_missing_scope_stays_parked_until_it_is_granted(house: Pipeline) -> None:
    await lacking(house, "chat:write")
    await house.connect()
    await house.deliver(alert())
    [found] = await house.app.integrations.list_all()
    assert found.reason == "The token of acme was not granted chat:write"
    for _ in range(3):
        await probe_later(house, WHOLE)
        assert (await house.balance()).parked == 1
    await lacking(house)
    await probe_later(house, WHOLE)
    assert (await house.drain()).posts == 1


async def test_an_integration_resumes_when_the_scope_to_post_is_granted(house: Pipeline) -> None:
    await lacking(house, "chat:write", "users:read")
    await house.connect()
    await house.deliver(alert())
    await lacking(house, "users:read")
    await probe_later(house, WHOLE)
    assert (await house.drain()).posts == 1


async def test_other_missing_scopes_do_not_keep_an_integration_parked(house: Pipeline) -> None:
    await lacking(house, "groups:read")
    await house.connect()
    await lacking(house, "groups:read", "chat:write")
    await house.deliver(alert())
    await lacking(house, "groups:read")
    await probe_later(house, WHOLE)
    assert (await house.drain()).posts == 1


async def test_a_probe_does_not_enable_a_disabled_integration(house: Pipeline) -> None:
    await house.app.integrations.park("acme", "disabled", "a person switched it off", Hint.of(""), probe_s=60)
    await probe_later(house, WHOLE)
    [found] = await house.app.integrations.list_all()
    assert found.state == "disabled"


async def test_a_failed_probe_is_logged_with_the_names_of_bot_and_channel(
    house: Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    house.slack.change("C0000001", is_member=False)
    await house.deliver(alert())
    caplog.set_level(logging.INFO)
    await probe_later(house, LANE)
    house.slack.faults["xoxb-1"] = "token_revoked"
    await probe_later(house, WHOLE)
    said = [vars(line)["reason"] for line in caplog.records if line.message == "probe failed"]
    assert said == ["@infrakitchen is not a member of #ops", "The token of acme was revoked"]


async def test_a_removed_integration_is_not_probed_again(house: Pipeline) -> None:
    await revoked(house)
    await house.redis.hdel("ik:integrations", "acme")
    await house.redis.incr("ik:version:integrations")
    assert await probe_later(house, WHOLE) == []
    assert await probes(house) == []


async def test_a_parked_lane_is_probed_every_minute_also_after_a_crash(house: Pipeline) -> None:
    house.slack.change("C0000001", is_member=False)
    await house.deliver(alert())
    schedule = house.app.schedule
    assert await schedule.claim_due_probes(again_in_s=60, limit=10) == []
    house.pass_time(61)
    assert await schedule.claim_due_probes(again_in_s=60, limit=10) == [ProbeTarget.parse(LANE)]
    assert await schedule.claim_due_probes(again_in_s=60, limit=10) == []
    house.pass_time(61)
    assert await schedule.claim_due_probes(again_in_s=60, limit=10) == [ProbeTarget.parse(LANE)]


async def test_a_probe_that_must_wait_changes_nothing(house: Pipeline) -> None:
    house.slack.change("C0000001", is_member=False)
    await house.deliver(alert())
    await house.app.rate_limiter.close_method("T0000001", "conversations.info", 300)
    house.slack.change("C0000001", is_member=True)
    assert await probe_later(house) == []
    assert (await house.note()).parked == "not_in_channel"
    house.pass_time(300 - 61)
    assert await probe_later(house) == ["acme/#ops"]


async def test_a_probe_that_must_wait_is_due_when_the_wait_ends(house: Pipeline) -> None:
    house.slack.change("C0000001", is_member=False)
    await house.deliver(alert())
    house.pass_time(61)
    assert await house.app.schedule.claim_due_probes(again_in_s=60, limit=10) == [ProbeTarget.parse(LANE)]
    await house.app.rate_limiter.close_method("T0000001", "conversations.info", 10)
    await house.app.prober.probe(ProbeTarget.parse(LANE))
    assert await house.app.schedule.claim_due_probes(again_in_s=60, limit=10) == []
    house.pass_time(10)
    assert await house.app.schedule.claim_due_probes(again_in_s=60, limit=10) == [ProbeTarget.parse(LANE)]


async def test_an_integration_with_unknown_scopes_is_probed_by_a_post(house: Pipeline) -> None:
    await lacking(house, "chat:write")
    await house.connect()
    await house.deliver(alert())
    await lacking(house, *REQUIRED_SCOPES)
    await probe_later(house, WHOLE)
    [found] = await house.app.integrations.list_all()
    assert found.state == "active"
