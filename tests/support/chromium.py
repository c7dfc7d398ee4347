"""A real browser, Chromium, that uses the console by the texts of its pages and checks each page."""

import re
import shutil
from dataclasses import dataclass, field

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Locator, Page

from support.installation import until

PASSWORD = "correct horse battery staple"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
SERIOUS = {"serious", "critical"}
MOST_MS = 30_000


@dataclass
class Browser:
    """A window. `faults` has the accessibility faults and errors of the pages that were open."""

    page: Page
    address: str
    faults: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)

    async def open(self, path: str) -> None:
        """Open a page of the console."""
        await self.page.goto(self.address + path)
        await self.look()

    async def fill(self, **fields: str) -> None:
        """Fill in fields by their labels, with `_` for a space."""
        for label, value in fields.items():
            await self.page.get_by_label(re.compile(label.replace("_", " "), re.IGNORECASE)).first.fill(value)

    async def press(self, name: str, within: Locator | None = None) -> None:
        """Press a button that leads to another page."""
        button = (within or self.page).get_by_role("button", name=name, exact=True).first
        async with self.page.expect_navigation():
            await button.click()
        await self.look()

    async def follow(self, name: str, within: Locator | None = None) -> None:
        """Follow a link."""
        async with self.page.expect_navigation():
            await (within or self.page).get_by_role("link", name=name).first.click()
        await self.look()

    async def reads(self, text: str) -> bool:
        """Return whether the page has this text."""
        return text in await self.page.inner_text("body")

    async def reads_soon(self, text: str, path: str) -> None:
        """Reload a page until it has this text."""

        async def found() -> bool:
            await self.page.goto(self.address + path)
            return await self.reads(text)

        await until(found, f"{path} says {text!r}", told=lambda: self.faults)
        await self.look()

    async def look(self) -> None:
        """Check a page once: its accessibility, and its width on a phone."""
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
