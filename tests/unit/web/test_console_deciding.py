"""What waits for a person and what is dead, in the console: seen, resumed, replayed, discarded."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator

import pytest
from browser import Browser
from told_house import BROKEN, House, event, house

from worker.domain.delivery import State
from worker.store.ledger import take_census
from worker.web.pages import deciding
from worker.web.pages.clicks import on_pages


@pytest.fixture
async def ops() -> AsyncIterator[House]:
    async with house() as made:
        await made.connect()
        await made.subscribe()
        yield made


async def states(ops: House, *ids: str) -> list[State]:
    return [one.state for one in await ops.made.deliveries.some(ids)]


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(one.what, one.which) for one in caplog.records if one.getMessage() == "audit"]


async def test_where_nothing_is_parked_or_dead_it_says_so(ops: House):
    assert "Nothing waits for you" in (await ops.open("/parked")).text
    assert "There is no dead letter" in (await ops.open("/dead-letters")).text


async def test_a_parked_lane_has_its_reason_its_step_and_how_many_wait(ops: House):
    await ops.subscribe("#lobby")
    await ops.told(event("a"), event("b"))
    page = await ops.open("/parked")
    assert re.search(r"#lobby 2 deliveries .*not a member of #lobby", page.text)
    assert 'data-copy="/invite @infrakitchen"' in page.html
    assert 'href="/deliveries?lane=acme/%23lobby&amp;state=parked"' in page.html


async def test_a_parked_lane_goes_on_once_a_person_says_so(ops: House, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "worker.web")
    await ops.subscribe("#lobby")
    await ops.told(event())
    await ops.open("/parked")
    page = await ops.send("/parked/resume", lane="acme/#lobby")
    assert "acme/#lobby goes on, 1 delivery to tell" in page.text
    assert "ik-slack parked" not in page.text
    assert said(caplog) == [("lane resumed", "acme/#lobby")]
    assert "is not parked" in (await ops.send("/parked/resume", lane="acme/#lobby")).text
    await ops.open("/parked")
    assert (await ops.send("/parked/resume", lane="acme/#nowhere")).status == 404
    assert (await ops.open("/parked/resume")).path == "/parked"


async def test_an_integration_that_waits_stands_once_with_what_waits_for_it(ops: House):
    await ops.publish(event())
    await ops.made.integrations.park("acme", "token_revoked", "the token was revoked", "Mend it.", probe_s=60)
    page = await ops.open("/parked")
    assert "the token was revoked" in page.text
    assert "They wait for their integration #ops acme 1 delivery" in page.text
    assert "Try now" not in page.text.split("Mend it.")[1]
    page = await ops.send("/parked/resume", lane="acme/#ops")
    assert (page.status, "waits for its integration" in page.text) == (409, True)


async def test_dead_letters_are_counted_by_reason_and_filtered(ops: House):
    await ops.publish(BROKEN)
    await ops.die("a", "b")
    page = await ops.open("/dead-letters")
    assert "All 3" in page.text
    assert "invalid_blocks 2" in page.text
    page = await ops.open("/dead-letters?reason=unreadable")
    assert "An entry nobody could read" in page.text
    assert "run a" not in page.text
    assert "Mend what publishes it" in page.text
    assert "like that any more" in (await ops.open("/dead-letters?reason=nothing")).text


async def test_an_unreadable_entry_is_shown_as_it_came(ops: House):
    (id_,) = await ops.publish(BROKEN)
    page = await ops.open(f"/dead-letters/{id_}")
    assert "<script>" not in page.html.split("</head>")[1]
    assert '{"specversion": "<script>' in page.text
    assert f'href="/dead-letters/discard?id={id_}"' in page.html


async def test_that_of_a_delivery_is_the_page_of_the_delivery(ops: House):
    (id_,) = await ops.die("a")
    assert (await ops.open(f"/dead-letters/{id_}")).path == f"/deliveries/{id_}"


async def test_replaying_asks_first_and_says_how_many_and_what_happens(ops: House):
    ids = await ops.die("a", "b", "c")
    page = await ops.open(f"/dead-letters/replay?id={ids[0]}&id={ids[1]}&id=nobody")
    assert "Replay 2 dead letters?" in page.text
    assert "back to the end of its lane" in page.text
    assert "1 of those you ticked is none any more" in page.text
    assert await states(ops, *ids) == [State.DEAD] * 3


async def test_the_ticked_are_replayed_and_the_others_stay(ops: House, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "worker.web")
    ids = await ops.die("a", "b", "c")
    await ops.open(f"/dead-letters/replay?id={ids[0]}&id={ids[1]}")
    page = await ops.send("/dead-letters/replay", id=ids[:2])
    assert (page.path, "2 dead letters replayed." in page.text) == ("/dead-letters", True)
    assert await states(ops, *ids) == [State.PENDING, State.PENDING, State.DEAD]
    assert said(caplog) == [("dead letters replayed", f"{ids[0]}, {ids[1]}")]


async def test_one_that_is_replayed_leads_to_its_delivery(ops: House):
    (id_,) = await ops.die("a")
    await ops.open(f"/dead-letters/replay?id={id_}")
    page = await ops.send("/dead-letters/replay", id=id_)
    assert page.path == f"/deliveries/{id_}"
    await ops.tell()
    assert "Queued again by a person" in (await ops.open(page.path)).text


async def test_all_of_a_reason_or_all_are_discarded(ops: House, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "worker.web")
    await ops.publish(BROKEN)
    ids = await ops.die("a", "b")
    page = await ops.open("/dead-letters/discard?reason=invalid_blocks")
    assert "Discard 2 dead letters?" in page.text
    assert "cannot be undone" in page.text
    await ops.send("/dead-letters/discard", reason="invalid_blocks")
    assert await states(ops, *ids) == [State.DISCARDED] * 2
    page = await ops.open("/dead-letters/discard?all=yes")
    page = await ops.send("/dead-letters/discard", all="yes")
    assert "There is no dead letter" in page.text
    assert said(caplog) == [
        ("dead letters discarded", "reason invalid_blocks"), ("dead letters discarded", "all"),
    ]  # fmt: skip
    balance, _ = await take_census(ops.made.server)
    assert (balance.dead, balance.discarded, balance.unaccounted) == (0, 2, 0)


async def test_two_people_at_once_make_no_double(ops: House):
    ids = await ops.die("a", "b")
    other = Browser(ops.browser.web)
    async with other.client:
        path = f"/dead-letters/replay?id={ids[0]}&id={ids[1]}"
        await asyncio.gather(ops.open(path), other.open(path))
        pages = await asyncio.gather(
            ops.send("/dead-letters/replay", id=ids), other.send("/dead-letters/replay", {"id": ids})
        )
    assert {page.status for page in pages} == {200}
    await ops.tell()
    assert [one.replays for one in await ops.made.deliveries.some(ids)] == [1, 1]
    assert sorted(await states(ops, *ids)) == [State.DELIVERED, State.MERGED]
    balance, _ = await take_census(ops.made.server)
    assert balance.unaccounted == 0


async def test_what_is_sent_twice_is_done_once_and_said(ops: House):
    (id_,) = await ops.die("a")
    await ops.open(f"/dead-letters/discard?id={id_}")
    token = ops.browser.page.form_token
    await ops.send("/dead-letters/discard", id=id_)
    page = await ops.send("/dead-letters/discard", id=id_, form_token=token)
    assert "none any more: somebody was faster" in page.text
    assert "nothing to discard any more" in (await ops.open(f"/dead-letters/discard?id={id_}")).text


async def test_nothing_ticked_or_two_ways_at_once_are_told(ops: House):
    await ops.die("a")
    page = await ops.open("/dead-letters/replay")
    assert "Tick those to replay first." in page.text
    assert (await ops.send("/dead-letters/replay")).status == 400
    assert (await ops.open("/dead-letters/replay?all=yes&reason=x")).status == 400


async def test_what_takes_too_long_says_what_is_left(ops: House, monkeypatch: pytest.MonkeyPatch):
    await ops.die("a")
    await ops.open("/dead-letters/discard?all=yes")
    monkeypatch.setattr(deciding, "DO_S", 0.0)
    page = await ops.send("/dead-letters/discard", all="yes")
    assert "1 dead letter left: do it again" in page.text


@pytest.mark.parametrize("path", ["/dead-letters/replay", "/dead-letters/discard", "/parked/resume"])
async def test_a_form_that_is_not_ours_changes_nothing(ops: House, path: str):
    (id_,) = await ops.die("a")
    page = await ops.browser.send(path, {"id": id_, "lane": "acme/#ops", "form_token": "wrong"})
    assert page.status == 403
    assert await states(ops, id_) == [State.DEAD]


def test_hints_for_the_command_line_become_clicks():
    replay = "Replay it with `ik-slack dead-letters replay abc`, or discard it."
    assert on_pages(replay) == "Replay it, or discard it."
    told = "Its lane was full. See what was told since (`ik-slack deliveries list`), then discard it."
    assert on_pages(told) == "Its lane was full. See what was told since, then discard it."
    assert on_pages("No lane: see `ik-slack dead-letters list`.") == "No lane: see the list of dead letters."
    assert on_pages("No lane: see `ik-slack parked list`.") == "No lane: see the list of parked."
