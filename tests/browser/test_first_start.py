"""From the first start to a message in Slack, and what comes later, by clicks alone."""

import pytest
from conftest import PASSWORD, Browser
from installation import Installation

SCOPES = ("channels:read", "chat:write", "groups:read", "users:read")  # users:read.email is missing


async def log_in(browser: Browser) -> None:
    await browser.open("/")
    await browser.fill(Password="not this one")
    await browser.press("Log in")
    assert await browser.reads("That is not the password.")
    await browser.fill(Password=PASSWORD)
    await browser.press("Log in")


async def connect(one: Installation, browser: Browser) -> None:
    """The setup form, with every kind of token there is."""
    await browser.open("/integrations/slack/setup")
    await browser.fill(Integration_Name="slack-infra-alerts", Labels="slack, alerts")
    await browser.fill(Bot_Token="xoxb-0-0-nobodyknowsthis")
    await browser.press("Test Connection")
    assert await browser.reads("This token cannot be used.")
    lacking = one.workspace.add_token(SCOPES)
    await browser.fill(Bot_Token=lacking)
    await browser.press("Test Connection")
    assert await browser.reads("users:read.email")
    await browser.press("Save")
    assert await browser.reads("users:read.email")  # not without knowing
    await browser.fill(Bot_Token=one.workspace.token)
    await browser.press("Test Connection")
    assert await browser.reads("Everything is in place.")
    assert one.workspace.token not in await browser.page.content()
    await browser.press("Save")
    assert await browser.reads("Saved: slack-infra-alerts")


@pytest.mark.slow
async def test_from_the_first_start_to_a_message_in_slack(one: Installation, browser: Browser):
    one.workspace.add_channel("ops")
    one.workspace.add_channel("lobby", member=False)
    await log_in(browser)
    await connect(one, browser)
    await browser.page.get_by_label("#ops").check()
    await browser.press("Tell this channel")
    assert await browser.reads("#ops is told: every event.")
    await browser.press("Send a test message to #ops")
    assert await browser.reads("A test message is in #ops now.")
    assert len(one.messages("#ops")) == 1
