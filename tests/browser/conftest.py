"""A console in Chromium, with everything of an installation.

No page may have a serious accessibility fault, an error in its console, or a request to another host.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import ConsoleMessage, Request, async_playwright
from support.chromium import CHROMIUM, MOST_MS, PASSWORD, Browser
from support.installation import Installation, run_installation, until

from worker.local_machine import free_port


@pytest.fixture
async def installation(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Installation]:
    """Everything runs, at a pace that pace has nothing to do with. A test may give more settings as the parameter."""
    settings = {
        "POST_RATE_PER_CHANNEL": "50", "POST_BURST_PER_CHANNEL": "10",
        "ADMIN_PASSWORD": PASSWORD, "WEB_PORT": str(free_port()), **getattr(request, "param", {}),
    }  # fmt: skip
    async with run_installation(tmp_path, **settings) as app:
        app.sandbox.set_rate(0)
        app.ingest(), app.worker()
        web = app.start("web", ("ik-slack", "web"))
        await until(lambda: "web server listening" in web.log, "the console is there")
        yield app


@pytest.fixture
async def browser(installation: Installation) -> AsyncIterator[Browser]:
    """Chromium; at the end no page may have had a fault."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium: apt install chromium")
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = await chromium.new_page(viewport={"width": 1100, "height": 900})
        page.set_default_timeout(MOST_MS)
        browser = Browser(page, f"http://127.0.0.1:{installation.environment['WEB_PORT']}")

        def asked(request: Request) -> None:
            if not request.url.startswith((browser.address, "data:")):
                browser.faults.append(f"asked {request.url}")

        def said(message: ConsoleMessage) -> None:
            if message.type == "error" and "status of" not in message.text:  # a refusal of ours is a page
                browser.faults.append(f"{page.url}: {message.text}")

        page.on("request", asked)
        page.on("console", said)
        yield browser
        await chromium.close()
    assert browser.faults == []
