"""Parked lanes and dead letters in the console: listed, resumed, replayed and discarded."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator

import pytest
from support.events import failed_workflow
from support.web import HOSTILE_EVENT, Browser, Console, open_console

from worker.domain.delivery import State
from worker.domain.hints import Hint
from worker.store.ledger import take_ledger_snapshot
from worker.web.console import dead_letters as deciding

pytestmark = pytest.mark.slow


@pytest.fixture
async def ops() -> AsyncIterator[Console]:
    async with open_console() as app:
        await app.connect()
        await app.subscribe()
        yield app


async def states(ops: Console, *ids: str) -> list[State]:
    return [one.state for one in await ops.app.deliveries.find_many(ids)]


def audit_messages(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(one.what, one.which) for one in caplog.records if one.getMessage() == "change audited"]


async def test_without_parked_lanes_and_dead_letters_both_pages_are_empty(ops: Console):
    assert "No parked lanes" in (await ops.open("/parked")).text
    assert "No dead letters" in (await ops.open("/dead-letters")).text


async def test_a_parked_lane_has_its_reason_fix_and_number_of_deliveries(ops: Console):
    await ops.subscribe("#lobby")
    await ops.deliver(failed_workflow("a"), failed_workflow("b"))
    page = await ops.open("/parked")
    assert re.search(r"#lobby 2 deliveries .*not a member of #lobby", page.text)
    assert 'data-copy="/invite @infrakitchen"' in page.html
    assert 'href="/deliveries?lane=acme/%23lobby&amp;state=parked"' in page.html


async def test_a_parked_lane_resumes_when_a_person_resumes_it(ops: Console, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "worker.audit")
    await ops.subscribe("#lobby")
    await ops.deliver(failed_workflow())
    await ops.open("/parked")
    page = await ops.send("/parked/resume", lane="acme/#lobby")
    assert "acme/#lobby resumed with 1 pending delivery." in page.text
    assert "ik-slack parked" not in page.text
    assert audit_messages(caplog) == [("lane resumed", "acme/#lobby")]
    assert "is not parked" in (await ops.send("/parked/resume", lane="acme/#lobby")).text
    await ops.open("/parked")
    assert (await ops.send("/parked/resume", lane="acme/#nowhere")).status == 404
    assert (await ops.open("/parked/resume")).path == "/parked"


async def test_a_parked_integration_is_shown_once_with_its_lanes(ops: Console):
    await ops.publish(failed_workflow())
    await ops.app.integrations.park("acme", "token_revoked", "the token was revoked", Hint.of("Fix it."), probe_s=60)
    page = await ops.open("/parked")
    assert "The token was revoked" in page.text
    assert "Lanes of parked integrations #ops acme 1 delivery" in page.text
    assert "Try now" not in page.text.split("Fix it.")[1]
    page = await ops.send("/parked/resume", lane="acme/#ops")
    assert (page.status, "is parked with its integration" in page.text) == (409, True)


async def test_dead_letters_are_counted_by_reason_and_filtered(ops: Console):
    await ops.publish(HOSTILE_EVENT)
    await ops.create_dead_letters("a", "b")
    page = await ops.open("/dead-letters")
    assert "All 3" in page.text
    assert "invalid_blocks 2" in page.text
    page = await ops.open("/dead-letters?reason=unreadable")
    assert "Unreadable entry" in page.text
    assert "run a" not in page.text
    assert "Correct what publishes it" in page.text
    assert "No dead letters with this reason" in (await ops.open("/dead-letters?reason=nothing")).text


async def test_an_unreadable_entry_is_shown_unchanged(ops: Console):
    (id_,) = await ops.publish(HOSTILE_EVENT)
    page = await ops.open(f"/dead-letters/{id_}")
    assert "<script>" not in page.html.split("</head>")[1]
    assert '{"specversion": "<script>' in page.text
    assert f'href="/dead-letters/discard?id={id_}"' in page.html


async def test_the_dead_letter_of_a_delivery_redirects_to_the_delivery(ops: Console):
    (id_,) = await ops.create_dead_letters("a")
    assert (await ops.open(f"/dead-letters/{id_}")).path == f"/deliveries/{id_}"


async def test_replaying_asks_for_confirmation_with_the_number_and_the_effect(ops: Console):
    ids = await ops.create_dead_letters("a", "b", "c")
    page = await ops.open(f"/dead-letters/replay?id={ids[0]}&id={ids[1]}&id=unknown")
    assert "Replay 2 dead letters?" in page.text
    assert "goes to the end of its lane" in page.text
    assert "1 of your selection had already been replayed or discarded" in page.text
    assert await states(ops, *ids) == [State.DEAD] * 3


async def test_selected_dead_letters_are_replayed_and_the_others_stay(ops: Console, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "worker.audit")
    ids = await ops.create_dead_letters("a", "b", "c")
    await ops.open(f"/dead-letters/replay?id={ids[0]}&id={ids[1]}")
    page = await ops.send("/dead-letters/replay", id=ids[:2])
    assert (page.path, "2 dead letters replayed." in page.text) == ("/dead-letters", True)
    assert await states(ops, *ids) == [State.PENDING, State.PENDING, State.DEAD]
    assert audit_messages(caplog) == [("dead letters replayed", f"{ids[0]}, {ids[1]}")]


async def test_a_single_replay_leads_to_its_delivery(ops: Console):
    (id_,) = await ops.create_dead_letters("a")
    await ops.open(f"/dead-letters/replay?id={id_}")
    page = await ops.send("/dead-letters/replay", id=id_)
    assert page.path == f"/deliveries/{id_}"
    await ops.drain_lanes()
    assert "Replayed" in (await ops.open(page.path)).text


async def test_all_dead_letters_or_those_of_a_reason_are_discarded(ops: Console, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "worker.audit")
    await ops.publish(HOSTILE_EVENT)
    ids = await ops.create_dead_letters("a", "b")
    page = await ops.open("/dead-letters/discard?reason=invalid_blocks")
    assert "Discard 2 dead letters?" in page.text
    assert "cannot be undone" in page.text
    await ops.send("/dead-letters/discard", reason="invalid_blocks")
    assert await states(ops, *ids) == [State.DISCARDED] * 2
    page = await ops.open("/dead-letters/discard?all=yes")
    page = await ops.send("/dead-letters/discard", all="yes")
    assert "No dead letters" in page.text
    assert audit_messages(caplog) == [
        ("dead letters discarded", "reason invalid_blocks"), ("dead letters discarded", "all"),
    ]  # fmt: skip
    balance = (await take_ledger_snapshot(ops.app.redis)).balance
    assert (balance.dead, balance.discarded, balance.unaccounted) == (0, 2, 0)


async def test_two_concurrent_replays_post_each_delivery_once(ops: Console):
    ids = await ops.create_dead_letters("a", "b")
    other = Browser(ops.browser.web)
    async with other.client:
        await other.log_in_by_key()
        path = f"/dead-letters/replay?id={ids[0]}&id={ids[1]}"
        await asyncio.gather(ops.open(path), other.open(path))
        pages = await asyncio.gather(
            ops.send("/dead-letters/replay", id=ids), other.send("/dead-letters/replay", {"id": ids})
        )
    assert {page.status for page in pages} == {200}
    await ops.drain_lanes()
    assert [one.replays for one in await ops.app.deliveries.find_many(ids)] == [1, 1]
    assert sorted(await states(ops, *ids)) == [State.DELIVERED, State.MERGED]
    balance = (await take_ledger_snapshot(ops.app.redis)).balance
    assert balance.unaccounted == 0


async def test_a_form_sent_twice_discards_once_with_a_message(ops: Console):
    (id_,) = await ops.create_dead_letters("a")
    await ops.open(f"/dead-letters/discard?id={id_}")
    token = ops.browser.page.form_token
    await ops.send("/dead-letters/discard", id=id_)
    page = await ops.send("/dead-letters/discard", id=id_, form_token=token)
    assert "had already been replayed or discarded" in page.text
    assert "no dead letter left to discard" in (await ops.open(f"/dead-letters/discard?id={id_}")).text


async def test_no_selection_or_two_kinds_of_selection_is_an_error(ops: Console):
    await ops.create_dead_letters("a")
    page = await ops.open("/dead-letters/replay")
    assert "Tick the dead letters to replay first." in page.text
    assert (await ops.send("/dead-letters/replay")).status == 400
    assert (await ops.open("/dead-letters/replay?all=yes&reason=x")).status == 400


async def test_a_discard_that_takes_too_long_names_the_number_left(ops: Console, monkeypatch: pytest.MonkeyPatch):
    await ops.create_dead_letters("a")
    await ops.open("/dead-letters/discard?all=yes")
    monkeypatch.setattr(deciding, "APPLY_S", 0.0)
    page = await ops.send("/dead-letters/discard", all="yes")
    assert "1 dead letter left." in page.text


@pytest.mark.parametrize("path", ["/dead-letters/replay", "/dead-letters/discard", "/parked/resume"])
async def test_a_form_without_a_valid_token_changes_nothing(ops: Console, path: str):
    (id_,) = await ops.create_dead_letters("a")
    page = await ops.browser.send(path, {"id": id_, "lane": "acme/#ops", "form_token": "wrong"})
    assert page.status == 403
    assert await states(ops, id_) == [State.DEAD]
