"""Explain in the console: the whole history of an event, found by its id."""

import json
from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest
from support.events import failed_workflow
from support.web import HOSTILE_EVENT, Console, open_console

from worker.web.console.deliveries import pretty


@pytest.fixture
async def ops() -> AsyncIterator[Console]:
    async with open_console() as app:
        await app.connect()
        yield app


async def test_the_explain_form_leads_to_the_event(ops: Console):
    await ops.subscribe()
    await ops.deliver(failed_workflow("a/b?c#d %"))
    page = await ops.open("/explain")
    assert "every attempt to post it" in page.text
    page = await ops.open(f"/explain?event={quote(' a/b?c#d % ', safe='')}")
    assert (page.status, "run a/b?c#d % failed" in page.text) == (200, True)


async def test_an_event_lists_matching_and_other_subscriptions_with_reasons(ops: Console):
    mine, other = await ops.subscribe(), await ops.subscribe("#lobby", project="search")
    await ops.deliver(failed_workflow())
    page = await ops.open("/explain/deploy-1")
    assert "1 matching subscription, 1 not matching" in page.text
    assert f'href="/subscriptions/{mine}"' in page.html
    assert "project is shop, not search" in page.text
    assert other in page.text
    assert "Post: accepted by Slack" in page.text
    assert "Open in Slack" in page.text


async def test_an_event_without_a_matching_subscription_has_a_reason(ops: Console):
    await ops.publish(failed_workflow())
    page = await ops.open("/explain/deploy-1")
    assert "There is no active subscription" in page.text
    assert "No subscriptions" in page.text


async def test_the_event_is_shown_indented_and_a_long_one_is_cut_with_a_link_to_all_of_it(ops: Console):
    await ops.publish(failed_workflow(message="<script>" + "long " * 3_000))
    page = await ops.open("/explain/deploy-1")
    assert '"specversion": "1.0",\n' in page.html.replace("&#34;", '"')
    assert "<script>" not in page.html.split("</head>")[1]
    assert "more characters" in page.text
    whole = await ops.open("/explain/deploy-1?raw=all")
    assert "Show all" not in whole.text
    assert len(whole.html) > len(page.html) + 8_000


async def test_two_events_with_one_id_are_both_shown(ops: Console):
    await ops.publish(failed_workflow("same", source="/a"), failed_workflow("same", source="/b"))
    page = await ops.open("/explain/same")
    assert "2 events have this id" in page.text
    assert '"source": "/b"' in page.html.replace("&#34;", '"')


async def test_an_unreadable_entry_and_an_unread_entry_are_shown(ops: Console):
    (id_,) = await ops.publish(HOSTILE_EVENT)
    page = await ops.open(f"/explain/{id_}")
    assert ("rejected" in page.text, '{"specversion": "<script>' in page.text) == (True, True)
    new, odd = await ops.app.stream.publish([failed_workflow("new"), b"\xff"])
    page = await ops.open(f"/explain/{new}")
    assert "waiting" in page.text
    assert "run new failed" in page.text
    assert "Unreadable entry" in (await ops.open(f"/explain/{odd}")).text


async def test_an_unknown_event_is_404_and_the_form_keeps_its_id(ops: Console):
    page = await ops.open("/explain/%3Cscript%3Eunknown")
    assert (page.status, "There is no event" in page.text) == (404, True)
    assert "<script>unknown" not in page.html
    assert 'value="&lt;script&gt;unknown"' in page.html


def test_an_event_that_is_not_json_is_shown_as_text():
    assert pretty(b'{"a": 1}') == '{\n  "a": 1\n}'
    assert pretty(b"\xffno") == "\\xffno"
    assert pretty(b"[" * 100_000) == "[" * 100_000
    assert json.loads(pretty('{"a": "ü"}'.encode())) == {"a": "ü"}
