"""Integrations in the console: connected, tested, pointed at a channel, rotated, switched off, removed."""

import logging
import re
from collections.abc import AsyncIterator

import pytest
from browser import Browser, browsing

from worker.domain.integration import Secret
from worker.sandbox.slack import SlackSandbox
from worker.sandbox.state import Workspace
from worker.store.vault import generate_key

SETUP = "/integrations/slack/setup"
SOME = ("chat:write", "channels:read", "groups:read")


class Walk:
    """Somebody at the console, and the workspace it is about."""

    def __init__(self, browser: Browser, sandbox: SlackSandbox, acme: Workspace) -> None:
        self.browser, self.sandbox, self.acme = browser, sandbox, acme

    async def test(self, token: str = "", **fields: str):
        await self.browser.open(SETUP)
        written = {"name": "ops", "token": token, "do": "test"} | fields
        return await self.browser.send(SETUP, written)

    async def connect(self, token: str = "", name: str = "ops"):
        """An integration that is saved."""
        await self.browser.open(SETUP)
        about = {"name": name, "description": "What happens", "labels": "slack, alerts"}
        return await self.browser.send(SETUP, {**about, "token": token or self.acme.token, "do": "save"})

    async def subscribe(self, **fields: object):
        await self.browser.open("/integrations/ops/channel")
        return await self.browser.send("/integrations/ops/channel", fields)

    async def token(self) -> str:
        integrations = self.browser.web.made.integrations
        return (await integrations.token("ops")).reveal()


@pytest.fixture
async def walk() -> AsyncIterator[Walk]:
    sandbox = SlackSandbox()
    acme = sandbox.add_workspace("Acme")
    acme.add_channel("alerts")
    acme.add_channel("random", member=False)
    async with sandbox.serving(port=0) as url:
        settings = {"admin_password": None, "slack_api_url": url, "encryption_key": generate_key()}
        async with browsing(**settings) as browser:
            yield Walk(browser, sandbox, acme)


async def test_where_nothing_is_connected_the_list_leads_to_the_form(walk: Walk):
    page = await walk.browser.open("/integrations")
    assert "No Slack workspace is connected yet" in page.text
    assert f'href="{SETUP}"' in page.html


async def test_the_form_has_the_guides_fields_scopes_and_manifest(walk: Walk):
    page = await walk.browser.open(SETUP)
    for label in ("Integration Name", "Description", "Labels", "Bot Token", "Test Connection", "Save"):
        assert label in page.text
    for scope in ("channels:read", "chat:write", "groups:read", "users:read", "users:read.email"):
        assert f'data-copy="{scope}"' in page.html
    assert "token_rotation_enabled: false" in page.html


@pytest.mark.parametrize(
    ("token", "said"),
    [
        ("xoxp-1", "this is a user token (xoxp-…), not a bot token"),
        ("hello", "this is no token of a Slack bot"),
        ("xoxb-1-unknown", "This token cannot be used."),
        ("", "Paste the token first."),
    ],
)
async def test_a_token_that_cannot_be_used_says_why_and_is_not_saved(walk: Walk, token: str, said: str):
    page = await walk.test(token, do="save")
    assert (page.status, said in page.text) == (422, True)
    assert await walk.browser.web.made.integrations.all() == []


async def test_a_good_token_answers_in_place_and_can_be_saved_without_pasting_it_again(walk: Walk):
    page = await walk.test(walk.acme.token)
    assert (page.status, page.path) == (200, SETUP)
    assert "Everything is in place." in page.text
    assert "Slack knows it as @infrakitchen in workspace Acme" in page.text
    page = await walk.browser.send(SETUP, {"name": "ops", "do": "save"})
    assert page.path == "/integrations/ops/channel"
    assert await walk.token() == walk.acme.token


async def test_to_test_no_name_is_needed_and_to_save_one_is(walk: Walk):
    assert (await walk.test(walk.acme.token, name="")).status == 200
    page = await walk.browser.send(SETUP, {"name": "", "do": "save"})
    assert (page.status, "A name has 1 to 80 printable characters" in page.text) == (422, True)


async def test_a_token_that_lacks_scopes_is_saved_only_by_who_says_so(walk: Walk):
    less = walk.acme.add_token(SOME)
    page = await walk.test(less, do="save")
    assert (page.status, "missing: users:read, users:read.email" in page.text) == (422, True)
    assert "Save it although users:read, users:read.email are missing" in page.text
    assert "paste it here" in page.text
    page = await walk.browser.send(SETUP, {"name": "ops", "do": "save", "anyway": "yes"})
    assert page.path == "/integrations/ops/channel"
    assert await walk.token() == less


async def test_a_name_that_is_taken_is_refused_before_anything_is_changed(walk: Walk):
    await walk.connect()
    other = walk.acme.add_token()
    page = await walk.connect(other)
    assert (page.status, "There is one of that name" in page.text) == (422, True)
    assert await walk.token() == walk.acme.token


async def test_without_an_encryption_key_the_form_says_how_to_make_one():
    async with browsing(admin_password=None) as browser:
        await browser.open(SETUP)
        assert 'data-copy="ik-slack keys generate"' in browser.page.html
        page = await browser.send(SETUP, {"name": "ops", "token": "xoxb-1-secret", "do": "save"})
        assert (page.status, "ENCRYPTION_KEY is not set" in page.text) == (409, True)
        assert "xoxb-1-secret" not in page.html


async def test_no_token_is_ever_in_a_page_or_a_log(walk: Walk, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    less, good, pages = walk.acme.add_token(SOME), walk.acme.token, []
    for token in (less, good, "xoxp-1-2-leak", "xoxb-1-2-leak"):
        pages.append(await walk.test(token))
        pages.append(await walk.test(token, do="save", name=""))
    pages.append(await walk.connect())
    for token in (less, "xoxp-1-2-leak", "xoxb-1-2-leak"):
        await walk.browser.open("/integrations/ops")
        pages.append(await walk.browser.send("/integrations/ops/rotate", {"token": token}))
    told = "\n".join((*(f"{page.html}{page.headers}" for page in pages), caplog.text))
    for token in (less, good, "leak"):
        assert token not in told


async def test_a_token_that_was_tested_is_sealed_in_redis_and_gone_when_the_form_is_opened_anew(walk: Walk):
    await walk.test(walk.acme.token)
    server = walk.browser.web.made.server
    (key,) = await server.command("KEYS", "ik:session:*:tried")
    assert b"xoxb" not in await server.command("GET", key)
    await walk.browser.open(SETUP)
    assert await server.command("KEYS", "ik:session:*:tried") == []


async def test_another_browser_does_not_save_a_token_that_was_tested_in_this_one(walk: Walk):
    await walk.test(walk.acme.token)
    other = Browser(walk.browser.web)
    async with other.client:
        await other.open("/integrations")
        await other.open(SETUP)
        page = await other.send(SETUP, {"name": "ops", "do": "save"})
    assert "Paste the token first." in page.text


async def test_the_first_channel_is_one_the_bot_is_in_and_others_come_with_the_line_to_paste(walk: Walk):
    page = await walk.connect()
    members, others = page.text.split("Channels it is not in")
    assert "#alerts" in members
    assert "#random" in others
    assert 'data-copy="/invite @infrakitchen"' in page.html


async def test_a_part_of_a_name_finds_a_channel_among_very_many(walk: Walk):
    for number in range(100):
        walk.acme.add_channel(f"team-{number:03}")
    page = await walk.connect()
    assert "and 77 more" in page.text
    page = await walk.browser.open("/integrations/ops/channel?q=%23TEAM-09")
    assert re.findall(r'value="#(team-\d+)"', page.html) == [f"team-09{number}" for number in range(10)]
    assert "None with “nothing”" in (await walk.browser.open("/integrations/ops/channel?q=nothing")).text


async def test_a_chosen_channel_is_a_subscription(walk: Walk):
    await walk.connect()
    page = await walk.subscribe(destination="#alerts", kind="alert", min_severity="error")
    assert page.path == "/integrations/ops"
    assert "#alerts is told: kind alert, severity error or worse." in page.text
    (stored,) = await walk.browser.web.made.subscriptions.all()
    assert (stored.destination, stored.filters.kinds) == ("#alerts", ("alert",))
    page = await walk.subscribe(destination="#alerts", kind="alert", min_severity="error")
    assert "#alerts was told already" in page.text
    assert len(await walk.browser.web.made.subscriptions.all()) == 1


async def test_a_channel_the_bot_is_not_in_is_taken_with_the_step_that_frees_it(walk: Walk):
    await walk.connect()
    page = await walk.subscribe(destination="#random")
    assert "#random cannot be posted to yet" in page.text
    assert "/invite @infrakitchen" in page.text


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "Choose a channel, or write where to."),
        ({"other": "not a place"}, "is no destination"),
        ({"destination": "#alerts", "kind": "nonsense"}, "is none of"),
        ({"destination": "#alerts", "min_severity": "dreadful"}, "is none of"),
    ],
)
async def test_a_choice_that_is_none_says_so(walk: Walk, fields: dict[str, str], said: str):
    await walk.connect()
    page = await walk.subscribe(**fields)
    assert (page.status, said in page.text) == (422, True)


async def test_a_test_message_arrives_or_says_why_not(walk: Walk):
    await walk.connect()
    await walk.subscribe(destination="#alerts")
    page = await walk.browser.send("/integrations/ops/test-message", {"destination": "#alerts"})
    assert "A test message is in #alerts now." in page.text
    (post,) = walk.acme.channel("alerts").posts.values()
    assert "This is a test" in str(post.sent)
    page = await walk.browser.send("/integrations/ops/test-message", {"destination": "#random"})
    assert "/invite @infrakitchen" in page.text


async def test_the_connection_is_tested_in_place(walk: Walk):
    await walk.connect()
    await walk.subscribe(destination="#alerts")
    page = await walk.browser.send("/integrations/ops/test")
    assert "Everything is in place" in page.text
    assert "can be posted to" in page.text
    walk.acme.revoke(walk.acme.token)
    page = await walk.browser.send("/integrations/ops/test")
    assert "Not everything is in place" in page.text
    assert (await walk.browser.open("/integrations/ops/test")).path == "/integrations/ops"


async def test_a_token_is_rotated_after_the_same_checks(walk: Walk):
    await walk.connect()
    page = await walk.browser.send("/integrations/ops/rotate", {"token": "xoxp-1"})
    assert (page.status, "not a bot token" in page.text) == (422, True)
    page = await walk.browser.send("/integrations/ops/rotate", {})
    assert (page.status, "Paste the token first." in page.text) == (422, True)
    assert await walk.token() == walk.acme.token
    fresh = walk.acme.add_token()
    page = await walk.browser.send("/integrations/ops/rotate", {"token": fresh})
    assert "ops posts with the new token from now on." in page.text
    assert await walk.token() == fresh


async def test_a_token_of_another_workspace_is_taken_only_by_who_says_so(walk: Walk):
    await walk.connect()
    other = walk.sandbox.add_workspace("Umbrella")
    page = await walk.browser.send("/integrations/ops/rotate", {"token": other.token})
    assert (page.status, "Move from Acme to Umbrella" in page.text) == (422, True)
    assert await walk.token() == walk.acme.token
    page = await walk.browser.send("/integrations/ops/rotate", {"move": "yes"})
    assert "moved from Acme to Umbrella" in page.text
    assert await walk.token() == other.token


async def test_a_new_token_that_lacks_scopes_is_taken_only_by_who_says_so(walk: Walk):
    await walk.connect()
    less = walk.acme.add_token(SOME)
    page = await walk.browser.send("/integrations/ops/rotate", {"token": less})
    assert (page.status, "Save it although" in page.text) == (422, True)
    page = await walk.browser.send("/integrations/ops/rotate", {"anyway": "yes"})
    assert await walk.token() == less


async def test_it_is_switched_off_and_on(walk: Walk):
    await walk.connect()
    page = await walk.browser.send("/integrations/ops/disable")
    assert "nothing is posted, what is for it waits" in page.text
    page = await walk.browser.send("/integrations/ops/enable")
    assert "Enabled ops." in page.text
    assert "disabled" not in (await walk.browser.open("/integrations")).text


async def test_why_it_is_parked_stands_on_its_page_with_the_step(walk: Walk):
    await walk.connect()
    made = walk.browser.web.made
    hint = "Reinstall the app, then run `ik-slack integrations rotate ops`."
    await made.integrations.park("ops", "token_revoked", "the token was revoked", hint, probe_s=60)
    page = await walk.browser.open("/integrations/ops")
    assert "The token was revoked" in page.text
    assert "Reinstall the app, then paste it here." in page.text
    assert "the token was revoked" in (await walk.browser.open("/integrations")).text


async def test_its_channels_are_read_anew(walk: Walk):
    await walk.connect()
    walk.acme.add_channel("new-one")
    page = await walk.browser.send("/integrations/ops/refresh")
    assert "The channels were read anew." in page.text
    assert "#new-one" in page.text
    walk.acme.revoke(walk.acme.token)
    page = await walk.browser.send("/integrations/ops/refresh")
    assert "The channels were not read" in page.text


async def test_removing_asks_first_and_takes_subscriptions_along_only_when_told(walk: Walk):
    await walk.connect()
    await walk.subscribe(destination="#alerts")
    page = await walk.browser.open("/integrations/ops/remove")
    assert "Remove ops?" in page.text
    assert "#alerts" in page.text
    page = await walk.browser.send("/integrations/ops/remove")
    assert (page.status, "subscriptions use it" in page.text) == (409, True)
    await walk.browser.open("/integrations/ops/remove")
    page = await walk.browser.send("/integrations/ops/remove", {"with_subscriptions": "yes"})
    assert (page.path, "Removed ops, and forgot its token." in page.text) == ("/integrations", True)
    assert await walk.browser.web.made.subscriptions.all() == ()


@pytest.mark.parametrize("path", ["", "/channel", "/remove", "/test"])
async def test_one_that_is_not_there_says_so(walk: Walk, path: str):
    page = await walk.browser.open(f"/integrations/nobody{path}")
    assert (page.status, "There is no such page" in page.text) == (404, True)


async def test_what_people_wrote_is_shown_as_text_and_nothing_else(walk: Walk):
    await walk.connect(name="<script>alert(1)</script>")
    page = await walk.browser.open("/integrations")
    assert "<script>alert" not in page.html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.html


async def test_each_change_is_one_line_of_the_audit(walk: Walk, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO, "worker.web"):
        await walk.connect()
        await walk.subscribe(destination="#alerts")
        for what in ("test-message", "rotate", "disable", "enable", "refresh"):
            fields = {"destination": "#alerts", "token": walk.acme.token}
            await walk.browser.open("/integrations/ops")
            await walk.browser.send(f"/integrations/ops/{what}", fields)
        await walk.browser.send("/integrations/ops/remove", {"with_subscriptions": "yes"})
    told = [record.what for record in caplog.records if record.getMessage() == "audit"]
    assert told == [
        "integration added", "subscription added", "test message sent", "token rotated",
        "integration disabled", "integration enabled", "channels refreshed", "integration removed",
    ]  # fmt: skip


async def test_a_token_that_this_key_does_not_open_is_said_with_the_step(walk: Walk):
    await walk.connect()
    made = walk.browser.web.made
    other = type(made.vault)(generate_key())
    await type(made.integrations)(made.server, other).save(
        await made.integrations.find("ops"), Secret("xoxb-other")
    )
    page = await walk.browser.open("/integrations/ops")
    assert "cannot be opened" in page.text


async def test_a_token_that_fails_keeps_no_page_from_being_shown(walk: Walk):
    await walk.connect()
    walk.acme.revoke(walk.acme.token)
    for path in ("", "/channel", "/remove"):
        assert (await walk.browser.open(f"/integrations/ops{path}")).status == 200
