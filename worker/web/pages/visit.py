"""A visit: one request of a person, as a page sees it; it answers with a page, or leads to another."""

import base64
import hmac
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

from fastapi import Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from worker.telemetry import say
from worker.web.pages.access import form_token
from worker.web.pages.form import Form
from worker.web.pages.look import tabs, templates

log = logging.getLogger("worker.web")

FLASH, FLASH_S = "ik_slack_said", 60
LONGEST_FLASH = 2_000  # bytes: browsers keep no cookie above 4 KiB


class Said(NamedTuple):
    """What a page says once about what was just done: `done`, `warning` or `failed`."""

    tone: str
    text: str


@dataclass(slots=True)
class Visit:
    """`who` is empty until somebody logged in, where that is asked for. `form` was sent by a page of ours.

    `cookie` is the browser's secret: what is signed with it is for this browser alone.
    """

    request: Request
    client: str
    cookie: str
    who: str
    asks_password: bool
    served: frozenset[str]
    form: Form = field(default_factory=lambda: Form({}))

    def page(
        self, template: str, status: int = 200, *, said: Sequence[Said] = (), **about: object
    ) -> Response:
        """A page from its template and what it is about."""
        flash = self._flash()
        shown = {
            "tabs": tabs(self.request.scope["path"], self.served) if self.who else [],
            "served": self.served,
            "said": [*([flash] if flash else []), *said],
            "form_token": form_token(self.cookie),
            "can_log_out": self.asks_password and bool(self.who),
            **about,
        }
        answer = HTMLResponse(templates().get_template(template).render(shown), status)
        if flash:
            answer.delete_cookie(FLASH)
        return answer

    def go(self, to: str, text: str = "", tone: str = "done") -> Response:
        """To another page, which says that text once. So a reload never does anything again."""
        answer = RedirectResponse(to, 303)
        if text:
            shown = text.encode()[:LONGEST_FLASH].decode(errors="ignore")
            said = base64.urlsafe_b64encode(json.dumps([tone, shown], ensure_ascii=False).encode()).decode()
            answer.set_cookie(
                FLASH, f"{said}.{self._sign(said)}", max_age=FLASH_S, httponly=True, samesite="strict"
            )
        return answer

    def secret_name(self, of: str) -> str:
        """A name in Redis for something of this browser alone, which does not give its cookie away."""
        return hmac.digest(self.cookie.encode(), f"name of {of}".encode(), "sha256").hex()

    def audit(self, what: str, which: str) -> None:
        """One line for what a person changed."""
        say(log, logging.INFO, "audit", who=self.who, what=what, which=which)

    def _flash(self) -> Said | None:
        said, _, signed = self.request.cookies.get(FLASH, "").partition(".")
        if not said or not hmac.compare_digest(signed.encode(), self._sign(said).encode()):
            return None
        return Said(*json.loads(base64.urlsafe_b64decode(said)))

    def _sign(self, said: str) -> str:
        return hmac.digest(self.cookie.encode(), said.encode(), "sha256").hex()[:32]


def visit_of(request: Request) -> Visit:
    """The visit that the door let in."""
    found = request.state.visit
    assert isinstance(found, Visit)  # noqa: S101  # no page is reached past the door
    return found


Visiting = Annotated[Visit, Depends(visit_of)]
"""What a page takes as its argument."""
