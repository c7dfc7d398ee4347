"""The routes of the web application: those of the console as it lists them, those of the API as its document does."""

import re
from collections.abc import Mapping
from typing import Any

from fastapi.routing import APIRoute

from worker.web.console import ROUTERS

Routes = tuple[tuple[str, str], ...]

#: Paths that answer without a credential; `/login` is the form that asks for one.
OPEN = ("/healthz", "/readyz", "/metrics", "/assets/{name}", "/login")
DOCUMENT = ("GET", "/api/openapi.json")

PAGES: Routes = tuple(
    (method, re.sub(r":\w+}", "}", route.path))
    for router in ROUTERS
    for route in router.routes
    if isinstance(route, APIRoute)
    for method in sorted(route.methods)
    if route.path not in OPEN or method == "POST"
)


def api_routes(document: Mapping[str, Any]) -> Routes:
    """Return the methods and paths of the API and the webhooks."""
    paths = document["paths"]
    return tuple((method.upper(), path) for path in paths if path not in OPEN for method in paths[path])


def is_page(path: str) -> bool:
    """Return whether a path is the console's."""
    return not path.startswith(("/api/", "/webhooks/"))


def is_closed(path: str, status: int, location: str) -> bool:
    """Return whether an answer shows that a credential is missing: a refusal, or the way to the login."""
    if not is_page(path):
        return status == 401
    return (status, location.partition("?")[0]) in ((303, "/login"), (403, ""), (415, ""))
