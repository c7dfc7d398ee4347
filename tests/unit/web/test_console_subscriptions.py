"""Subscriptions in the console: added with a preview of real events, changed, muted and removed."""

import logging
import re
from collections.abc import AsyncIterator
from html import unescape

import pytest
from support.events import failed_workflow
from support.web import Console, open_console

from worker.domain.integration import Secret
from worker.pipeline.integration_setup import add_integration
from worker.services import preview as sampling
from worker.services.subscription_schema import SubscriptionSpec
from worker.services.subscriptions import list_subscriptions
from worker.web.console import subscriptions

pytestmark = pytest.mark.slow

ADD = "/subscriptions/add"
USUAL = {"style": "card", "mention_from": "critical", "quiet_below": "critical"}
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
async def ops() -> AsyncIterator[Console]:
    async with open_console() as app:
        await app.connect()
        yield app


async def add(ops: Console, do: str = "save", **fields: object):
    await ops.open(ADD)
    return await ops.send(ADD, **(USUAL | {"destination": "#ops", "do": do} | fields))


async def read_subscriptions(ops: Console) -> list[SubscriptionSpec]:
    return await list_subscriptions(ops.app)


def audit_messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.what for one in caplog.records if one.getMessage() == "change audited"]


async def test_an_empty_list_of_subscriptions_leads_to_the_form(ops: Console):
    page = await ops.open("/subscriptions")
    assert "No subscriptions" in page.text
    assert f'href="{ADD}"' in page.html


async def test_without_an_integration_the_pages_lead_to_connecting_one():
    async with open_console() as app:
        for path in ("/subscriptions", ADD):
            page = await app.open(path)
            assert "No integrations" in page.text
        await app.open("/parked")
        page = await app.send(ADD, **USUAL, destination="#ops", do="preview")
        assert "No integrations" in page.text
        assert (await app.send(ADD, **USUAL, destination="#ops", do="save")).status == 409


async def test_a_subscription_is_added_with_every_filter_and_option(ops: Console):
    page = await add(
        ops, kind=["alert", "workflow"], min_severity="error", project="shop\nsearch", name="prod-*",
        status="error", action="approve\nDestroy", label="team=a, b",
        entity_type="storage", entity_id="s-1", mention="<!here>", mention_from="error", style="plain",
        only_changes="yes", inhibit_resources="yes", broadcast="yes",
        template="*{{ title }}*\r\n{{ msg }}", quiet_hours="22:00-07:00", time_zone="Europe/Stockholm",
        quiet_below="error",
    )  # fmt: skip
    (rule,) = await read_subscriptions(ops)
    assert page.path == f"/subscriptions/{rule.id}"
    assert rule == SubscriptionSpec(
        id=rule.id, integration="acme", destination="#ops", kind=["alert", "workflow"], min_severity="error",
        project=["shop", "search"], name=["prod-*"], status=["error"], action=["approve", "destroy"],
        label=["team=a, b"], entity_type=["storage"], entity_id=["s-1"], mention="<!here>",
        mention_from="error", style="plain",
        only_changes=True, inhibit_resources=True, broadcast=True, template="*{{ title }}*\n{{ msg }}",
        quiet_hours="22:00-07:00", time_zone="Europe/Stockholm", quiet_below="error",
    )  # fmt: skip
    await ops.open(f"/subscriptions/{rule.id}/edit")
    assert ops.browser.page.html.count("<details open>") == 3


async def test_saving_the_unchanged_edit_form_changes_nothing(ops: Console):
    await ops.subscribe(
        project=["a", "b,c"], label=["k=v"], mention="<!here>", min_severity="error", kind=["alert"],
        template="*{{ title }}*", only_changes=True, paused=True,
    )  # fmt: skip
    (before,) = await read_subscriptions(ops)
    page = await ops.open(f"/subscriptions/{before.id}/edit")
    await ops.send(f"/subscriptions/{before.id}/edit", **unchanged_form_fields(page.html), do="save")
    assert await read_subscriptions(ops) == [before]


def unchanged_form_fields(html: str) -> dict[str, object]:
    """Return the fields that a browser sends for an unchanged form."""
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


async def test_the_preview_counts_the_newest_events_that_match(ops: Console):
    await ops.publish(*(failed_workflow(f"e{n}", project="shop" if n % 3 else "search") for n in range(30)))
    page = await add(ops, "preview", project="shop")
    assert (page.status, page.path) == (200, ADD)
    assert "20 of the last 30 events match." in page.text
    assert page.text.index("run e29 failed") < page.text.index("run e28 failed")
    assert "and 15 more" in page.text
    assert "run e29 failed" in page.text.split("Message of the newest match")[1]
    assert ">\nshop</textarea>" in page.html
    assert await read_subscriptions(ops) == []
    assert [channel.posts for channel in ops.acme.channels.values()] == [{}, {}]


async def test_the_preview_of_a_subscription_that_matches_nothing_has_reasons(ops: Console):
    await ops.publish(failed_workflow())
    page = await add(ops, "preview", project="nothing")
    assert "0 of the last 1 event match." in page.text
    assert "project is shop, not nothing 1" in page.text


async def test_the_preview_without_any_event_has_a_message(ops: Console):
    assert "No events yet" in (await add(ops, "preview")).text


async def test_the_preview_uses_the_template_and_the_mention(ops: Console):
    await ops.publish(failed_workflow())
    page = await add(ops, "preview", template="Look: {{ title }}", mention="<!here>", mention_from="info")
    assert "@here Look: Workflow run deploy-1 failed" in page.text
    long = await add(ops, "preview", template="{% for a in range(2) %}{{ nothing.x.y }}{% endfor %}")
    assert long.status in (200, 422)


async def test_the_preview_reads_a_limited_amount_of_very_large_events(ops: Console, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sampling, "READ_AT_ONCE", 2)
    monkeypatch.setattr(sampling, "MAX_READ_BYTES", 500)
    await ops.publish(*(failed_workflow(f"e{n}", message="x" * 300) for n in range(9)))
    assert "of the last 2 events" in (await add(ops, "preview")).text


async def test_the_preview_skips_an_event_that_this_version_cannot_read(ops: Console):
    await ops.publish(failed_workflow("a"), failed_workflow("b"))
    (key, *_) = await ops.app.redis.command("KEYS", "ik:event:*")
    for name in await ops.app.redis.command("HKEYS", key):
        if b":" not in name:
            await ops.app.redis.command("HSET", key, name, b"no event")
    assert "of the last 1 event match." in (await add(ops, "preview")).text


@pytest.mark.parametrize("do", ["save", "preview"])
async def test_an_invalid_field_is_marked_and_the_form_keeps_its_values(ops: Console, do: str):
    page = await add(ops, do, destination=f"a b {HOSTILE}", label="no", quiet_hours="22:00-07:00")
    assert page.status == 422
    assert "Correct the marked fields: destination, label, time zone." in page.text
    assert "is not a label; write KEY=VALUE" in page.text
    assert page.html.count('aria-invalid="true"') == 3
    assert HOSTILE not in page.html
    assert 'value="a b &lt;script&gt;' in page.html
    assert await read_subscriptions(ops) == []


async def test_a_destination_that_cannot_be_posted_to_is_accepted_with_the_fix(ops: Console):
    page = await add(ops, destination="#lobby")
    assert "Deliveries to #lobby wait: " in page.text
    assert 'data-copy="/invite @infrakitchen"' in page.html


async def test_the_form_offers_joined_channels_and_existing_destinations(ops: Console):
    token = await ops.app.integrations.get_token("acme")
    (acme,) = await ops.app.integrations.list_all()
    await ops.app.directory_refresher.ensure_refreshed(acme, token, unless_younger_s=0, budget_s=5)
    await ops.subscribe("ada@example.com")
    page = await ops.open(ADD)
    assert re.findall(r'<option value="([^"]*[#@][^"]*)">', page.html) == ["#ops", "ada@example.com"]


async def test_adding_an_equal_subscription_again_adds_nothing(ops: Console, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "worker.audit")
    await add(ops, project="shop")
    page = await add(ops, project="shop")
    assert "Subscription exists: #ops" in page.text
    assert len(await read_subscriptions(ops)) == 1
    assert audit_messages(caplog) == ["subscription added"]


async def test_with_several_integrations_one_must_be_chosen(ops: Console):
    other = ops.sandbox.add_workspace("Umbrella")
    await add_integration(ops.app.integrations, ops.app.gateway, "other", Secret(other.token))
    page = await add(ops)
    assert (page.status, "Choose one" in page.text) == (422, True)
    await add(ops, integration="other")
    assert [one.integration for one in await read_subscriptions(ops)] == ["other"]


async def test_the_list_shows_filters_and_state_of_each_subscription(ops: Console):
    await ops.subscribe(project="shop", mention="<!channel>")
    await ops.subscribe("#lobby")
    await ops.deliver(failed_workflow())
    page = await ops.open("/subscriptions")
    assert "project shop mentions <!channel> from critical active" in page.text
    assert "every event active lane parked" in page.text
    assert "<!channel>" not in page.html


async def test_a_long_list_of_subscriptions_has_pages_and_a_search_over_all(
    ops: Console, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(subscriptions, "ROWS", 5)
    for number in range(9):
        await ops.subscribe(project=f"p{number}")
    page = await ops.open("/subscriptions")
    assert "5 of 9." in page.text
    assert [number for number in range(9) if f"project p{number}" in page.text] == [0, 1, 2, 3, 4]
    following = re.search(r'rel="next" href="([^"]*)"', page.html)
    assert following
    page = await ops.open(unescape(following[1]))
    assert [number for number in range(9) if f"project p{number}" in page.text] == [5, 6, 7, 8]
    assert "Next →" not in page.text
    assert (await ops.open("/subscriptions?after=nowhere")).status == 400
    page = await ops.open("/subscriptions?q=P7")
    assert ("project p7" in page.text, "project p1" in page.text) == (True, False)
    assert "No subscription with “unknown”" in (await ops.open("/subscriptions?q=unknown")).text


async def test_a_subscription_shows_its_parked_lane_with_the_fix(ops: Console):
    id_ = await ops.subscribe("#lobby", template="*{{ title }}*")
    await ops.deliver(failed_workflow())
    page = await ops.open(f"/subscriptions/{id_}")
    assert "Lane parked" in page.text
    assert "1 delivery waits." in page.text
    assert 'data-copy="/invite @infrakitchen"' in page.html
    assert "*{{ title }}*" in page.text


async def test_a_subscription_is_paused_resumed_muted_unmuted_tested_and_changed(
    ops: Console, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO, "worker.audit")
    id_ = await ops.subscribe()
    at = f"/subscriptions/{id_}"
    assert "paused" in (await send_action(ops, at, "pause")).text
    assert "active" in (await send_action(ops, at, "resume")).text
    page = await send_action(ops, at, "mute", span="2h")
    assert "Muted for 2 h" in page.text or "Muted for 1 h 59 min" in page.text
    assert "Muted: new events are not posted until" in page.text
    assert "Unmuted: new events are posted." in (await send_action(ops, at, "unmute")).text
    assert "muted" in (await send_action(ops, at, "mute", until="2100-01-01 08:00")).text
    page = await send_action(ops, at, "test")
    assert "Test message posted to #ops." in page.text
    page = await send_action(ops, at, "edit", **USUAL, destination="#ops", project="shop", do="save")
    assert "Subscription saved: #ops, project shop." in page.text
    assert (await read_subscriptions(ops))[0].muted_until
    assert audit_messages(caplog) == [
        "subscription paused", "subscription resumed", "subscription muted", "subscription unmuted",
        "subscription muted", "test message sent", "subscription changed",
    ]  # fmt: skip


async def send_action(ops: Console, at: str, what: str, **fields: object):
    await ops.open(at)
    return await ops.send(f"{at}/{what}", **fields)


async def test_a_notice_of_any_characters_fits_into_a_cookie(ops: Console):
    id_ = await ops.subscribe()
    await ops.open(f"/subscriptions/{id_}")
    page = await ops.browser.send(f"/subscriptions/{id_}/mute", {"until": "\U0001f4a5" * 500}, follow=False)
    (audit_messages,) = (one for one in page.headers.getall("set-cookie") if one.startswith("ik_slack_notice="))
    assert len(audit_messages.partition(";")[0]) < 4_000
    assert "Not muted: '\U0001f4a5" in (await ops.open(page.headers["location"])).text


async def test_an_invalid_mute_and_a_failed_test_have_an_error(ops: Console):
    id_ = await ops.subscribe("#lobby")
    page = await send_action(ops, f"/subscriptions/{id_}", "mute", until="yesterday")
    assert "Not muted: 'yesterday' is not a time" in page.text
    page = await send_action(ops, f"/subscriptions/{id_}", "test")
    assert "The test of #lobby failed" in page.text
    assert 'data-copy="/invite @infrakitchen"' in page.html


async def test_the_preview_while_editing_saves_nothing_and_keeps_a_pause(ops: Console):
    id_ = await ops.subscribe(paused=True)
    await ops.publish(failed_workflow())
    at = f"/subscriptions/{id_}"
    page = await send_action(ops, at, "edit", **USUAL, destination="#ops", project="shop", do="preview")
    assert "1 of the last 1 event match." in page.text
    assert (await read_subscriptions(ops))[0].project == ()
    await send_action(ops, at, "edit", **USUAL, destination="#ops", project="shop", do="save")
    (rule,) = await read_subscriptions(ops)
    assert (rule.project, rule.paused) == (("shop",), True)


async def test_removing_asks_for_confirmation_with_the_number_of_discarded_deliveries(
    ops: Console, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO, "worker.audit")
    id_, other = await ops.subscribe("#lobby"), await ops.subscribe("#lobby", project="shop")
    await ops.publish(failed_workflow("a"), failed_workflow("b"), failed_workflow("c", project="search"))
    page = await ops.open(f"/subscriptions/{other}/remove")
    assert "2 pending deliveries will be discarded" in page.text
    page = await ops.send(f"/subscriptions/{other}/remove")
    assert (page.path, "Discarded 2 pending deliveries." in page.text) == ("/subscriptions", True)
    assert [one.id for one in await read_subscriptions(ops)] == [id_]
    assert audit_messages(caplog) == ["subscription removed"]


@pytest.mark.parametrize("path", ["", "/edit", "/remove"])
async def test_an_unknown_subscription_is_404(ops: Console, path: str):
    page = await ops.open(f"/subscriptions/unknown{path}")
    assert (page.status, "Page not found" in page.text) == (404, True)


@pytest.mark.parametrize("what", ["pause", "resume", "mute", "unmute", "test", "remove", "edit"])
async def test_an_action_with_an_unknown_subscription_or_an_invalid_form_token_changes_nothing(ops: Console, what: str):
    await ops.open("/subscriptions")
    fields = {**USUAL, "destination": "#ops", "span": "1h", "do": "save"}
    assert (await ops.send(f"/subscriptions/unknown/{what}", **fields)).status == 404
    id_ = await ops.subscribe()
    page = await ops.send(f"/subscriptions/{id_}/{what}", **fields, form_token="wrong")
    assert page.status == 403
    assert [one.paused for one in await read_subscriptions(ops)] == [False]


@pytest.mark.parametrize("what", ["pause", "resume", "mute", "unmute", "test"])
async def test_the_address_of_an_action_opened_again_leads_to_the_subscription(ops: Console, what: str):
    id_ = await ops.subscribe()
    assert (await ops.open(f"/subscriptions/{id_}/{what}")).path == f"/subscriptions/{id_}"


async def test_texts_of_a_subscription_are_never_html(ops: Console):
    id_ = await ops.subscribe(project=[HOSTILE + "x" * 5_000], name=["💥"], template=f"{HOSTILE}{{{{ title }}}}")
    for path in ("/subscriptions", f"/subscriptions/{id_}", f"/subscriptions/{id_}/edit"):
        page = await ops.open(path)
        assert page.status == 200
        assert HOSTILE not in page.html
        assert "&lt;script&gt;" in page.html


async def test_a_destination_made_from_the_event_is_previewed_saved_and_changed(ops: Console):
    values = {"destination": "#team-{label:team}", "otherwise": "{requester}"}
    await ops.publish(
        *(failed_workflow(f"w{n}", labels={"team": team} if team else {}) for n, team in enumerate(("A b", "", "a-b")))
    )
    page = await add(ops, "preview", **values)
    assert "Would go to #team-a-b 2, nowhere 1." in page.text
    assert "Nowhere: label team is empty, requester is empty" in page.text
    assert 'value="{requester}"' in page.html
    await add(ops, **values)
    [stored] = await read_subscriptions(ops)
    assert (stored.destination, stored.otherwise) == ("#team-{label:team}", "{requester}")
    page = await ops.open(f"/subscriptions/{stored.id}")
    assert "made from the events" in page.text
    assert "otherwise to {requester}" in page.text
    changed = {"destination": "#ops", "otherwise": "#x", "do": "save"}
    wrong = await send_action(ops, f"/subscriptions/{stored.id}", "edit", **USUAL, **changed)
    assert "needs a destination that is made from the event" in wrong.text
