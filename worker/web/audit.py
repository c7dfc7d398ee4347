"""Audit: one line in the log for every change that is made over HTTP, and who made it."""

import logging
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute

from worker.telemetry import Told, say

log = logging.getLogger("worker.audit")

SAFE = ("GET", "HEAD")
LONGEST_TEXT = 200


class AuditedRoute(APIRoute):
    """A route that writes the line by itself, so that no change can go without."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The route's own, and the line."""
        answer = super().get_route_handler()

        async def written(request: Request) -> Response:
            done = False
            try:
                response = await answer(request)
                done = response.status_code < 400
            finally:  # a request that failed half way may have changed something
                if request.method not in SAFE and (done or getattr(request.state, "about", {})):
                    _write(request)
            return response

        return written


def audited(prefix: str = "") -> APIRouter:
    """A router of such routes."""
    return APIRouter(prefix=prefix, route_class=AuditedRoute)


def about(request: Request, **what: Told) -> None:
    """What the path does not say of a change."""
    request.state.about = what


def _write(request: Request) -> None:
    did = f"{request.method} {request.scope['path']}"[:LONGEST_TEXT]
    what: dict[str, Told] = getattr(request.state, "about", {})
    cut = {name: value[:LONGEST_TEXT] if isinstance(value, str) else value for name, value in what.items()}
    say(log, logging.INFO, "changed over HTTP", by=request.state.caller, did=did, **cut)
