"""Subscriptions in the console: made with a preview on real events, shown, changed, muted, removed."""

import logging
import re
from collections.abc import AsyncIterator

import pytest
from told_house import House, event, house

from worker.asking import sampling
from worker.asking.rules import Rule
from worker.asking.subscribing import placed
from worker.domain.integration import Secret
from worker.pipeline.connect import add_integration
from worker.web.pages import subscriptions

ADD = "/subscriptions/add"
USUAL = {"style": "card", "mention_from": "critical", "quiet_below": "critical"}
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
async def ops() -> AsyncIterator[House]:
    async with house() as made:
        await made.connect()
        yield made


async def add(ops: House, do: str = "save", **fields: object):
    await ops.open(ADD)
    return await ops.send(ADD, **(USUAL | {"destination": "#ops", "do": do} | fields))


async def rules(ops: House) -> list[Rule]:
    return [(await placed(ops.made, one.id)).rule for one in await ops.made.subscriptions.all()]


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.what for one in caplog.records if one.getMessage() == "audit"]


async def test_where_nobody_is_told_anything_the_list_leads_to_the_form(ops: House):
    page = await ops.open("/subscriptions")
    assert "Nobody is told anything yet" in page.text
    assert f'href="{ADD}"' in page.html


async def test_without_a_workspace_that_comes_first():
    async with house() as made:
        for path in ("/subscriptions", ADD):
            page = await made.open(path)
            assert "No Slack workspace is connected yet" in page.text
        await made.open("/parked")
        page = await made.send(ADD, **USUAL, destination="#ops", do="preview")
        assert "No Slack workspace is connected yet" in page.text
        assert (await made.send(ADD, **USUAL, destination="#ops", do="save")).status == 409


async def test_one_is_made_with_every_filter_and_option(ops: House):
    page = await add(
        ops, kind=["alert", "workflow"], min_severity="error", project="shop\nsearch", name="prod-*",
        status="error", label="team=a, b", entity_type="storage", entity_id="s-1", mention="<!here>",
        mention_from="error", style="plain", only_changes="yes", inhibit_resources="yes", broadcast="yes",
        template="*{{ title }}*\r\n{{ msg }}", quiet_hours="22:00-07:00", time_zone="Europe/Stockholm",
        quiet_below="error",
    )  # fmt: skip
    (rule,) = await rules(ops)
    assert page.path == f"/subscriptions/{rule.id}"
    assert rule == Rule(
        id=rule.id, integration="acme", destination="#ops", kind=["alert", "workflow"], min_severity="error",
        project=["shop", "search"], name=["prod-*"], status=["error"], label=["team=a, b"],
        entity_type=["storage"], entity_id=["s-1"], mention="<!here>", mention_from="error", style="plain",
        only_changes=True, inhibit_resources=True, broadcast=True, template="*{{ title }}*\n{{ msg }}",
        quiet_hours="22:00-07:00", time_zone="Europe/Stockholm", quiet_below="error",
    )  # fmt: skip
    await ops.open(f"/subscriptions/{rule.id}/edit")
    assert ops.browser.page.html.count("<details open>") == 3


async def test_the_form_that_edits_changes_nothing_by_itself(ops: House):
    await ops.subscribe(
        project=["a", "b,c"], label=["k=v"], mention="<!here>", min_severity="error", kind=["alert"],
        template="*{{ title }}*", only_changes=True, paused=True,
    )  # fmt: skip
    (before,) = await rules(ops)
    page = await ops.open(f"/subscriptions/{before.id}/edit")
    await ops.send(f"/subscriptions/{before.id}/edit", **filled_in(page.html), do="save")
    assert await rules(ops) == [before]


def filled_in(html: str) -> dict[str, object]:
    """What a browser would send of a form that nobody touched."""
    from html import unescape

    areas = re.findall(r'<textarea id="(\w+)".*?>\n?(.*?)</textarea>', html, re.DOTALL)
    inputs = re.findall(r'<input id="(\w+)"[^>]* value="([^"]*)"', html)
    picked = re.findall(r'<select id="(\w+)".*?</select>', html, re.DOTALL)
    fields: dict[str, object] = {name: unescape(value) for name, value in (*areas, *inputs)}
    for name in picked:
        chosen = re.search(rf'<select id="{name}".*?</select>', html, re.DOTALL)[0]
        fields[name] = (re.findall(r'value="(\w+)" selected', chosen) or [""])[0]
    for name, value in re.findall(r'name="(\w+)" value="(\w+)" checked', html):
        fields.setdefault(name, [])
        fields[name] = [*fields[name], value] if isinstance(fields[name], list) else value
    return fields


async def test_the_preview_says_how_many_of_the_newest_events_it_would_have_told(ops: House):
    await ops.publish(*(event(f"e{n}", project="shop" if n % 3 else "search") for n in range(30)))
    page = await add(ops, "preview", project="shop")
    assert (page.status, page.path) == (200, ADD)
    assert "It would have matched 20 of the last 30 events." in page.text
    assert page.text.index("run e29 failed") < page.text.index("run e28 failed")
    assert "and 15 more" in page.text
    assert "run e29 failed" in page.text.split("The newest of them in Slack")[1]
    assert ">\nshop</textarea>" in page.html
    assert await rules(ops) == []
    assert [channel.posts for channel in ops.acme.channels.values()] == [{}, {}]


async def test_the_preview_of_one_that_matches_nothing_says_why(ops: House):
    await ops.publish(event())
    page = await add(ops, "preview", project="nothing")
    assert "It would have matched 0 of the last 1 event." in page.text
    assert "project is shop, not nothing 1" in page.text


async def test_the_preview_without_any_event_says_so(ops: House):
    assert "No event has come yet" in (await add(ops, "preview")).text


async def test_the_preview_is_written_by_the_template_and_mentions_as_told(ops: House):
    await ops.publish(event())
    page = await add(ops, "preview", template="Look: {{ title }}", mention="<!here>", mention_from="info")
    assert "@here Look: Workflow run deploy-1 failed" in page.text
    long = await add(ops, "preview", template="{% for a in range(2) %}{{ nothing.x.y }}{% endfor %}")
    assert long.status in (200, 422)


async def test_very_large_events_are_looked_at_only_as_far_as_is_quick(
    ops: House, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sampling, "AT_ONCE", 2)
    monkeypatch.setattr(sampling, "MOST_BYTES", 500)
    await ops.publish(*(event(f"e{n}", message="x" * 300) for n in range(9)))
    assert "of the last 2 events" in (await add(ops, "preview")).text


async def test_an_event_that_this_version_cannot_read_is_passed_over(ops: House):
    await ops.publish(event("a"), event("b"))
    (key, *_) = await ops.made.server.command("KEYS", "ik:event:*")
    for name in await ops.made.server.command("HKEYS", key):
        if b":" not in name:
            await ops.made.server.command("HSET", key, name, b"no event")
    assert "of the last 1 event." in (await add(ops, "preview")).text


@pytest.mark.parametrize("do", ["save", "preview"])
async def test_what_is_wrong_is_marked_where_it_is_and_what_was_written_stays(ops: House, do: str):
    page = await add(ops, do, destination=f"a b {HOSTILE}", label="no", quiet_hours="22:00-07:00")
    assert page.status == 422
    assert "Correct what is marked below: to, label, time zone." in page.text
    assert "is no label; write KEY=VALUE" in page.text
    assert page.html.count('aria-invalid="true"') == 3
    assert HOSTILE not in page.html
    assert 'value="a b &lt;script&gt;' in page.html
    assert await rules(ops) == []


async def test_a_destination_that_cannot_be_posted_to_yet_is_taken_with_the_mend(ops: House):
    page = await add(ops, destination="#lobby")
    assert "cannot be posted to yet: what is for it waits until it can" in page.text
    assert 'data-copy="/invite @infrakitchen"' in page.html


async def test_offered_are_channels_the_bot_is_in_and_where_somebody_is_told(ops: House):
    token = await ops.made.integrations.token("acme")
    (acme,) = await ops.made.integrations.all()
    await ops.made.reader.begin(acme, token, unless_younger_s=0, budget_s=5)
    await ops.subscribe("ada@example.com")
    page = await ops.open(ADD)
    assert re.findall(r'<option value="([^"]*[#@][^"]*)">', page.html) == ["#ops", "ada@example.com"]


async def test_the_same_again_is_no_other(ops: House, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "worker.web")
    await add(ops, project="shop")
    page = await add(ops, project="shop")
    assert "#ops was told already" in page.text
    assert len(await rules(ops)) == 1
    assert said(caplog) == ["subscription added"]


async def test_of_several_integrations_one_is_chosen(ops: House):
    other = ops.sandbox.add_workspace("Umbrella")
    await add_integration(ops.made.integrations, ops.made.gateway, "other", Secret(other.token))
    page = await add(ops)
    assert (page.status, "Choose one" in page.text) == (422, True)
    await add(ops, integration="other")
    assert [one.integration for one in await rules(ops)] == ["other"]


async def test_the_list_says_what_each_tells_and_how_it_is(ops: House):
    await ops.subscribe(project="shop", mention="<!channel>")
    await ops.subscribe("#lobby")
    await ops.told(event())
    page = await ops.open("/subscriptions")
    assert "project shop mentions <!channel> from critical active" in page.text
    assert "every event active waits for a person" in page.text
    assert "<!channel>" not in page.html


async def test_of_very_many_some_are_shown_and_any_is_found(ops: House, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(subscriptions, "SHOWN", 5)
    for number in range(9):
        await ops.subscribe(project=f"p{number}")
    assert "and 4 more" in (await ops.open("/subscriptions")).text
    page = await ops.open("/subscriptions?q=P7")
    assert ("project p7" in page.text, "project p1" in page.text) == (True, False)
    assert "None with “nobody” in it" in (await ops.open("/subscriptions?q=nobody")).text


async def test_one_shows_what_waits_there_and_the_step(ops: House):
    id_ = await ops.subscribe("#lobby", template="*{{ title }}*")
    await ops.told(event())
    page = await ops.open(f"/subscriptions/{id_}")
    assert "It waits for a person" in page.text
    assert "1 delivery waits." in page.text
    assert 'data-copy="/invite @infrakitchen"' in page.html
    assert "*{{ title }}*" in page.text


async def test_it_is_paused_resumed_muted_unmuted_tested_and_changed(
    ops: House, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO, "worker.web")
    id_ = await ops.subscribe()
    at = f"/subscriptions/{id_}"
    assert "paused" in (await page_of(ops, at, "pause")).text
    assert "active" in (await page_of(ops, at, "resume")).text
    page = await page_of(ops, at, "mute", span="2h")
    assert "Muted for 2 h" in page.text or "Muted for 1 h 59 min" in page.text
    assert "Nothing that comes is told until" in page.text
    assert "Mute it for a while" in (await page_of(ops, at, "unmute")).text
    assert "muted" in (await page_of(ops, at, "mute", until="2100-01-01 08:00")).text
    page = await page_of(ops, at, "test")
    assert "A test message is in #ops now." in page.text
    page = await page_of(ops, at, "edit", **USUAL, destination="#ops", project="shop", do="save")
    assert "Saved: #ops is told project shop." in page.text
    assert (await rules(ops))[0].muted_until
    assert said(caplog) == [
        "subscription paused", "subscription resumed", "subscription muted", "subscription unmuted",
        "subscription muted", "test message sent", "subscription changed",
    ]  # fmt: skip


async def page_of(ops: House, at: str, what: str, **fields: object):
    await ops.open(at)
    return await ops.send(f"{at}/{what}", **fields)


async def test_what_a_page_says_once_fits_into_a_cookie_whatever_signs_it_has(ops: House):
    id_ = await ops.subscribe()
    await ops.open(f"/subscriptions/{id_}")
    page = await ops.browser.send(f"/subscriptions/{id_}/mute", {"until": "\U0001f4a5" * 500}, follow=False)
    (said,) = (one for one in page.headers.getall("set-cookie") if one.startswith("ik_slack_said="))
    assert len(said.partition(";")[0]) < 4_000
    assert "Not muted: '\U0001f4a5" in (await ops.open(page.headers["location"])).text


async def test_a_mute_that_cannot_be_meant_and_a_test_that_fails_say_so(ops: House):
    id_ = await ops.subscribe("#lobby")
    page = await page_of(ops, f"/subscriptions/{id_}", "mute", until="yesterday")
    assert "Not muted: 'yesterday' is no time" in page.text
    page = await page_of(ops, f"/subscriptions/{id_}", "test")
    assert "The test of #lobby failed" in page.text
    assert 'data-copy="/invite @infrakitchen"' in page.html


async def test_the_preview_while_editing_saves_nothing_and_a_paused_one_stays_so(ops: House):
    id_ = await ops.subscribe(paused=True)
    await ops.publish(event())
    at = f"/subscriptions/{id_}"
    page = await page_of(ops, at, "edit", **USUAL, destination="#ops", project="shop", do="preview")
    assert "It would have matched 1 of the last 1 event." in page.text
    assert (await rules(ops))[0].project == ()
    await page_of(ops, at, "edit", **USUAL, destination="#ops", project="shop", do="save")
    (rule,) = await rules(ops)
    assert (rule.project, rule.paused) == (("shop",), True)


async def test_removing_asks_first_and_says_what_is_discarded(ops: House, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "worker.web")
    id_, other = await ops.subscribe("#lobby"), await ops.subscribe("#lobby", project="shop")
    await ops.publish(event("a"), event("b"), event("c", project="search"))
    page = await ops.open(f"/subscriptions/{other}/remove")
    assert "2 deliveries wait for it, and are discarded" in page.text
    page = await ops.send(f"/subscriptions/{other}/remove")
    assert (page.path, "2 deliveries that waited: discarded." in page.text) == ("/subscriptions", True)
    assert [one.id for one in await rules(ops)] == [id_]
    assert said(caplog) == ["subscription removed"]


@pytest.mark.parametrize("path", ["", "/edit", "/remove"])
async def test_one_that_is_not_there_is_no_page(ops: House, path: str):
    page = await ops.open(f"/subscriptions/nobody{path}")
    assert (page.status, "There is no such page" in page.text) == (404, True)


@pytest.mark.parametrize("what", ["pause", "resume", "mute", "unmute", "test", "remove", "edit"])
async def test_nothing_is_done_to_one_that_is_not_there_nor_by_a_form_that_is_not_ours(ops: House, what: str):
    await ops.open("/subscriptions")
    fields = {**USUAL, "destination": "#ops", "span": "1h", "do": "save"}
    assert (await ops.send(f"/subscriptions/nobody/{what}", **fields)).status == 404
    id_ = await ops.subscribe()
    page = await ops.send(f"/subscriptions/{id_}/{what}", **fields, form_token="wrong")
    assert page.status == 403
    assert [one.paused for one in await rules(ops)] == [False]


@pytest.mark.parametrize("what", ["pause", "resume", "mute", "unmute", "test"])
async def test_an_answer_that_is_loaded_again_is_its_page(ops: House, what: str):
    id_ = await ops.subscribe()
    assert (await ops.open(f"/subscriptions/{id_}/{what}")).path == f"/subscriptions/{id_}"


async def test_what_people_wrote_is_shown_as_text_and_nothing_else(ops: House):
    id_ = await ops.subscribe(
        project=[HOSTILE + "x" * 5_000], name=["💥"], template=f"{HOSTILE}{{{{ title }}}}"
    )
    for path in ("/subscriptions", f"/subscriptions/{id_}", f"/subscriptions/{id_}/edit"):
        page = await ops.open(path)
        assert page.status == 200
        assert HOSTILE not in page.html
        assert "&lt;script&gt;" in page.html
