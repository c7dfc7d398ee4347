"""Overview: how everything stands, on one page."""

from fastapi import APIRouter, Response

from worker.bootstrap import Services
from worker.store.ledger import take_census
from worker.web.pages.visit import Visiting


def overview(made: Services) -> APIRouter:
    """`/`"""
    router = APIRouter()

    @router.get("/")
    async def shown(visit: Visiting) -> Response:
        balance, _ = await take_census(made.server)
        return visit.page("overview.html", balance=balance)

    return router
