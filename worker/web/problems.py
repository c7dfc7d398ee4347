"""Problems: whatever keeps a request from being done is answered as problem+json (RFC 9457).

`detail` says what is wrong, with what, and the next step; `errors` names each part that is at fault.
"""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from worker.domain.errors import Missing, NotYet, Problem, Refusal, WrongUse
from worker.store.outage import outage_of
from worker.store.server import Unavailable
from worker.telemetry import say

log = logging.getLogger("worker.web")

PROBLEM_JSON = "application/problem+json"
Headers = Mapping[str, str]
Row = Mapping[str, object]


class ProblemDetails(BaseModel):
    """Why a request was not done."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[str] = []


class Faulty(Exception):
    """A request that is wrong, and where; what was done of it all the same stands in `more`."""

    def __init__(self, status: int, detail: str, errors: Sequence[str] = (), more: Row | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.errors, self.more = status, detail, errors, more or {}


def answered_as_problems(app: FastAPI, allowed: Callable[[str], str]) -> None:
    """Have whatever keeps a request of this application from being done answered so.

    `allowed` says which methods a path takes. One with a slash too many leads to the one without, by its path
    alone: an address with a host would begin with `http`, also for those who came by TLS, token in hand.
    """

    async def answer(request: Request, error: Exception) -> Response:
        response, path = answer_of(error), str(request.scope["path"])
        if response.status_code == 405 and (methods := allowed(path)):
            response.headers["allow"] = methods
        if response.status_code == 404 and path.endswith("/") and allowed(bare := path.rstrip("/")):
            query = request.scope["query_string"].decode("latin-1")
            return Response(status_code=307, headers={"location": bare + (f"?{query}" if query else "")})
        return response

    for kind in (Faulty, RequestValidationError, HTTPException, Problem, NotYet, Refusal, Unavailable):
        app.add_exception_handler(kind, answer)


def answer_of(error: Exception) -> Response:
    """What is said of an exception; one that is a fault of ours is raised again."""
    match error:
        case Faulty():
            return problem(error.status, error.detail, error.errors, more=error.more)
        case RequestValidationError():
            errors = [_in_words(fault) for fault in error.errors()]
            return problem(422, f"The request is wrong: {'; '.join(errors[:3])}.", errors)
        case HTTPException():
            return problem(error.status_code, error.detail, headers=error.headers)
        case Missing():
            return problem(404, str(error))
        case WrongUse():
            return problem(400, str(error))
        case Problem():
            return problem(409, str(error))
        case NotYet():
            retry = {"retry-after": str(max(math.ceil(error.wait_s), 1))}
            return problem(503, f"It is too early: {error.reason}. Ask again in a moment.", headers=retry)
        case Refusal():
            return problem(502, f"Slack refused: {error.reason}")
        case Unavailable():
            outage = outage_of(error)
            said = f"{outage.reason}. {outage.mend}"
            say(log, logging.ERROR, "request not done", error=said)
            return problem(503, said, headers={"retry-after": "5"})
        case _:
            raise error


def problem(
    status: int,
    detail: str,
    errors: Sequence[str] = (),
    *,
    headers: Headers | None = None,
    more: Row | None = None,
) -> Response:
    """An answer that says why not."""
    said = ProblemDetails(
        title=HTTPStatus(status).phrase, status=status, detail=detail, errors=list(errors)
    ).model_dump()
    return JSONResponse({**said, **(more or {})}, status, headers, media_type=PROBLEM_JSON)


def _in_words(fault: Mapping[str, Any]) -> str:
    """`query.limit: Input should be less than or equal to 500`"""
    place = ".".join(str(part) for part in fault["loc"])
    return f"{place}: {fault['msg'].removeprefix('Value error, ')}"


ANY = (401, 403, 429, 503)
"""What every path that takes credentials may answer with."""


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For `responses`: problems these paths may answer with.

    A `model` would say `application/json`, and be made anew for every status of every path.
    """
    content = {PROBLEM_JSON: {"schema": {"$ref": f"#/components/schemas/{ProblemDetails.__name__}"}}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}
