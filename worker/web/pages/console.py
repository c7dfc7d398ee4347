"""The console as one application of its own, with its door, its pages and its errors."""

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.routing import Match, Mount
from starlette.types import Scope

from worker.bootstrap import Services
from worker.domain.errors import Problem
from worker.store.server import Unavailable
from worker.store.sessions import Sessions
from worker.web.pages.access import ConsoleAccess
from worker.web.pages.channel import channel
from worker.web.pages.dead_letters import dead_letters
from worker.web.pages.deciding import deciding
from worker.web.pages.deliveries import deliveries
from worker.web.pages.door import Door
from worker.web.pages.explain import explain
from worker.web.pages.failure import failed
from worker.web.pages.integrations import integrations
from worker.web.pages.login import login
from worker.web.pages.look import assets
from worker.web.pages.overview import overview
from worker.web.pages.parked import parked
from worker.web.pages.rotation import rotation
from worker.web.pages.setup import setup
from worker.web.pages.subscribing import subscribing
from worker.web.pages.subscriptions import subscriptions

ELSEWHERE = ("api", "webhooks", "healthz", "readyz", "metrics")
"""What a path begins with that is never a page."""

YEAR_S = 31_536_000


class Console(Mount):
    """Every path but those of the API, the webhooks and the probes: an unknown one is a page too."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether it is a page."""
        if str(scope["path"]).lstrip("/").partition("/")[0] in ELSEWHERE:
            return Match.NONE, {}
        return super().matches(scope)


def console(made: Services) -> Console:
    """The pages, behind their door."""
    settings, sessions = made.settings, Sessions(made.server)
    access = ConsoleAccess(settings.admin_password, settings.api_token, salt=settings.key_prefix)
    app = FastAPI(openapi_url=None, redirect_slashes=False)  # the door does, by the path alone
    routers = (login(access, sessions), *_pages(made), _assets())
    for router in routers:
        app.include_router(router)
    for error in (HTTPException, RequestValidationError, Problem, Unavailable, TimeoutError, Exception):
        app.add_exception_handler(error, failed)
    routes = (route for router in routers for route in router.routes)
    served = frozenset(route.path for route in routes if isinstance(route, APIRoute))
    return Console("/", Door(app, access, sessions, served))


def _pages(made: Services) -> list[APIRouter]:
    """One router a noun."""
    return [
        overview(made), setup(made), integrations(made), rotation(made), channel(made),
        subscribing(made), subscriptions(made), deliveries(made), parked(made), deciding(made),
        dead_letters(made), explain(made),
    ]  # fmt: skip


def _assets() -> APIRouter:
    """Their address changes with their content, so a browser asks once."""
    router, by_path = APIRouter(), {asset.path: asset for asset in assets().values()}

    @router.get("/assets/{name}")
    async def asset(request: Request) -> Response:
        found = by_path.get(request.scope["path"])
        if found is None:
            raise HTTPException(404)
        kept = {"cache-control": f"public, max-age={YEAR_S}, immutable"}
        return Response(found.content, media_type=found.media_type, headers=kept)

    return router
