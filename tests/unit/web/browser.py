"""A small browser: keeps cookies, sends forms with what their page says, and says where they come from."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from html import unescape

from aiohttp import ClientSession, CookieJar
from web_house import Web, served
from yarl import URL

PASSWORD = "a correct horse"
TYPE = "application/x-www-form-urlencoded"


@dataclass
class Page:
    """What was answered, after redirects."""

    status: int
    path: str
    html: str
    headers: Mapping[str, str]

    @property
    def text(self) -> str:
        """What a person reads."""
        bare = re.sub(r"<(script|style|title).*?</\1>|<[^>]+>", " ", self.html, flags=re.DOTALL)
        return re.sub(r"\s+", " ", unescape(bare)).strip()

    @property
    def form_token(self) -> str:
        found = re.search(r'name="form_token" value="(\w*)"', self.html)
        return found[1] if found else ""


class Browser:
    """One person's; `page` is the one that is open."""

    def __init__(self, web: Web) -> None:
        self.web = web
        self.base = f"{web.client._base_url}".rstrip("/")
        self.client = ClientSession(self.base, cookie_jar=CookieJar(unsafe=True))
        self.page = Page(0, "", "", {})

    async def open(self, path: str | URL, *, follow: bool = True, **headers: str) -> Page:
        """Go to an address."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.client.get(path, headers=sent, allow_redirects=follow) as answer:
            self.page = Page(answer.status, answer.url.path_qs, await answer.text(), answer.headers)
        return self.page

    async def send(
        self, path: str, fields: Mapping[str, object] | None = None, *, follow: bool = True, **headers: str
    ) -> Page:
        """Send a form of the page that is open."""
        written = {"form_token": self.page.form_token, **(fields or {})}
        sent = {"Sec-Fetch-Site": "same-origin"} | {n.replace("_", "-"): v for n, v in headers.items()}
        async with self.client.post(path, data=written, headers=sent, allow_redirects=follow) as answer:
            self.page = Page(answer.status, answer.url.path_qs, await answer.text(), answer.headers)
        return self.page

    async def post(self, body: bytes, kind: str) -> int:
        """Send anything at all to the login; the status."""
        async with self.client.post("/login", data=body, headers={"Content-Type": kind}) as answer:
            return answer.status

    async def log_in(self, password: str = PASSWORD) -> Page:
        await self.open("/login")
        return await self.send("/login", {"password": password, "to": "/"})

    def plant(self, session: str) -> None:
        """A session's cookie that came from elsewhere."""
        self.client.cookie_jar.clear()
        self.client.cookie_jar.update_cookies({"ik_slack": session}, URL(self.base))

    def cookies(self) -> dict[str, str]:
        return {cookie.key: cookie.value for cookie in self.client.cookie_jar}


@asynccontextmanager
async def browsing(**given: object) -> AsyncIterator[Browser]:
    """A console with a password (or as given), and somebody who has not logged in."""
    async with served(**({"admin_password": PASSWORD} | given)) as web:
        browser = Browser(web)
        async with browser.client:
            yield browser
