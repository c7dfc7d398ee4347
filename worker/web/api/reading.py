"""Reading: what a request asks for, checked, and documented as what it is."""

from typing import Annotated, Any, TypeVar

from fastapi import Path, Query, Request
from pydantic import BaseModel, ConfigDict, ValidationError

from worker.store.pages import Page
from worker.web.api.shapes import Rows
from worker.web.bodies import json_body
from worker.web.problems import Faulty

LIMIT, MOST = 50, 500
After = Annotated[str | None, Query(max_length=1_000, description="`next` of the part before")]
Limit = Annotated[int, Query(ge=1, le=MOST, description="So many rows at most")]
Id = Annotated[str, Path(min_length=1, max_length=1_000)]


class Asked(BaseModel):
    """The body of a request; what is not known in it is a mistake that is said."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


AnyAsked = TypeVar("AnyAsked", bound=BaseModel)


async def body_of(request: Request, model: type[AnyAsked]) -> AnyAsked:
    """A request's body; Faulty names every part that is wrong, and repeats none: it may be a token."""
    found = await json_body(request)
    try:
        return model.model_validate(found)
    except ValidationError as error:
        faults = [
            f"{'.'.join(map(str, fault['loc'])) or 'body'}: {fault['msg'].removeprefix('Value error, ')}"
            for fault in error.errors(include_url=False, include_input=False)
        ]
        raise Faulty(422, f"The body is wrong: {'; '.join(faults[:3])}.", faults) from None


def documented_body(model: type[BaseModel]) -> dict[str, Any]:
    """For `openapi_extra`: the body is this."""
    schema = model.model_json_schema(mode="validation")
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def rows_of(page: Page[Any], rows: list[Any]) -> dict[str, Any]:
    """A part of a list, with its rows as JSON."""
    return {"rows": rows, "next": page.next}


__all__ = ["LIMIT", "After", "Asked", "Id", "Limit", "Rows", "body_of", "documented_body", "rows_of"]
