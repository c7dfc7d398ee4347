"""`/api/v1/ledger`, `/doctor`, `/preview`: looked at, and nothing changed."""

import time
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import Field

from worker.asking.examining import examined, key_ring, plain_finding
from worker.asking.previewing import as_told, by_template, plain, read, sent_of, sort_out
from worker.bootstrap import Services
from worker.domain.errors import Problem
from worker.publish import encode
from worker.sources import Unreadable
from worker.store.ledger import Balance, take_census
from worker.web.api.reading import Asked, body_of, documented_body
from worker.web.api.shapes import FindingShape, PreviewShape, Rows
from worker.web.audit import audited
from worker.web.problems import ANY, Faulty, documented


class Preview(Asked):
    """Events as `events` takes them, for a subscription or for a template nobody has saved."""

    events: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=100)]
    subscription: str | None = None
    template: Annotated[str, Field(max_length=100_000)] | None = None


def looking(made: Services) -> APIRouter:
    """The balance, the checks, and what would be posted."""
    router = audited()

    @router.get("/ledger", response_model=Balance, responses=documented(*ANY))
    async def ledger() -> Any:
        """The balance of all events and deliveries, as of one moment."""
        return asdict((await take_census(made.server))[0])

    @router.get("/doctor", response_model=Rows[FindingShape], responses=documented(*ANY))
    async def doctor() -> Any:
        """Everything that must be well, with the mend of what is not."""
        ring = key_ring(made.settings)
        found = await examined(made, ring)
        rows = found if ring in found else [ring, *found]
        return {"rows": [plain_finding(one) for one in rows]}

    @router.post(
        "/preview",
        response_model=PreviewShape,
        responses=documented(400, 404, 409, 413, 415, 422, *ANY),
        openapi_extra=documented_body(Preview),
    )
    async def preview(request: Request) -> Any:
        """What would be posted for events that waited together; nothing is."""
        return await _previewed(made, await body_of(request, Preview))

    return router


async def _previewed(made: Services, asked: Preview) -> dict[str, Any]:
    try:
        events, _ = read([encode(event) for event in asked.events], time.time_ns() // 1_000_000)
    except (ValueError, Unreadable) as error:
        raise Faulty(422, f"events: {error}.", [str(error)]) from None
    subscription = await as_told(made, asked.subscription) if asked.subscription else None
    told, unmatched = sort_out(events, subscription)
    if asked.template is not None:
        try:
            told = by_template(told, asked.template)
        except Problem as error:
            raise Faulty(422, str(error), [str(error)]) from None
    sent, fault = sent_of(told, made.settings.infrakitchen_url or "")
    return {**plain(sent, unmatched), "template_fault": fault}
