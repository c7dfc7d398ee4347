"""Explain: the whole way of an event, found by its id."""

import json
from urllib.parse import quote

from fastapi import APIRouter, Response

from worker.asking.story import Story, stories
from worker.bootstrap import Services
from worker.domain.delivery import event_ref
from worker.domain.errors import Missing
from worker.web.pages.clicks import on_pages
from worker.web.pages.visit import Visiting

LONGEST_ID = 4_000
SHOWN = 6_000
"""Characters of an event that are shown unless all are asked for."""


def explain(made: Services) -> APIRouter:
    """`/explain` and `/explain/{event_id}`"""
    router = APIRouter(prefix="/explain")

    @router.get("")
    async def ask(visit: Visiting) -> Response:
        wanted = visit.request.query_params.get("event", "").strip()[:LONGEST_ID]
        if wanted and wanted.strip("."):  # a browser takes an id of dots for a way up
            return visit.go(f"/explain/{quote(wanted, safe='')}")
        return visit.page("explain_find.html", wanted="", missing="")

    @router.get("/{event_id:path}")
    async def shown(visit: Visiting, event_id: str) -> Response:
        try:
            found = await stories(made, event_id)
        except Missing as error:
            return visit.page("explain_find.html", 404, wanted=event_id, missing=on_pages(str(error)))
        whole = visit.request.query_params.get("raw") == "all"
        told = []
        for story in found:
            raw = pretty(await _raw(made, story))
            told.append((story, raw if whole else raw[:SHOWN], 0 if whole else max(len(raw) - SHOWN, 0)))
        rules = {one.id: one.destination for one in await made.subscriptions.all()}
        now_ms = await made.server.now_ms()
        return visit.page("explain.html", told=told, event_id=event_id, rules=rules, now_ms=now_ms)

    return router


def pretty(raw: bytes) -> str:
    """JSON laid out for people; as it came where it is none."""
    text = raw.decode("utf-8", "backslashreplace")
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text


async def _raw(made: Services, story: Story) -> bytes:
    """The event as it came, from wherever it is kept."""
    if story.event and (kept := await made.events.body(event_ref(story.event.source, story.event.id))):
        return kept[1]
    if (letter := await made.dead_letters.find(story.entry_id)) and letter.raw:
        return letter.raw.get(b"event", b"")
    entry = await made.stream.entry(story.entry_id)
    return entry.fields.get(b"event", b"") if entry else b""
