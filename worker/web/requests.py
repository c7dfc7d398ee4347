"""Requests and pages of lists: request bodies and query parameters, parsed and documented."""

from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Path, Query, Request
from pydantic import BaseModel, ConfigDict, ValidationError

from worker.bootstrap.context import AppContext
from worker.services.formatting import format_validation_error
from worker.sources.json_decoder import Unreadable, decode_json
from worker.templating.renderer_process import run_in_template_thread
from worker.web.errors import RequestError

JSON_TYPES = ("application/json", "application/cloudevents+json", "application/cloudevents-batch+json")
ATTRIBUTE_PREFIX = "ce-"
LIMIT, MAX_LIMIT = 50, 500
After = Annotated[str | None, Query(max_length=1_000, description="`next` of the previous page")]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Maximum number of rows")]
Id = Annotated[str, Path(min_length=1, max_length=1_000)]


async def get_app(request: Request) -> AppContext:
    """Return what the endpoints work with."""
    app: AppContext = request.app.state.context
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


def binary_attributes(request: Request) -> dict[str, str]:
    """Return the headers that are attributes of a CloudEvent in binary mode; none for any other request.

    As with JSON, the forms of other sites' pages cannot send them.
    """
    if content_type_of(request).startswith("application/cloudevents"):
        return {}
    prefixed = ((name, value) for name, value in request.headers.items() if name.startswith(ATTRIBUTE_PREFIX))
    return {name.removeprefix(ATTRIBUTE_PREFIX): value for name, value in prefixed}


async def read_content(request: Request) -> bytes:
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
    return decode_body(await read_content(request))


def decode_body(content: bytes) -> object:
    """Return the JSON value of a body's content; raise RequestError when it is not JSON."""
    try:
        return decode_json(content)
    except Unreadable as error:
        raise RequestError(400, f"The body is not JSON: {error}.", [str(error)]) from None


async def read_body(request: Request, model: type[Body]) -> Body:
    """Return a request's validated body. An error names each faulty field but not its value, which may be a token."""
    value = await read_json(request)
    try:
        return await run_in_template_thread(model.model_validate, value)  # it may have to render a template
    except ValidationError as error:
        faults = [
            f"{'.'.join(map(str, fault['loc'])) or 'body'}: {format_validation_error(fault)}"
            for fault in error.errors(include_url=False, include_input=False)
        ]
        raise RequestError(422, f"The body is wrong: {'; '.join(faults[:3])}.", faults) from None


def document_body(model: type[BaseModel]) -> dict[str, Any]:
    """Return the `openapi_extra` of an endpoint that calls `read_body`."""
    schema = model.model_json_schema(mode="validation")
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
