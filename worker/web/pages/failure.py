"""Failures: every error is a page that says what happened and what to do."""

from typing import NamedTuple

from fastapi import Request, Response
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException

from worker.domain.errors import Missing, Problem, WrongUse
from worker.store.server import Unavailable
from worker.web.pages.look import templates
from worker.web.pages.visit import Visit


class Refused(Exception):
    """The door lets a request in nowhere; the text says why and what to do."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class Failure(NamedTuple):
    """What a page of an error says."""

    status: int
    title: str
    text: str
    step: str = ""


_ABSENT = Failure(404, "There is no such page", "It may have been removed, or the address is mistyped.")
_REDIS = Failure(
    503,
    "Redis does not answer",
    "Nothing is lost: what InfraKitchen has published waits in its stream, and goes on by itself.",
    "Start Redis, or correct REDIS_URL, then load this page again. `ik-slack doctor` says what is wrong.",
)
_SLOW = Failure(
    503,
    "That took too long",
    "Redis or Slack may be slow at the moment.",
    "Load this page again in a minute.",
)
_OURS = Failure(
    500,
    "Something went wrong",
    "That is a fault of ours, and the log of `ik-slack web` has its trace.",
    "Go back and try again; if it stays so, please tell us.",
)
_TITLES = {
    400: "That cannot be read",
    405: "That cannot be done here",
    408: "That took too long",
    413: "That is too large",
    415: "That is no form of this console",
}


def failure_of(error: BaseException) -> Failure:
    """What an error means for the person who sees it."""
    match error:
        case Refused():
            return Failure(error.status, _TITLES.get(error.status, "Not allowed"), error.text)
        case HTTPException(status_code=404):
            return _ABSENT
        case HTTPException():
            return Failure(
                error.status_code, _TITLES.get(error.status_code, "That cannot be done"), error.detail
            )
        case Missing():
            return _ABSENT
        case WrongUse():
            return Failure(400, _TITLES[400], str(error))
        case Problem():
            return Failure(409, "That was not done", str(error))
        case TimeoutError():
            return _SLOW
        case Unavailable():
            return _REDIS
        case _:
            return _OURS


async def failed(request: Request, error: Exception) -> Response:
    """The page of an error; it needs nothing that may be missing."""
    failure = failure_of(error)
    visit = getattr(request.state, "visit", None)
    if isinstance(visit, Visit):
        return visit.page("failure.html", failure.status, title=failure.title, failure=failure)
    bare = {
        "title": failure.title,
        "tabs": [],
        "served": (),
        "said": [],
        "form_token": "",
        "can_log_out": False,
    }
    return HTMLResponse(
        templates().get_template("failure.html").render(bare, failure=failure), failure.status
    )
