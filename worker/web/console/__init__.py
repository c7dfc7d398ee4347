"""The console: pages made on the server, which work without JavaScript.

`middleware.py` authenticates every request, so that no page can forget it. A module has the pages of one noun; their
templates are in `worker/templates/console/`. What pages show and change belongs to `services` and `store`.
"""

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.routing import Match, Mount
from starlette.types import Scope

from worker.domain.errors import UserError
from worker.store.redis_errors import StoreUnavailable
from worker.web.console import dead_letters, deliveries, integrations, login, overview, subscriptions
from worker.web.console.middleware import ConsoleMiddleware, render_error
from worker.web.console.templating import assets

OTHER_PATHS = ("api", "webhooks", "healthz", "readyz", "metrics")  #: The first parts of paths that are no pages.
YEAR_S = 31_536_000
asset_router = APIRouter()
#: The order matters: `/integrations/slack/setup` before `/integrations/{id}`.
ROUTERS = (
    login.router, overview.router, integrations.setup, integrations.router, subscriptions.router, deliveries.router,
    deliveries.parked, deliveries.explain, dead_letters.router, asset_router,
)  # fmt: skip


class Console(Mount):
    """Every path but those of the API, the webhooks and the probes: an unknown path is a page too."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return whether a path is a page."""
        if str(scope["path"]).lstrip("/").partition("/")[0] in OTHER_PATHS:
            return Match.NONE, {}
        return super().matches(scope)


def console() -> Console:
    """Return the console."""
    pages = FastAPI(openapi_url=None, redirect_slashes=False)  # the middleware redirects, by path alone
    for router in ROUTERS:
        pages.include_router(router)
    for error in (HTTPException, RequestValidationError, UserError, StoreUnavailable, TimeoutError, Exception):
        pages.add_exception_handler(error, render_error)
    paths = frozenset(route.path for router in ROUTERS for route in router.routes if isinstance(route, APIRoute))
    return Console("/", ConsoleMiddleware(pages, paths))


@asset_router.get("/assets/{name}")
async def show_asset(request: Request) -> Response:
    """Return a style, script or icon, whose address changes with its content."""
    path = request.scope["path"]
    asset = next((asset for asset in assets().values() if asset.path == path), None)
    if asset is None:
        raise HTTPException(404)
    headers = {"cache-control": f"public, max-age={YEAR_S}, immutable"}
    return Response(asset.content, media_type=asset.media_type, headers=headers)
