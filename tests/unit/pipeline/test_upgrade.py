"""The data of an earlier version: this version lists, explains and delivers all of it."""

import json
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any

import pytest
from support.fake_slack import Posted
from support.pipeline import ManualClock, Pipeline, open_pipeline
from support.stored_data import load_stored_data, restore

from worker.domain.delivery import State
from worker.domain.event import EventState
from worker.domain.integration import Health
from worker.domain.message import Message
from worker.services.deliveries import trace_event
from worker.services.integrations import list_integrations
from worker.store.ledger import take_ledger_snapshot

DATA = load_stored_data(1)
CHANNELS = ("digest", "away", "busy", "night", "held", "sudden")


@pytest.fixture
async def upgraded() -> AsyncIterator[Pipeline]:
    """Return a pipeline of this version on the data of the version before."""
    hand = ManualClock()
    hand.now_s = DATA["now_s"]
    async with open_pipeline(hand=hand, encryption_key=DATA["encryption_key"]) as pipeline:
        await restore(pipeline.redis, DATA["keys"])
        for number, name in enumerate(CHANNELS, 2):
            pipeline.slack.add_channel(f"C000000{number}", name, is_member=name != "away")
        posted = Posted("C0000001", Message("posted before", "posted before"), plain=False, token="xoxb-1")
        pipeline.slack.posts.extend([posted] * DATA["posts"])
        await pipeline.app.installation.check()
        yield pipeline


def counted(balance: Any) -> dict[str, int]:
    return {name: count for name, count in asdict(balance).items() if name in DATA["balance"]}


async def read_all(pipeline: Pipeline) -> None:
    """Read the stream to its end, with the entry that a process of the version before read and did not finish."""
    await pipeline.app.ingest.process(await pipeline.app.stream.claim_abandoned(idle_ms=0, limit=10))
    await pipeline.ingest()


async def test_every_delivery_and_the_balance_are_as_before(upgraded: Pipeline) -> None:
    assert {delivery.id: delivery.state.value for delivery in await upgraded.deliveries()} == DATA["deliveries"]
    assert counted(await upgraded.balance()) == DATA["balance"]


async def test_integrations_subscriptions_and_parked_lanes_are_as_before(upgraded: Pipeline) -> None:
    app = upgraded.app
    states = {integration.name: integration.state for integration in await list_integrations(app)}
    assert states == {"acme": Health.ACTIVE, "beta": Health.PARKED}
    assert {each.id for each in await app.subscriptions.list_all()} == set(DATA["keys"]["ik:subscriptions"]["value"])
    assert {each.lane for each in await app.parked_lanes.list_all()} == {"acme/#away", "beta/#held"}
    assert (await app.integrations.get_connections())["acme"].token is not None


async def test_every_event_is_explained(upgraded: Pipeline) -> None:
    await read_all(upgraded)
    for entry_id, entry in DATA["keys"]["infrakitchen:events"]["value"]:
        try:
            event = json.loads(entry["event"])
        except ValueError:
            continue
        traces = await trace_event(upgraded.app, event.get("id") or entry_id)
        assert traces, event
        assert all(trace.event is not None for trace in traces if trace.state is not EventState.REJECTED)


async def test_everything_that_waited_is_delivered(upgraded: Pipeline) -> None:
    app, slack = upgraded.app, upgraded.slack
    slack.change("C0000003", is_member=True)
    await app.integrations.resume("beta", enable=True)
    upgraded.pass_time(40)  # the lease of the worker that was killed ends
    await read_all(upgraded)
    for lane in ("acme/#away", "beta/#held"):
        await app.lanes.resume(lane, permanently=True)
    upgraded.pass_time(86_400 - 3_600)  # the quiet hours end, and nothing has expired
    for _ in range(3):
        for lane in (await take_ledger_snapshot(app.redis)).lanes:
            upgraded.pass_time(2)
            await upgraded.drain(lane.lane)
    states = {delivery.id: delivery.state for delivery in await upgraded.deliveries()}
    dead = [id_ for id_, state in DATA["deliveries"].items() if state in ("dead", "discarded")]
    assert {id_ for id_, state in states.items() if state not in (State.DELIVERED, State.MERGED)} == set(dead)
    assert len(states) == DATA["balance"]["created"] + 2  # one entry was read and not finished, one was not read
    assert (await upgraded.balance()).repeats_ignored == DATA["balance"]["repeats_ignored"]
    assert any("deploy shop" in edit.text for edit in slack.edits)  # the card posted before shows the end


async def test_a_dead_letter_of_before_is_replayed(upgraded: Pipeline) -> None:
    [letter] = [letter for letter in await upgraded.dead() if letter.reason == "invalid_blocks"]
    await upgraded.app.dead_letters.replay(letter, upgraded.app.stream.stream)
    upgraded.pass_time(2)
    await upgraded.drain("acme/#busy")
    delivery = await upgraded.app.deliveries.find(letter.id)
    assert delivery is not None
    assert delivery.state in (State.DELIVERED, State.MERGED)
