"""From the first start to a message in Slack, and what comes later, by clicks alone."""

import pytest
from conftest import PASSWORD, Browser
from installation import Installation, alert

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


async def subscribe(browser: Browser, destination: str, project: str) -> None:
    """By the form, with a look at what it would have told."""
    await browser.open("/subscriptions/add")
    await browser.page.locator("#destination").fill(destination)
    await browser.page.locator("#project").fill(project)
    await browser.press("Preview")
    assert await browser.reads("of the last")
    await browser.press("Add it")


async def see_it_told(one: Installation, browser: Browser) -> None:
    """An event, from the list of deliveries to its own page."""
    await one.publish(alert(1))
    await browser.reads_soon("evt-1", "/deliveries?state=delivered")
    await browser.follow("evt-1")
    assert await browser.reads("The message")
    await browser.follow("Explain the event")
    assert await browser.reads("#ops")


async def free_a_parked_lane(one: Installation, browser: Browser) -> None:
    """Told where the bot is not: the step stands there, and once it is taken all goes on by itself."""
    await subscribe(browser, "#lobby", "lobby")
    await one.publish(alert(2, "lobby"))
    await browser.reads_soon("/invite @infrakitchen", "/parked")
    assert await browser.reads("#lobby")
    one.workspace.invite("#lobby")
    await browser.reads_soon("Nothing waits for you", "/parked")
    await browser.reads_soon("evt-2", "/deliveries?state=delivered")
    assert one.marks("#lobby") == ["evt-2"]


async def replay_a_dead_letter(one: Installation, browser: Browser) -> None:
    """What Slack refused in any form is found, replayed and told."""
    one.sandbox.fault("invalid_blocks", times=2)
    await one.publish(alert(3))
    await browser.reads_soon("evt-3", "/dead-letters")
    await browser.follow("invalid_blocks")
    await browser.follow("Replay all 1 …")
    assert await browser.reads("Replay 1 dead letter?")
    await browser.press("Replay 1")
    await browser.reads_soon("evt-3", "/deliveries?state=delivered")
    assert "evt-3" in one.marks("#ops")


@pytest.mark.slow
async def test_from_the_first_start_to_a_replayed_dead_letter(one: Installation, browser: Browser):
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
    await see_it_told(one, browser)
    await free_a_parked_lane(one, browser)
    await replay_a_dead_letter(one, browser)
    for page in ("/", "/integrations", "/subscriptions"):
        await browser.open(page)
    await browser.press("Log out")
    await browser.open("/deliveries")
    assert "/login" in browser.page.url
