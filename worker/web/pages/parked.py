"""Parked: what waits for a person, why, and the step that frees it."""

from fastapi import APIRouter, Response

from worker.asking.resuming import resumed
from worker.bootstrap import Services
from worker.domain.delivery import lane_parts
from worker.domain.integration import Health
from worker.web.pages.clicks import on_pages
from worker.web.pages.paging import after, paging
from worker.web.pages.visit import Visiting

ROWS = 50


def parked(made: Services) -> APIRouter:
    """`/parked`"""
    router = APIRouter(prefix="/parked")

    @router.get("")
    async def listed(visit: Visiting) -> Response:
        place = after(visit.request)
        page, integrations = await made.parked.page(place, ROWS), await made.integrations.all()
        return visit.page(
            "parked.html",
            stopped=[one for one in integrations if place is None and one.state is not Health.ACTIVE],
            names={one.id: one.name for one in integrations},
            lanes=[one for one in page.rows if not one.whole_integration],
            held=[one for one in page.rows if one.whole_integration],
            parts_of=lane_parts,
            paging=paging(visit.request, {}, page.next),
            now_ms=await made.server.now_ms(),
        )

    @router.get("/resume")
    async def back(visit: Visiting) -> Response:  # its answer was loaded again, or logged in to
        return visit.go("/parked")

    @router.post("/resume")
    async def resume(visit: Visiting) -> Response:
        lane = visit.form.text("lane")
        words = await resumed(made, lane)
        visit.audit("lane resumed", lane)
        return visit.go("/parked", on_pages(words))

    return router
