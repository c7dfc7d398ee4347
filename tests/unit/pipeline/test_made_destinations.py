"""One subscription sends each event to the channel or the person that its values name, and accounts for the others."""

from typing import Any

import pytest
from support.events import alert, cloud_event, workflow
from support.pipeline import Pipeline

from worker.domain.subscription import Filters

TEAM = {"destination": "#team-{label:team}", "id_": "team", "filters": Filters(projects=("shop",))}
LIFE_S = 1_209_600 + 700_000


def of_team(team: str, **data: Any) -> dict[str, Any]:
    return alert(f"disk of {team}", project="shop", labels={"team": team} if team else {}, **data)


def resource(status: str, state: str = "provision", **data: Any) -> dict[str, Any]:
    details = {"resource_id": "r1", "name": "cache", "state": state, "status": status, "project": "shop", **data}
    return cloud_event("resource.state_changed", "", details)


@pytest.fixture
async def teams(house: Pipeline) -> Pipeline:
    await house.app.subscriptions.save_and_remove(remove=["sub-#ops"])
    await house.subscribe(**TEAM)
    return house


async def lanes(house: Pipeline) -> list[str]:
    return [delivery.lane for delivery in await house.deliveries()]


async def suppressed(house: Pipeline, event_id: str) -> str:
    [record] = await house.app.events.find(event_id)
    return record.suppressed


async def test_each_value_has_a_lane_of_its_own(teams: Pipeline) -> None:
    await teams.publish(of_team("Payments"), of_team("shop"), of_team("payments"))
    await teams.ingest()
    assert sorted(await lanes(teams)) == ["acme/#team-payments", "acme/#team-payments", "acme/#team-shop"]
    assert sorted(teams.awake) == ["acme/#team-payments", "acme/#team-shop"]
    teams.slack.add_channel("C0000002", "team-payments")
    await teams.drain("acme/#team-payments")
    assert [post.channel for post in teams.slack.posts] == ["C0000002"]


async def test_an_event_without_the_value_is_suppressed_with_the_reason(teams: Pipeline) -> None:
    await teams.publish(of_team("", id_="none"), of_team("!", id_="odd"))
    await teams.ingest()
    assert await suppressed(teams, "none") == "label team is empty"
    assert await suppressed(teams, "odd") == "label team has no letter or digit"
    balance = await teams.balance()
    assert (balance.accepted, balance.suppressed, balance.created) == (2, 2, 0)


async def test_one_of_two_subscriptions_is_enough_for_an_event(teams: Pipeline) -> None:
    await teams.subscribe()
    await teams.publish(of_team(""))
    await teams.ingest()
    assert await lanes(teams) == ["acme/#ops"]
    assert (await teams.balance()).suppressed == 0


async def test_the_reasons_of_all_matching_subscriptions_are_named(teams: Pipeline) -> None:
    await teams.subscribe("{requester}", "person")
    await teams.subscribe("#dev", "muted", muted_until_ms=10**13)
    await teams.publish(of_team("", id_="none"))
    await teams.ingest()
    reason = await suppressed(teams, "none")
    assert sorted(reason.split(", "))[:2] == ["label team is empty", "muted until 2286-11-20 17:46 UTC"]
    assert "requester is empty" in reason


async def test_an_event_without_the_value_goes_to_the_second_destination(teams: Pipeline) -> None:
    await teams.subscribe(**TEAM, otherwise="#ops")
    await teams.publish(of_team(""), of_team("shop"))
    await teams.ingest()
    assert await lanes(teams) == ["acme/#ops", "acme/#team-shop"]


async def test_the_person_who_started_it_gets_a_direct_message(house: Pipeline) -> None:
    await house.app.subscriptions.save_and_remove(remove=["sub-#ops"])
    await house.subscribe("{requester}")
    person = {"name": "Ada", "email": "ada@example.com"}
    await house.publish(workflow(creator=person), workflow("18"), resource("approval_pending", requester=person))
    await house.ingest()
    assert await lanes(house) == ["acme/ada@example.com"] * 2
    assert (await house.balance()).suppressed == 1


async def test_a_card_is_followed_where_it_is_when_the_value_changes_or_goes(teams: Pipeline) -> None:
    labels = {"team": "shop"}
    await teams.publish(resource("in_progress", labels=labels), resource("error"), resource("in_progress"))
    await teams.ingest()
    await teams.publish(resource("done", "provisioned", labels={"team": "other"}))
    await teams.ingest()
    assert await lanes(teams) == ["acme/#team-shop"] * 4
    await teams.publish(resource("done", "provisioned", labels={"team": "other"}))
    await teams.ingest()
    assert (await lanes(teams))[4:] == ["acme/#team-other"]


async def test_a_moved_subscription_sends_later_states_to_its_new_destination(teams: Pipeline) -> None:
    await teams.publish(resource("in_progress", labels={"team": "shop"}))
    await teams.ingest()
    await teams.subscribe(**TEAM | {"destination": "#res-{name}"})
    await teams.publish(resource("done", "provisioned"))
    await teams.ingest()
    assert await lanes(teams) == ["acme/#team-shop", "acme/#res-cache"]
    await teams.subscribe(**TEAM | {"destination": "#x-{label:team}"})
    await teams.publish(resource("queued", "destroy", labels={"team": "a"}))
    await teams.ingest()
    await teams.subscribe(**TEAM | {"destination": "#y-{label:team}"})
    await teams.publish({**resource("in_progress", "destroy"), "id": "gone"})
    await teams.ingest()
    assert await suppressed(teams, "gone") == "label team is empty"


async def test_a_card_of_an_earlier_version_is_followed_too(teams: Pipeline) -> None:
    await teams.publish(resource("in_progress", labels={"team": "shop"}))
    await teams.ingest()
    [key] = await teams.redis.keys("ik:followed:*")
    known = (await teams.redis.hget(key, "team")).decode()
    await teams.redis.hset(key, "team", known.replace("|#team-shop", ""))
    await teams.publish(resource("error", labels={"team": "new"}))
    await teams.ingest()
    assert await lanes(teams) == ["acme/#team-shop", "acme/#team-new"]


async def test_the_lane_of_a_channel_that_does_not_exist_parks(teams: Pipeline) -> None:
    await teams.deliver(of_team("shop"), lane="acme/#team-shop")
    note = await teams.note("acme/#team-shop")
    assert note.parked == "channel_not_found"
    assert (await teams.balance()).parked == 1


async def test_processing_a_batch_again_changes_nothing(teams: Pipeline) -> None:
    await teams.publish(resource("in_progress", labels={"team": "shop"}), resource("done", "provisioned"), of_team(""))
    stream = teams.app.stream
    await stream.create_group()
    entries = await stream.read(limit=100, wait_ms=1)
    before = []
    for _ in range(2):
        await teams.app.ingest.process(entries)
        before.append((await lanes(teams), await teams.balance()))
    assert before[0] == before[1]
    assert before[0][0] == ["acme/#team-shop"] * 2


async def test_old_lanes_made_from_events_leave_nothing_and_named_ones_keep_their_address(teams: Pipeline) -> None:
    await teams.subscribe("#named", "named")
    for number, name in enumerate(("named", "team-a", "team-b", "second", "warnings")):
        teams.slack.add_channel(f"C1{number:06}", name)
    await teams.subscribe(**TEAM, otherwise="#second")
    await teams.publish(of_team("a"), of_team("b"), of_team(""))
    await teams.ingest()
    teams.app.sweeper.alerts.channels = {"": "#warnings"}
    await teams.app.lanes.append("acme/#warnings", [])
    for lane in await teams.app.lanes.list_names():
        teams.pass_time(2)
        await teams.drain(lane)
    assert (await teams.balance()).pending == 0
    teams.pass_time(LIFE_S)
    await teams.app.sweeper.sweep()
    assert await teams.app.lanes.list_names() == ["acme/#named", "acme/#second", "acme/#warnings"]
    assert [key for key in await teams.redis.keys("ik:lane:*") if b"#team" in key] == []
    assert (await teams.note("acme/#second")).address is not None
