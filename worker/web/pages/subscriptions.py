"""Subscriptions: the list, and one with its lane: pause, mute, test, remove."""

import asyncio

from fastapi import APIRouter, Response

from worker.asking.changing import discarded
from worker.asking.choosing import every_rule
from worker.asking.moments import span_ms
from worker.asking.rules import Rule
from worker.asking.subscribing import (
    end_of_mute_ms,
    forget,
    placed,
    set_muted,
    set_paused,
    waiting_for,
)
from worker.asking.trying import posted
from worker.bootstrap import Services
from worker.domain.errors import Missing, Problem
from worker.domain.markup import duration
from worker.web.pages.visit import Visiting

LIST = "/subscriptions"
SHOWN, PARKED_LOOKED_AT = 200, 1_000
SPANS = ("30m", "1h", "2h", "8h", "1d", "3d", "7d")


def subscriptions(made: Services) -> APIRouter:
    """`/subscriptions`, and of one `/subscriptions/{id}` with what can be done with it."""
    router = APIRouter(prefix=LIST)

    @router.get("")
    async def listed(visit: Visiting) -> Response:
        wanted = visit.request.query_params.get("q", "").strip()
        stored, rules = await asyncio.gather(made.subscriptions.all(), every_rule(made))
        parked = {one.lane for one in (await made.parked.page(None, PARKED_LOOKED_AT)).rows}
        lanes = {one.id: one.lane for one in stored}
        found = [rule for rule in rules if wanted.lower() in _words(rule)]
        return visit.page(
            "subscriptions.html",
            rows=[(rule, lanes.get(rule.id) in parked) for rule in found[:SHOWN]],
            left=max(len(found) - SHOWN, 0),
            total=len(rules),
            wanted=wanted,
            has_integrations=bool(await made.integrations.all()),
        )

    @router.get("/{id_}")
    async def shown(visit: Visiting, id_: str) -> Response:
        found = await placed(made, id_)
        spans = [(span, duration(span_ms(span) / 1000)) for span in SPANS]
        names = {one.name: one.id for one in await made.integrations.all()}
        return visit.page("subscription.html", found=found, rule=found.rule, spans=spans, names=names)

    for what in ("pause", "resume", "mute", "unmute", "test"):

        @router.get(f"/{{id_}}/{what}")
        async def back(visit: Visiting, id_: str) -> Response:  # its answer was loaded again, or logged in to
            return visit.go(_at(id_))

    _switching(router, made)
    _muting(router, made)
    _removing(router, made)
    return router


def _switching(router: APIRouter, made: Services) -> None:
    """Off and on, and a test."""

    @router.post("/{id_}/pause")
    async def pause(visit: Visiting, id_: str) -> Response:
        await set_paused(made, [id_], True)
        visit.audit("subscription paused", id_)
        return visit.go(
            _at(id_), "Paused: nothing that comes from now on is told. What waits already still is."
        )

    @router.post("/{id_}/resume")
    async def resume(visit: Visiting, id_: str) -> Response:
        await set_paused(made, [id_], False)
        visit.audit("subscription resumed", id_)
        return visit.go(_at(id_), "Resumed: what comes from now on is told.")

    @router.post("/{id_}/test")
    async def test(visit: Visiting, id_: str) -> Response:
        subscription = await made.subscriptions.find(id_)
        visit.audit("test message sent", f"{id_} to {subscription.destination}")
        try:
            await posted(made, subscription)
        except Missing:
            raise
        except Problem as error:
            return visit.go(_at(id_), str(error), "failed")
        return visit.go(_at(id_), f"A test message is in {subscription.destination} now.")


def _muting(router: APIRouter, made: Services) -> None:
    """Silence that ends by itself."""

    @router.post("/{id_}/mute")
    async def mute(visit: Visiting, id_: str) -> Response:
        until = visit.form.text("until") or None
        span = None if until else visit.form.text("span")
        now_ms = await made.server.now_ms()
        try:
            end_ms = end_of_mute_ms(span, until, now_ms)
        except ValueError as error:
            await made.subscriptions.find(id_)
            return visit.go(_at(id_), f"Not muted: {error}.", "failed")
        await set_muted(made, [id_], end_ms, now_ms)
        visit.audit("subscription muted", f"{id_} for {duration((end_ms - now_ms) / 1000)}")
        return visit.go(
            _at(id_), f"Muted for {duration((end_ms - now_ms) / 1000)}; then it tells again by itself."
        )

    @router.post("/{id_}/unmute")
    async def unmute(visit: Visiting, id_: str) -> Response:
        await set_muted(made, [id_], 0, await made.server.now_ms())
        visit.audit("subscription unmuted", id_)
        return visit.go(_at(id_), "Not muted any more: what comes from now on is told.")


def _removing(router: APIRouter, made: Services) -> None:
    """What asks first."""

    @router.get("/{id_}/remove")
    async def ask(visit: Visiting, id_: str) -> Response:
        waits, more = await waiting_for(made, id_)
        return visit.page("subscription_remove.html", rule=await _rule(made, id_), waits=waits, more=more)

    @router.post("/{id_}/remove")
    async def remove(visit: Visiting, id_: str) -> Response:
        rule = await _rule(made, id_)
        lost = await forget(made, [id_])
        visit.audit("subscription removed", f"{id_} to {rule.destination}")
        return visit.go(
            LIST, f"Removed {id_}: {rule.destination} is not told by it any more.{discarded(lost)}"
        )


async def _rule(made: Services, id_: str) -> Rule:
    return (await placed(made, id_)).rule


def _at(id_: str) -> str:
    return f"{LIST}/{id_}"


def _words(rule: Rule) -> str:
    """What one is found by."""
    return f"{rule.id} {rule.destination} {rule.integration} {rule.filters} {rule.options}".lower()
