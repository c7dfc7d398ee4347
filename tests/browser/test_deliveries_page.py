"""The deliveries page as someone on call uses it: filters, rows on a phone, and "Try now" on a lane that waits."""

import pytest
from support.chromium import PASSWORD, Browser
from support.events import numbered_alert
from support.installation import Installation, until

PHONE = {"width": 390, "height": 800}


async def log_in(browser: Browser) -> None:
    await browser.open("/login")
    await browser.fill(Password=PASSWORD)
    await browser.press("Log in")


async def rows_of(browser: Browser) -> list[str]:
    """Return the text of each row."""
    return [" ".join(text.split()) for text in await browser.page.locator("tbody tr").all_inner_texts()]


async def choose(browser: Browser, **values: str) -> None:
    """Set these filters, clear the others, and apply them."""
    await browser.open("/deliveries")
    for name, value in values.items():
        field = browser.page.locator(f"#{name}")
        await (field.select_option(value) if name in ("state", "severity") else field.fill(value))
    await browser.press("Filter")


@pytest.mark.thorough
@pytest.mark.slow
async def test_the_deliveries_are_filtered_by_state_severity_time_channel_and_event(
    installation: Installation, browser: Browser
):
    for name in ("ops", "lobby"):
        installation.workspace.add_channel(name, member=name == "ops")
    await installation.connect("#ops", "#lobby")
    await installation.publish(
        numbered_alert(1), numbered_alert(2, severity="critical"), numbered_alert(3, "lobby", severity="critical")
    )
    await log_in(browser)
    await browser.reads_soon("Parked", "/deliveries?state=parked")
    await until(lambda: len(installation.messages("#ops")) > 0, "two alerts are posted")

    async def shown(**values: str) -> set[str]:
        await choose(browser, **values)
        return {mark for row in await rows_of(browser) for mark in ("evt-1", "evt-2", "evt-3") if mark in row}

    assert await shown() == {"evt-1", "evt-2", "evt-3"}
    assert await shown(state="parked") == {"evt-3"}
    assert await shown(severity="critical") == {"evt-2", "evt-3"}
    assert await shown(severity="critical", lane="#ops") == {"evt-2"}
    assert await shown(lane=installation.workspace.get_channel("ops").id.lower()) == {"evt-1", "evt-2"}
    assert await shown(since="1h", event="evt-1") == {"evt-1"}
    assert await shown(lane="#opss") == set()
    assert await browser.reads("did you mean #ops?")
    await browser.follow("Clear")
    assert len(await rows_of(browser)) == 3

    await browser.page.set_viewport_size(PHONE)
    await browser.page.reload()
    first = browser.page.locator("tbody tr").first
    place = await first.bounding_box()
    assert place
    assert place["y"] < 250, "rows come first, filters are folded"
    assert "critical" in await first.inner_text()
    cut = "[...document.querySelectorAll('tbody a')].some(link => getComputedStyle(link).whiteSpace == 'nowrap')"
    assert not await browser.page.evaluate(cut), "ids are whole"


@pytest.mark.thorough
@pytest.mark.slow
@pytest.mark.parametrize("installation", [{"PROBE_INTERVAL_S": "600"}], indirect=True)
async def test_try_now_sends_what_waits_in_a_parked_lane_before_its_next_check(
    installation: Installation, browser: Browser
):
    installation.workspace.add_channel("lobby", member=False)
    await installation.connect("#lobby")
    await installation.publish(numbered_alert(1, "lobby"))
    await log_in(browser)
    await browser.reads_soon("/invite @infrakitchen", "/parked")
    await browser.press("Try #lobby now")
    await browser.reads_soon("/invite @infrakitchen", "/parked")
    assert installation.messages("#lobby") == []
    installation.workspace.invite("#lobby")
    await browser.press("Try #lobby now")
    assert await browser.reads("resumed with 1 pending delivery.")
    await browser.reads_soon("No parked lanes", "/parked")
    assert installation.marks("#lobby") == ["evt-1"]
