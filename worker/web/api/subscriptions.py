"""`/api/v1/subscriptions`: which events go where."""

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import model_validator

from worker.asking.choosing import every_rule
from worker.asking.rules import Rule
from worker.asking.subscribing import (
    added,
    end_of_mute_ms,
    forget,
    placed,
    plain_placed,
    replaced,
    set_muted,
    set_paused,
)
from worker.asking.trying import plain_posted, posted
from worker.bootstrap import Services
from worker.web.api.reading import Asked, Id, body_of, documented_body
from worker.web.api.shapes import Discarded, PlacedRule, Posted, Rows, RuleAdded
from worker.web.audit import about, audited
from worker.web.problems import ANY, Faulty, documented

CHANGED = documented(400, 404, 409, 413, 415, 422, *ANY)


class Mute(Asked):
    """Either `for` a span (`30m`, `2h`, `1h30m`), or `until` a time (`2026-11-25T08:00+01:00`)."""

    span: str | None = None
    until: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _for(cls, given: Any) -> Any:
        """`for` is a word of Python's."""
        if isinstance(given, dict) and "for" in given and "span" not in given:
            return {"span" if name == "for" else name: value for name, value in given.items()}
        return given


def subscriptions(made: Services) -> APIRouter:
    """All that can be done with them."""
    router = audited("/subscriptions")
    _reads(router, made)
    _writes(router, made)
    _switches(router, made)
    return router


def _reads(router: APIRouter, made: Services) -> None:
    @router.get("", response_model=Rows[Rule], responses=documented(*ANY))
    async def list_subscriptions() -> Any:
        """All of them, oldest first."""
        return {"rows": [rule.model_dump() for rule in await every_rule(made)]}

    @router.get("/{id}", response_model=PlacedRule, responses=documented(404, 422, *ANY))
    async def show_subscription(id: Id) -> Any:  # noqa: A002  # the word of the path
        """One, and how its destination is."""
        return plain_placed(await placed(made, id))


def _writes(router: APIRouter, made: Services) -> None:
    @router.post(
        "",
        response_model=RuleAdded,
        status_code=201,
        responses={**CHANGED, 200: {"model": RuleAdded, "description": "There was the same one already"}},
        openapi_extra=documented_body(Rule),
    )
    async def add_subscription(request: Request, response: Response) -> Any:
        """A destination that cannot be posted to yet is taken, with a warning. The same again is no other."""
        asked = await body_of(request, Rule)
        rule, is_new, said = await added(made, asked, asked.integration or None)
        response.status_code = 201 if is_new else 200
        about(request, id=rule.id)
        return {**rule.model_dump(), "warnings": said}

    @router.put("/{id}", response_model=RuleAdded, responses=CHANGED, openapi_extra=documented_body(Rule))
    async def change_subscription(id: Id, request: Request) -> Any:  # noqa: A002
        """Everything of it but its id; what is left out is as of a new one, a mute stays."""
        asked = await body_of(request, Rule)
        if asked.id not in ("", id):
            raise Faulty(422, f"The body is of {asked.id!r}, and the path of {id!r}.")
        rule, said = await replaced(made, id, asked)
        return {**rule.model_dump(), "warnings": said}

    @router.delete("/{id}", responses=CHANGED)
    async def remove_subscription(id: Id) -> Discarded:  # noqa: A002
        """What waits for it is discarded."""
        return Discarded(discarded=await forget(made, [id]))


def _switches(router: APIRouter, made: Services) -> None:
    async def shown(id_: str) -> dict[str, object]:
        return plain_placed(await placed(made, id_))

    @router.post("/{id}/pause", response_model=PlacedRule, responses=CHANGED)
    async def pause_subscription(id: Id) -> Any:  # noqa: A002
        """Deliver no more; what waits is still told."""
        await set_paused(made, [id], True)
        return await shown(id)

    @router.post("/{id}/resume", response_model=PlacedRule, responses=CHANGED)
    async def resume_subscription(id: Id) -> Any:  # noqa: A002
        """Deliver again, from now on."""
        await set_paused(made, [id], False)
        return await shown(id)

    @router.post("/{id}/mute", response_model=PlacedRule, responses=CHANGED, openapi_extra=_documented_mute())
    async def mute_subscription(id: Id, request: Request) -> Any:  # noqa: A002
        """Tell nothing of what comes until then."""
        asked = await body_of(request, Mute)
        now_ms = await made.server.now_ms()
        try:
            await set_muted(made, [id], end_of_mute_ms(asked.span, asked.until, now_ms), now_ms)
        except ValueError as error:
            raise Faulty(422, f"{error}.", [str(error)]) from None
        return await shown(id)

    @router.post("/{id}/unmute", response_model=PlacedRule, responses=CHANGED)
    async def unmute_subscription(id: Id) -> Any:  # noqa: A002
        """Tell what comes from now on."""
        await set_muted(made, [id], 0, await made.server.now_ms())
        return await shown(id)

    @router.post("/{id}/test", response_model=Posted, responses={**CHANGED, **documented(502)})
    async def test_subscription(id: Id) -> Any:  # noqa: A002
        """Post a short test message to where it sends, now."""
        return plain_posted(await posted(made, await made.subscriptions.find(id)))


def _documented_mute() -> dict[str, Any]:
    found = documented_body(Mute)
    schema = found["requestBody"]["content"]["application/json"]["schema"]
    schema["properties"] = {"for": schema["properties"]["span"], "until": schema["properties"]["until"]}
    return found
