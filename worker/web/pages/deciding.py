"""Deciding about dead letters: replay or discard one, some, all of a reason, or all; each asks first.

What is asked is a page with an address of its own; what is decided is done once, however often it is sent and
by however many people.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import APIRouter, Response

from worker.asking.letters import Act, Choice, Done, Ending, discard_one, do_to_each, put_back
from worker.asking.wording import count
from worker.bootstrap import Services
from worker.domain.errors import WrongUse
from worker.web.pages.clicks import on_pages
from worker.web.pages.dead_letters import with_events
from worker.web.pages.visit import Visit, Visiting

NAMED, SAID = 10, 3
DO_S = 40.0  # below what the door waits for an answer
LIST = "/dead-letters"


@dataclass(frozen=True, slots=True)
class Deed:
    """Something that is done to dead letters."""

    name: str
    past: str
    act: Act


REPLAY, DISCARD = Deed("replay", "replayed", put_back), Deed("discard", "discarded", discard_one)


def deciding(made: Services) -> APIRouter:
    """`/dead-letters/replay` and `/dead-letters/discard`"""
    router = APIRouter(prefix=LIST)
    for deed in (REPLAY, DISCARD):
        _add(router, made, deed)
    return router


def _add(router: APIRouter, made: Services, deed: Deed) -> None:
    @router.get(f"/{deed.name}")
    async def ask(visit: Visiting) -> Response:
        query = visit.request.query_params
        choice = _choice(tuple(filter(None, query.getlist("id"))), query)
        if choice is None:
            return visit.go(LIST, f"Tick those to {deed.name} first.", "warning")
        return await _asked(made, visit, deed, choice)

    @router.post(f"/{deed.name}")
    async def do(visit: Visiting) -> Response:
        form = visit.form
        choice = _choice(form.several("id"), {name: form.text(name) for name in ("reason", "all")})
        if choice is None:
            raise WrongUse(f"Nothing was chosen to {deed.name}.")
        visit.audit(f"dead letters {deed.past}", _named(choice))
        try:
            async with asyncio.timeout(DO_S):
                done = await do_to_each(made, choice, deed.act)
        except TimeoutError:
            left = count(sum((await made.dead_letters.reasons()).values()), "dead letter")
            text = (
                f"That takes longer than a page may. What was {deed.past} stays so; {left} left: do it again."
            )
            return visit.go(LIST, text, "warning")
        return _said(visit, deed, choice, done)


def _choice(ids: tuple[str, ...], given: Mapping[str, str]) -> Choice | None:
    """What was chosen; None for nothing. WrongUse for several ways at once."""
    choice = Choice(ids, given.get("reason") or None, bool(given.get("all")))
    if not (choice.ids or choice.reason or choice.all):
        return None
    choice.require()
    return choice


async def _asked(made: Services, visit: Visit, deed: Deed, choice: Choice) -> Response:
    ids = list(dict.fromkeys(choice.ids))
    letters = [one for one in await asyncio.gather(*map(made.dead_letters.find, ids)) if one]
    reasons = await made.dead_letters.reasons()
    if choice.reason:
        reasons = {name: many for name, many in reasons.items() if name == choice.reason}
    if not ids:
        letters = list((await made.dead_letters.page(choice.reason or "", None, NAMED)).rows)
    many = len(letters) if ids else sum(reasons.values())
    if not many:
        return visit.go(LIST, f"There is nothing to {deed.name} any more.", "warning")
    return visit.page(
        "deciding.html",
        deed=deed,
        choice=choice,
        ids=[one.id for one in letters] if ids else [],
        many=many,
        rows=await with_events(made, letters[:NAMED]),
        gone=len(ids) - len(letters) if ids else 0,
    )


def _said(visit: Visit, deed: Deed, choice: Choice, done: Done) -> Response:
    """What was done, in words."""
    ended = {ending: [one for one in done.results if one.ending is ending] for ending in Ending}
    before, wrong = len(ended[Ending.BEFORE]) + len(ended[Ending.UNKNOWN]), ended[Ending.FAILED]
    told = [f"{count(len(ended[Ending.DONE]), 'dead letter')} {deed.past}."]
    if len(done.results) == 1 and ended[Ending.DONE]:
        told = [f"{deed.past.capitalize()}: {on_pages(ended[Ending.DONE][0].words)}."]
    if before:
        told.append(f"{before:,} {'was' if before == 1 else 'were'} none any more: somebody was faster.")
    told += [on_pages(one.words) for one in wrong[:SAID]]
    if len(wrong) > SAID:
        told.append(f"{len(wrong) - SAID:,} more were not {deed.past}.")
    tone = (
        "failed"
        if wrong and not ended[Ending.DONE]
        else "warning"
        if wrong or before or done.said
        else "done"
    )
    is_delivery = len(choice.ids) == 1 and "-" not in choice.ids[0] and ended[Ending.DONE]
    return visit.go(
        f"/deliveries/{choice.ids[0]}" if is_delivery else LIST, " ".join((*told, *done.said)), tone
    )


def _named(choice: Choice) -> str:
    return ", ".join(choice.ids) or (f"reason {choice.reason}" if choice.reason else "all")
