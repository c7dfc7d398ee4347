"""Requests and answers: bodies, query parameters and pages of lists; the answer of a failed request.

Every failed request of the API is answered with problem+json (RFC 9457): `detail` says what is wrong and what to do,
`errors` names each wrong part.
"""

import logging
import math
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Any, Generic, TypeVar
from urllib.parse import quote, unquote

from fastapi import Depends, FastAPI, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import compile_path

from worker.bootstrap.context import AppContext
from worker.domain.errors import NotFound, RetryLater, SlackError, UsageError, UserError
from worker.domain.mrkdwn import cut
from worker.services.formatting import format_validation_error
from worker.sources.cloudevents import decode_text
from worker.sources.json_decoder import Unreadable, decode_json
from worker.store.redis_errors import StoreUnavailable
from worker.telemetry import log_event
from worker.templating.renderer_process import run_in_template_thread

log = logging.getLogger("worker.web")

PROBLEM_JSON = "application/problem+json"
AUTH_STATUSES = (401, 403, 429, 503)  #: Statuses that every path with authentication can answer with.
JSON_TYPES = ("application/json", "application/cloudevents+json", "application/cloudevents-batch+json")
LIMIT, MAX_LIMIT = 50, 500
After = Annotated[str | None, Query(max_length=1_000, description="`next` of the previous page")]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Maximum number of rows")]
Id = Annotated[str, Path(min_length=1, max_length=1_000)]


async def get_app(request: Request) -> AppContext:
    """Return what the endpoints work with."""
    app: AppContext = request.state.context
    return app


AppDep = Annotated[AppContext, Depends(get_app)]
Row = TypeVar("Row")
Body = TypeVar("Body", bound=BaseModel)


class Rows(BaseModel, Generic[Row]):
    """A page of a list. `next` is the `after` of the next page, null on the last."""

    rows: list[Row]
    next: str | None = None


class RequestBody(BaseModel):
    """Base of request bodies. An unknown field is an error."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


def content_type_of(request: Request) -> str:
    """Return the content type of a request without its parameters; empty when it has none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _read_content(request: Request) -> bytes:
    """Return a request's body; raise RequestError when it is compressed."""
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity"):
        detail = f"The body is compressed ({encoding[:40]}): send it without Content-Encoding."
        raise RequestError(415, detail, headers={"accept-encoding": "identity"})
    return await request.body()


async def read_json(request: Request) -> object:
    """Return the JSON value of a body. The forms of other sites' pages cannot send the required content types."""
    content_type = content_type_of(request)
    if content_type not in JSON_TYPES:
        given = content_type or "missing"
        raise RequestError(415, f"The content type is {given}: send JSON with Content-Type: {JSON_TYPES[0]}.")
    return _decode_body(await _read_content(request))


def _decode_body(content: bytes) -> object:
    """Return the JSON value of a body's content; raise RequestError when it is not JSON."""
    try:
        return decode_json(content)
    except Unreadable as error:
        raise RequestError(400, f"The body is not JSON: {error}.", [str(error)]) from None


async def read_events(request: Request) -> object:
    """Return the JSON value of a body, or the CloudEvent of a request in binary mode, whose headers are its attributes.

    As with JSON, the forms of other sites' pages cannot send these headers.
    https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md#31-binary-content-mode
    """
    attributes = {name[3:]: value for name, value in request.headers.items() if name.startswith("ce-")}
    type_, given = content_type_of(request), request.headers.get("content-type", "")
    if not attributes or type_.startswith("application/cloudevents"):
        return await read_json(request)
    content = await _read_content(request)
    names = [name for name in attributes if name.isalnum() and name != "data"]
    event: dict[str, object] = {name: _decode_attribute(attributes[name]) for name in names}
    if "specversion" not in event:
        raise RequestError(400, "ce-specversion: missing: an event in binary mode has its attributes in headers.")
    event |= {"datacontenttype": given} if given else {}
    if not content:
        return event
    if not type_ or "json" in type_:
        return event | {"data": _decode_body(content)}
    text = decode_text(content, given)
    return event | ({"data_base64": b64encode(content).decode()} if text is None else {"data": text})


def _decode_attribute(value: str) -> str:
    """Return an attribute of a header: percent-encoded, in quotes or not."""
    text = value.encode("latin-1").decode("utf-8", "replace").strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = re.sub(r"\\(.)", r"\1", text[1:-1])
    return unquote(text)


async def read_body(request: Request, model: type[Body]) -> Body:
    """Return a request's validated body. An error names each faulty field but not its value, which may be a token."""
    value = await read_json(request)
    try:
        return await run_in_template_thread(model.model_validate, value)  # it may have to render a template
    except ValidationError as error:
        fields = [field.alias or name for name, field in model.model_fields.items()]
        faults = [
            f"{cut('.'.join(map(str, fault['loc'])), 80) or 'body'}: {format_validation_error(fault, fields)}"
            for fault in error.errors(include_url=False, include_input=False)
        ]
        raise RequestError(422, f"The body is wrong: {'; '.join(faults[:3])}.", faults) from None


def document_body(model: type[BaseModel]) -> dict[str, Any]:
    """Return the `openapi_extra` of an endpoint that calls `read_body`."""
    schema = model.model_json_schema(mode="validation")
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


class ProblemDetails(BaseModel):
    """Why a request failed."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[str] = []


class RequestError(HTTPException):
    """A wrong request: `errors` names its wrong parts, `more` holds what was done nevertheless."""

    def __init__(
        self, status: int, detail: str, errors: Sequence[str] = (), more: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(status, detail, headers)
        self.errors, self.more = errors, more or {}


class ApiApp(FastAPI):
    """The web application: failed requests are answered, and documented, as problem+json."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        failures = (RequestValidationError, HTTPException, UserError, RetryLater, SlackError, StoreUnavailable)
        for kind in (*failures, ClientDisconnect):
            self.add_exception_handler(kind, self._answer_error)

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document with the schema that `problem_responses` refers to."""
        document = super().openapi()
        document["components"]["schemas"].setdefault(ProblemDetails.__name__, ProblemDetails.model_json_schema())
        return document

    def _allowed_methods(self, path: str) -> str:
        """Return the methods of all routes of a path; Starlette names those of one route only."""
        paths: dict[str, dict[str, Any]] = self.openapi()["paths"]
        matching = [paths[path]] if path in paths else [paths[at] for at in paths if compile_path(at)[0].match(path)]
        return ", ".join(sorted({method.upper() for methods in matching for method in methods}))

    async def _answer_error(self, request: Request, error: Exception) -> Response:
        response, path = problem_of(error), str(request.scope["path"])
        if response.status_code == 405 and (methods := self._allowed_methods(path)):
            response.headers["allow"] = methods
        if response.status_code == 404 and path.endswith("/") and self._allowed_methods(bare := path.rstrip("/")):
            # By path alone: a full address would begin with `http` also for clients that use TLS, token in hand.
            query = request.scope["query_string"].decode("latin-1")
            location = quote(bare) + (f"?{query}" if query else "")
            return Response(status_code=307, headers={"location": location})
        return response


def problem_of(error: Exception) -> Response:
    """Return the answer for an exception; an unexpected one is raised again."""
    match error:
        case RequestError():
            return problem(error.status_code, error.detail, error.errors, headers=error.headers, more=error.more)
        case RequestValidationError():
            errors = [f"{'.'.join(map(str, part['loc']))}: {format_validation_error(part)}" for part in error.errors()]
            return problem(422, f"The request is wrong: {'; '.join(errors[:3])}.", errors)
        case HTTPException():
            return problem(error.status_code, error.detail, headers=error.headers)
        case ClientDisconnect():
            return problem(400, "The connection was closed before the whole request had arrived.")
        case UserError():
            status = 404 if isinstance(error, NotFound) else 400 if isinstance(error, UsageError) else 409
            return problem(status, str(error))
        case RetryLater():
            retry = {"retry-after": str(max(math.ceil(error.wait_s), 1))}
            return problem(503, f"It is too early: {error.reason}. Try again in a moment.", headers=retry)
        case SlackError():
            return problem(502, f"Slack rejected the call: {error.reason}")
        case StoreUnavailable():
            failure = error.failure
            log_event(log, logging.ERROR, "request failed", reason=failure.reason, fix=failure.fix, error=str(error))
            return problem(503, f"{failure.reason}. {failure.fix}", headers={"retry-after": "5"})
        case _:
            raise error


def problem(
    status: int,
    detail: str,
    errors: Sequence[str] = (),
    *,
    headers: Mapping[str, str] | None = None,
    more: Mapping[str, object] | None = None,
) -> Response:
    """Return an answer of type problem+json."""
    title = HTTPStatus(status).phrase
    details = ProblemDetails(title=title, status=status, detail=detail, errors=list(errors)).model_dump()
    return JSONResponse({**details, **(more or {})}, status, headers, media_type=PROBLEM_JSON)


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a path that can fail with these statuses.

    A `model` would be documented as `application/json`, once for every status of every path.
    """
    content = {PROBLEM_JSON: {"schema": {"$ref": f"#/components/schemas/{ProblemDetails.__name__}"}}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}
