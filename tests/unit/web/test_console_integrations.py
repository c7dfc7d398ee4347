"""Integrations in the console: connected, tested, rotated, disabled and removed."""

import logging
import re
from collections.abc import AsyncIterator

import pytest
from support.web import Browser, open_browser

from worker.domain.hints import Action, Hint, Step
from worker.domain.integration import Secret
from worker.sandbox.slack.server import SlackSandbox
from worker.sandbox.slack.workspace import Workspace
from worker.store.token_cipher import generate_key

pytestmark = pytest.mark.slow

SETUP = "/integrations/slack/setup"
SOME = ("chat:write", "channels:read", "groups:read")


class ConsoleSteps:
    """A person's steps through the console, with the workspace."""

    def __init__(self, browser: Browser, sandbox: SlackSandbox, acme: Workspace) -> None:
        self.browser, self.sandbox, self.acme = browser, sandbox, acme

    async def test(self, token: str = "", **fields: str):
        await self.browser.open(SETUP)
        written = {"name": "ops", "token": token, "do": "test"} | fields
        return await self.browser.send(SETUP, written)

    async def connect(self, token: str = "", name: str = "ops"):
        """Save an integration and return the page that follows."""
        await self.browser.open(SETUP)
        about = {"name": name, "description": "What happens", "labels": "slack, alerts"}
        return await self.browser.send(SETUP, {**about, "token": token or self.acme.token, "do": "save"})

    async def subscribe(self, **fields: object):
        await self.browser.open("/integrations/ops/channel")
        return await self.browser.send("/integrations/ops/channel", fields)

    async def token(self) -> str:
        integrations = self.browser.web.app.integrations
        return (await integrations.get_token("ops")).reveal()


@pytest.fixture
async def console_steps() -> AsyncIterator[ConsoleSteps]:
    sandbox = SlackSandbox()
    acme = sandbox.add_workspace("Acme")
    acme.add_channel("alerts")
    acme.add_channel("random", member=False)
    async with sandbox.serving(port=0) as url:
        settings = {"admin_password": None, "slack_api_url": url, "encryption_key": generate_key()}
        async with open_browser(**settings) as browser:
            yield ConsoleSteps(browser, sandbox, acme)


async def test_an_empty_list_of_integrations_leads_to_the_form(console_steps: ConsoleSteps):
    page = await console_steps.browser.open("/integrations")
    assert "No integrations" in page.text
    assert f'href="{SETUP}"' in page.html


async def test_the_form_has_the_guides_fields_scopes_and_manifest(console_steps: ConsoleSteps):
    page = await console_steps.browser.open(SETUP)
    for label in ("Integration Name", "Description", "Labels", "Bot Token", "Test Connection", "Save"):
        assert label in page.text
    for scope in ("channels:read", "chat:write", "groups:read", "users:read", "users:read.email"):
        assert f'data-copy="{scope}"' in page.html
    assert "token_rotation_enabled: false" in page.html


@pytest.mark.parametrize(
    ("token", "said"),
    [
        ("xoxp-1", "this is a user token (xoxp-…), not a bot token"),
        ("hello", "this is not a Slack bot token"),
        ("xoxb-1-unknown", "The token cannot be used"),
        ("", "Paste the token first."),
    ],
)
async def test_an_unusable_token_is_not_saved_and_has_a_reason(console_steps: ConsoleSteps, token: str, said: str):
    page = await console_steps.test(token, do="save")
    assert (page.status, said in page.text) == (422, True)
    assert await console_steps.browser.web.app.integrations.list_all() == []


async def test_a_tested_token_can_be_saved_without_pasting_it_again(console_steps: ConsoleSteps):
    page = await console_steps.test(console_steps.acme.token)
    assert (page.status, page.path) == (200, SETUP)
    assert "All checks passed" in page.text
    assert "Slack knows it as @infrakitchen in workspace Acme" in page.text
    page = await console_steps.browser.send(SETUP, {"name": "ops", "do": "save"})
    assert page.path == "/integrations/ops/channel"
    assert await console_steps.token() == console_steps.acme.token


async def test_a_test_needs_no_name_and_saving_does(console_steps: ConsoleSteps):
    assert (await console_steps.test(console_steps.acme.token, name="")).status == 200
    page = await console_steps.browser.send(SETUP, {"name": "", "do": "save"})
    assert (page.status, "A name has 1 to 80 printable characters" in page.text) == (422, True)


async def test_a_token_with_missing_scopes_is_saved_only_after_confirmation(console_steps: ConsoleSteps):
    less = console_steps.acme.add_token(SOME)
    page = await console_steps.test(less, do="save")
    assert (page.status, "missing: users:read, users:read.email" in page.text) == (422, True)
    assert "Save the token without users:read, users:read.email." in page.text
    assert "If that gives a new token, add the integration." in page.text
    page = await console_steps.browser.send(SETUP, {"name": "ops", "do": "save", "anyway": "yes"})
    assert page.path == "/integrations/ops/channel"
    assert await console_steps.token() == less


async def test_an_existing_name_is_refused_before_anything_is_changed(console_steps: ConsoleSteps):
    await console_steps.connect()
    other = console_steps.acme.add_token()
    page = await console_steps.connect(other)
    assert (page.status, "This name is taken" in page.text) == (422, True)
    assert await console_steps.token() == console_steps.acme.token


async def test_without_an_encryption_key_the_form_names_the_command_that_makes_one():
    async with open_browser(admin_password=None) as browser:
        await browser.open(SETUP)
        assert 'data-copy="ik-slack keys generate"' in browser.page.html
        page = await browser.send(SETUP, {"name": "ops", "token": "xoxb-1-secret", "do": "save"})
        assert (page.status, "ENCRYPTION_KEY is not set" in page.text) == (409, True)
        assert "xoxb-1-secret" not in page.html


async def test_no_page_or_log_contains_a_token(console_steps: ConsoleSteps, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    less, good, pages = console_steps.acme.add_token(SOME), console_steps.acme.token, []
    for token in (less, good, "xoxp-1-2-leak", "xoxb-1-2-leak"):
        pages.append(await console_steps.test(token))
        pages.append(await console_steps.test(token, do="save", name=""))
    pages.append(await console_steps.connect())
    for token in (less, "xoxp-1-2-leak", "xoxb-1-2-leak"):
        await console_steps.browser.open("/integrations/ops")
        pages.append(await console_steps.browser.send("/integrations/ops/rotate", {"token": token}))
    all_output = "\n".join((*(f"{page.html}{page.headers}" for page in pages), caplog.text))
    for token in (less, good, "leak"):
        assert token not in all_output


async def test_a_tested_token_is_encrypted_in_redis_and_deleted_when_the_form_is_opened_again(
    console_steps: ConsoleSteps,
):
    await console_steps.test(console_steps.acme.token)
    server = console_steps.browser.web.app.redis
    (key,) = await server.command("KEYS", "ik:session:*:tried")
    assert b"xoxb" not in await server.command("GET", key)
    await console_steps.browser.open(SETUP)
    assert await server.command("KEYS", "ik:session:*:tried") == []


async def test_another_browser_cannot_save_the_tested_token(console_steps: ConsoleSteps):
    await console_steps.test(console_steps.acme.token)
    other = Browser(console_steps.browser.web)
    async with other.client:
        await other.log_in_by_key()
        await other.open(SETUP)
        page = await other.send(SETUP, {"name": "ops", "do": "save"})
    assert "Paste the token first." in page.text


async def test_joined_channels_come_first_and_others_have_the_invite_command(console_steps: ConsoleSteps):
    page = await console_steps.connect()
    members, others = page.text.split("Channels without the bot")
    assert "#alerts" in members
    assert "#random" in others
    assert 'data-copy="/invite @infrakitchen"' in page.html


async def test_a_part_of_a_name_finds_a_channel_among_very_many(console_steps: ConsoleSteps):
    for number in range(100):
        console_steps.acme.add_channel(f"team-{number:03}")
    page = await console_steps.connect()
    assert "and 77 more" in page.text
    page = await console_steps.browser.open("/integrations/ops/channel?q=%23TEAM-09")
    assert re.findall(r'value="#(team-\d+)"', page.html) == [f"team-09{number}" for number in range(10)]
    assert "No channel with “nothing”" in (await console_steps.browser.open("/integrations/ops/channel?q=nothing")).text


async def test_choosing_a_channel_adds_a_subscription(console_steps: ConsoleSteps):
    await console_steps.connect()
    page = await console_steps.subscribe(destination="#alerts", kind="alert", min_severity="error")
    assert page.path == "/integrations/ops"
    assert "Subscription added: #alerts, kind alert, severity error or worse." in page.text
    (stored,) = await console_steps.browser.web.app.subscriptions.list_all()
    assert (stored.destination, stored.filters.kinds) == ("#alerts", ("alert",))
    page = await console_steps.subscribe(destination="#alerts", kind="alert", min_severity="error")
    assert "This subscription exists: #alerts" in page.text
    assert len(await console_steps.browser.web.app.subscriptions.list_all()) == 1


async def test_a_channel_without_the_bot_is_accepted_with_the_fix(console_steps: ConsoleSteps):
    await console_steps.connect()
    page = await console_steps.subscribe(destination="#random")
    assert "Deliveries to #random wait: " in page.text
    assert "/invite @infrakitchen" in page.text


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "Choose a channel, or enter another destination."),
        ({"other": "not a place"}, "is not a destination"),
        ({"destination": "#alerts", "kind": "nonsense"}, "is not one of"),
        ({"destination": "#alerts", "min_severity": "dreadful"}, "is not one of"),
    ],
)
async def test_an_invalid_choice_of_channel_has_an_error(
    console_steps: ConsoleSteps, fields: dict[str, str], said: str
):
    await console_steps.connect()
    page = await console_steps.subscribe(**fields)
    assert (page.status, said in page.text) == (422, True)


async def test_a_test_message_is_posted_or_the_reason_is_shown(console_steps: ConsoleSteps):
    await console_steps.connect()
    await console_steps.subscribe(destination="#alerts")
    page = await console_steps.browser.send("/integrations/ops/test-message", {"destination": "#alerts"})
    assert "Test message posted to #alerts." in page.text
    (post,) = console_steps.acme.get_channel("alerts").posts.values()
    assert "This is a test" in str(post.sent)
    page = await console_steps.browser.send("/integrations/ops/test-message", {"destination": "#random"})
    assert "/invite @infrakitchen" in page.text


async def test_the_connection_is_tested_on_the_page_of_the_integration(console_steps: ConsoleSteps):
    await console_steps.connect()
    await console_steps.subscribe(destination="#alerts")
    page = await console_steps.browser.send("/integrations/ops/test")
    assert "All checks passed" in page.text
    assert "can be posted to" in page.text
    console_steps.acme.revoke(console_steps.acme.token)
    page = await console_steps.browser.send("/integrations/ops/test")
    assert "Some checks failed" in page.text
    assert (await console_steps.browser.open("/integrations/ops/test")).path == "/integrations/ops"


async def test_a_token_is_rotated_after_the_same_checks(console_steps: ConsoleSteps):
    await console_steps.connect()
    page = await console_steps.browser.send("/integrations/ops/rotate", {"token": "xoxp-1"})
    assert (page.status, "not a bot token" in page.text) == (422, True)
    page = await console_steps.browser.send("/integrations/ops/rotate", {})
    assert (page.status, "Paste the token first." in page.text) == (422, True)
    assert await console_steps.token() == console_steps.acme.token
    fresh = console_steps.acme.add_token()
    page = await console_steps.browser.send("/integrations/ops/rotate", {"token": fresh})
    assert "ops now uses the new token." in page.text
    assert await console_steps.token() == fresh


async def test_a_token_of_another_workspace_is_accepted_only_after_confirmation(console_steps: ConsoleSteps):
    await console_steps.connect()
    other = console_steps.sandbox.add_workspace("Umbrella")
    page = await console_steps.browser.send("/integrations/ops/rotate", {"token": other.token})
    assert (page.status, "Move from Acme to Umbrella" in page.text) == (422, True)
    assert await console_steps.token() == console_steps.acme.token
    page = await console_steps.browser.send("/integrations/ops/rotate", {"move": "yes"})
    assert "moved from Acme to Umbrella" in page.text
    assert await console_steps.token() == other.token


async def test_a_new_token_with_missing_scopes_is_accepted_only_after_confirmation(console_steps: ConsoleSteps):
    await console_steps.connect()
    less = console_steps.acme.add_token(SOME)
    page = await console_steps.browser.send("/integrations/ops/rotate", {"token": less})
    assert (page.status, "Save the token without" in page.text) == (422, True)
    page = await console_steps.browser.send("/integrations/ops/rotate", {"anyway": "yes"})
    assert await console_steps.token() == less


async def test_an_integration_is_disabled_and_enabled(console_steps: ConsoleSteps):
    await console_steps.connect()
    page = await console_steps.browser.send("/integrations/ops/disable")
    assert "nothing is posted, and its deliveries wait" in page.text
    page = await console_steps.browser.send("/integrations/ops/enable")
    assert "ops enabled." in page.text
    assert "disabled" not in (await console_steps.browser.open("/integrations")).text


async def test_the_page_of_a_parked_integration_has_its_reason_and_fix(console_steps: ConsoleSteps):
    await console_steps.connect()
    app = console_steps.browser.web.app
    hint = Hint.of("Reinstall the app, then ", Step(Action.ROTATE_TOKEN, "ops"), ".")
    await app.integrations.park("ops", "token_revoked", "the token was revoked", hint, probe_s=60)
    page = await console_steps.browser.open("/integrations/ops")
    assert "The token was revoked" in page.text
    assert "Reinstall the app, then rotate the token." in page.text
    assert "the token was revoked" in (await console_steps.browser.open("/integrations")).text


async def test_the_directory_of_an_integration_is_refreshed(console_steps: ConsoleSteps):
    await console_steps.connect()
    console_steps.acme.add_channel("new-one")
    page = await console_steps.browser.send("/integrations/ops/refresh")
    assert "Channels refreshed." in page.text
    assert "#new-one" in page.text
    console_steps.acme.revoke(console_steps.acme.token)
    page = await console_steps.browser.send("/integrations/ops/refresh")
    assert "The channels could not be read" in page.text


async def test_removing_asks_for_confirmation_and_removes_subscriptions_only_if_selected(console_steps: ConsoleSteps):
    await console_steps.connect()
    await console_steps.subscribe(destination="#alerts")
    page = await console_steps.browser.open("/integrations/ops/remove")
    assert "Remove ops?" in page.text
    assert "#alerts" in page.text
    page = await console_steps.browser.send("/integrations/ops/remove")
    assert (page.status, "it is used by" in page.text) == (409, True)
    await console_steps.browser.open("/integrations/ops/remove")
    page = await console_steps.browser.send("/integrations/ops/remove", {"with_subscriptions": "yes"})
    assert (page.path, "ops removed, and its token deleted." in page.text) == ("/integrations", True)
    assert await console_steps.browser.web.app.subscriptions.list_all() == ()


@pytest.mark.parametrize("path", ["", "/channel", "/remove", "/test"])
async def test_an_unknown_integration_is_404(console_steps: ConsoleSteps, path: str):
    page = await console_steps.browser.open(f"/integrations/unknown{path}")
    assert (page.status, "Page not found" in page.text) == (404, True)


async def test_texts_of_an_integration_are_never_html(console_steps: ConsoleSteps):
    await console_steps.connect(name="<script>alert(1)</script>")
    page = await console_steps.browser.open("/integrations")
    assert "<script>alert" not in page.html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.html


async def test_each_change_has_one_audit_line(console_steps: ConsoleSteps, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO, "worker.audit"):
        await console_steps.connect()
        await console_steps.subscribe(destination="#alerts")
        for what in ("test-message", "rotate", "disable", "enable", "refresh"):
            fields = {"destination": "#alerts", "token": console_steps.acme.token}
            await console_steps.browser.open("/integrations/ops")
            await console_steps.browser.send(f"/integrations/ops/{what}", fields)
        await console_steps.browser.send("/integrations/ops/remove", {"with_subscriptions": "yes"})
    all_output = [record.what for record in caplog.records if record.getMessage() == "change audited"]
    assert all_output == [
        "integration added", "subscription added", "test message sent", "token rotated",
        "integration disabled", "integration enabled", "channels refreshed", "integration removed",
    ]  # fmt: skip


async def test_a_token_that_the_key_does_not_decrypt_is_reported_with_the_fix(console_steps: ConsoleSteps):
    await console_steps.connect()
    app = console_steps.browser.web.app
    other = type(app.token_cipher)(generate_key())
    await type(app.integrations)(app.redis, other).save(await app.integrations.find("ops"), Secret("xoxb-other"))
    page = await console_steps.browser.open("/integrations/ops")
    assert "cannot be decrypted" in page.text


async def test_a_failing_token_does_not_prevent_any_page(console_steps: ConsoleSteps):
    await console_steps.connect()
    console_steps.acme.revoke(console_steps.acme.token)
    for path in ("", "/channel", "/remove"):
        assert (await console_steps.browser.open(f"/integrations/ops{path}")).status == 200
