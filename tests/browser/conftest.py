"""A console in a real browser: everything of an installation, and Debian's Chromium that looks at it.

Each test walks as a person does, by what is written on the page; no page may have a serious fault of
accessibility, an error in its console, or ask anybody but us for anything.
"""

import re
import shutil
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import ConsoleMessage, Locator, Page, Request, async_playwright

from worker.sandbox.machine import free_port

sys.path.insert(0, str(Path(__file__).parents[1]))
from installation import Installation, installed, until

PASSWORD = "correct horse battery staple"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
SERIOUS = {"serious", "critical"}
MOST_MS = 30_000


@dataclass
class Browser:
    """One window, and what a person does in it."""

    page: Page
    address: str
    faults: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)

    async def open(self, path: str) -> None:
        """An address of ours, typed."""
        await self.page.goto(self.address + path)
        await self.look()

    async def fill(self, **fields: str) -> None:
        """Fields by their labels, with `_` for a space."""
        for label, value in fields.items():
            await self.page.get_by_label(re.compile(label.replace("_", " "), re.IGNORECASE)).first.fill(value)

    async def press(self, name: str, within: Locator | None = None) -> None:
        """A button, and the page it leads to."""
        button = (within or self.page).get_by_role("button", name=name, exact=True).first
        async with self.page.expect_navigation():
            await button.click()
        await self.look()

    async def follow(self, name: str, within: Locator | None = None) -> None:
        """A link, and the page it leads to."""
        async with self.page.expect_navigation():
            await (within or self.page).get_by_role("link", name=name).first.click()
        await self.look()

    async def reads(self, text: str) -> bool:
        """Whether the page says so."""
        return text in await self.page.inner_text("body")

    async def reads_soon(self, text: str, path: str) -> None:
        """Until a page that is loaded again and again says so."""

        async def found() -> bool:
            await self.page.goto(self.address + path)
            return await self.reads(text)

        await until(found, f"{path} says {text!r}", told=lambda: self.faults)
        await self.look()

    async def look(self) -> None:
        """Each page once with the eyes of those who cannot see it, or only at its smallest."""
        name = re.sub(r"[0-9a-f]{6,}", "…", self.page.url.partition("?")[0])
        if name in self.seen:
            return
        self.seen.add(name)
        found = await Axe().run(self.page)
        self.faults += [
            f"{name}: {one['id']}: {one['help']}: {[node['html'][:150] for node in one['nodes']]}"
            for one in found.response["violations"]
            if one["impact"] in SERIOUS
        ]
        await self.page.set_viewport_size({"width": 390, "height": 800})
        if (wide := await self.page.evaluate("document.documentElement.scrollWidth")) > 390:
            self.faults.append(f"{name}: {wide} pixels wide on a phone")
        await self.page.set_viewport_size({"width": 1100, "height": 900})


@pytest.fixture
async def one(tmp_path: Path) -> AsyncIterator[Installation]:
    """Everything runs, at a pace that pace has nothing to do with."""
    settings = {
        "POST_RATE_PER_CHANNEL": "50", "POST_BURST_PER_CHANNEL": "10",
        "ADMIN_PASSWORD": PASSWORD, "WEB_PORT": str(free_port()),
    }  # fmt: skip
    async with installed(tmp_path, **settings) as made:
        made.sandbox.set_rate(0)
        made.ingest(), made.worker()
        web = made.start("web", ("ik-slack", "web"))
        await until(lambda: "web listens" in web.log, "the console is there")
        yield made


@pytest.fixture
async def browser(one: Installation) -> AsyncIterator[Browser]:
    """Chromium; at the end no page may have had a fault."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium: apt install chromium")
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = await chromium.new_page(viewport={"width": 1100, "height": 900})
        page.set_default_timeout(MOST_MS)
        browser = Browser(page, f"http://127.0.0.1:{one.environment['WEB_PORT']}")

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
