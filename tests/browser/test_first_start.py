"""From the first start to a message in Slack, and what comes later, by clicks alone."""

import pytest
from support.chromium import PASSWORD, Browser
from support.events import numbered_alert
from support.installation import Installation

SCOPES = ("channels:read", "chat:write", "groups:read", "users:read")  # users:read.email is missing


async def log_in(browser: Browser) -> None:
    await browser.open("/")
    await browser.fill(Password="not this one")
    await browser.press("Log in")
    assert await browser.reads("Wrong password.")
    await browser.fill(Password=PASSWORD)
    await browser.press("Log in")


async def connect(installation: Installation, browser: Browser) -> None:
    """The setup form, with every kind of token there is."""
    await browser.open("/integrations/slack/setup")
    await browser.fill(Integration_Name="slack-infra-alerts", Labels="slack, alerts")
    await browser.fill(Bot_Token="xoxb-0-0-nobodyknowsthis")
    await browser.press("Test Connection")
    assert await browser.reads("The token cannot be used")
    lacking = installation.workspace.add_token(SCOPES)
    await browser.fill(Bot_Token=lacking)
    await browser.press("Test Connection")
    assert await browser.reads("users:read.email")
    await browser.press("Save")
    assert await browser.reads("users:read.email")  # not without knowing
    await browser.fill(Bot_Token=installation.workspace.token)
    await browser.press("Test Connection")
    assert await browser.reads("All checks passed")
    assert installation.workspace.token not in await browser.page.content()
    await browser.press("Save")
    assert await browser.reads("Integration slack-infra-alerts saved")


async def subscribe(browser: Browser, destination: str, project: str) -> None:
    """By the form, with a preview on recent events."""
    await browser.open("/subscriptions/add")
    await browser.page.locator("#destination").fill(destination)
    await browser.page.locator("#project").fill(project)
    await browser.press("Preview")
    assert await browser.reads("of the last")
    await browser.press("Add subscription")


async def see_it_delivered(installation: Installation, browser: Browser) -> None:
    """An event, from the list of deliveries to its own page."""
    await installation.publish(numbered_alert(1))
    await browser.reads_soon("evt-1", "/deliveries?state=delivered")
    await browser.follow("evt-1")
    assert await browser.reads("Message")
    await browser.follow("Explain event")
    assert await browser.reads("#ops")


async def free_a_parked_lane(installation: Installation, browser: Browser) -> None:
    """Told where the bot is not: the step stands there, and once it is taken all goes on by itself."""
    await subscribe(browser, "#lobby", "lobby")
    await installation.publish(numbered_alert(2, "lobby"))
    await browser.reads_soon("/invite @infrakitchen", "/parked")
    assert await browser.reads("#lobby")
    installation.workspace.invite("#lobby")
    await browser.reads_soon("No parked lanes", "/parked")
    await browser.reads_soon("evt-2", "/deliveries?state=delivered")
    assert installation.marks("#lobby") == ["evt-2"]


async def replay_a_dead_letter(installation: Installation, browser: Browser) -> None:
    """What Slack refused in any form is found, replayed and told."""
    installation.sandbox.fault("invalid_blocks", times=2)
    await installation.publish(numbered_alert(3))
    await browser.reads_soon("evt-3", "/dead-letters")
    await browser.follow("invalid_blocks")
    await browser.follow("Replay all 1 …")
    assert await browser.reads("Replay 1 dead letter?")
    await browser.press("Replay 1")
    await browser.reads_soon("evt-3", "/deliveries?state=delivered")
    assert "evt-3" in installation.marks("#ops")


@pytest.mark.slow
async def test_a_person_connects_subscribes_and_replays_a_dead_letter_in_the_browser(
    installation: Installation, browser: Browser
):
    installation.workspace.add_channel("ops")
    installation.workspace.add_channel("lobby", member=False)
    await log_in(browser)
    await connect(installation, browser)
    await browser.page.get_by_label("#ops").check()
    await browser.press("Add subscription")
    assert await browser.reads("Subscription added: #ops, every event.")
    await browser.press("Send a test message to #ops")
    assert await browser.reads("Test message posted to #ops.")
    assert len(installation.messages("#ops")) == 1
    await see_it_delivered(installation, browser)
    await free_a_parked_lane(installation, browser)
    await replay_a_dead_letter(installation, browser)
    for page in ("/", "/integrations", "/subscriptions"):
        await browser.open(page)
    await browser.press("Log out")
    await browser.open("/deliveries")
    assert "/login" in browser.page.url
