"""Explain in the console: an event's whole way, found by its id."""

import json
from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest
from told_house import BROKEN, House, event, house

from worker.web.pages.explain import pretty


@pytest.fixture
async def ops() -> AsyncIterator[House]:
    async with house() as made:
        await made.connect()
        yield made


async def test_the_form_leads_to_the_event(ops: House):
    await ops.subscribe()
    await ops.told(event("a/b?c#d %"))
    page = await ops.open("/explain")
    assert "Its whole way" in page.text
    page = await ops.open(f"/explain?event={quote(' a/b?c#d % ', safe='')}")
    assert (page.status, "run a/b?c#d % failed" in page.text) == (200, True)


async def test_it_tells_for_whom_it_was_and_for_whom_not_and_why(ops: House):
    mine, other = await ops.subscribe(), await ops.subscribe("#lobby", project="search")
    await ops.told(event())
    page = await ops.open("/explain/deploy-1")
    assert "It is for 1 subscription, not for 1 other." in page.text
    assert f'href="/subscriptions/{mine}"' in page.html
    assert "project is shop, not search" in page.text
    assert other in page.text
    assert "Posted: Slack took it" in page.text
    assert "Open in Slack" in page.text


async def test_one_that_is_for_nobody_says_why(ops: House):
    await ops.publish(event())
    page = await ops.open("/explain/deploy-1")
    assert "There is no active subscription" in page.text
    assert "Nobody has subscribed yet" in page.text


async def test_the_event_is_laid_out_and_a_long_one_is_cut_with_a_way_to_see_all(ops: House):
    await ops.publish(event(message="<script>" + "long " * 3_000))
    page = await ops.open("/explain/deploy-1")
    assert '"specversion": "1.0",\n' in page.html.replace("&#34;", '"')
    assert "<script>" not in page.html.split("</head>")[1]
    assert "Show all" in page.text
    whole = await ops.open("/explain/deploy-1?raw=all")
    assert "Show all" not in whole.text
    assert len(whole.html) > len(page.html) + 8_000


async def test_two_events_with_one_id_are_both_told(ops: House):
    await ops.publish(event("same", source="/a"), event("same", source="/b"))
    page = await ops.open("/explain/same")
    assert "2 events have this id" in page.text
    assert '"source": "/b"' in page.html.replace("&#34;", '"')


async def test_an_entry_that_nobody_could_read_and_one_nobody_read_yet(ops: House):
    (id_,) = await ops.publish(BROKEN)
    page = await ops.open(f"/explain/{id_}")
    assert ("rejected" in page.text, '{"specversion": "<script>' in page.text) == (True, True)
    new, odd = await ops.made.stream.publish([event("new"), b"\xff"])
    page = await ops.open(f"/explain/{new}")
    assert "waiting" in page.text
    assert "run new failed" in page.text
    assert "An entry that is no event" in (await ops.open(f"/explain/{odd}")).text


async def test_one_nobody_knows_says_what_may_be_and_keeps_the_form(ops: House):
    page = await ops.open("/explain/%3Cscript%3Enobody")
    assert (page.status, "No event" in page.text) == (404, True)
    assert "<script>nobody" not in page.html
    assert 'value="&lt;script&gt;nobody"' in page.html


def test_what_is_no_json_is_shown_as_it_is():
    assert pretty(b'{"a": 1}') == '{\n  "a": 1\n}'
    assert pretty(b"\xffno") == "\\xffno"
    assert pretty(b"[" * 100_000) == "[" * 100_000
    assert json.loads(pretty('{"a": "ü"}'.encode())) == {"a": "ü"}
