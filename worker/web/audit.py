"""Audit log: one line for every change made over HTTP, with who made it and the outcome."""

import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from worker.domain.errors import UserError
from worker.store.audit import DONE, FAILED, MAX_TEXT, REFUSED, AuditTrail
from worker.store.redis_errors import StoreUnavailable
from worker.telemetry import LogValue, log_event

log = logging.getLogger("worker.audit")

SAFE_METHODS = ("GET", "HEAD")


@dataclass(slots=True)
class RequestAudit:
    """The audit line of a request, completed while the request is handled and written afterwards."""

    trail: AuditTrail
    who: str  #: The name of the token or session.
    what: str  #: The change: method and path of the API, or the console's action.
    which: str = ""  #: The object that is changed.
    details: dict[str, LogValue] = field(default_factory=dict)
    outcome: str = ""  #: Set by a handler whose response does not show that the change failed.

    is_kept: bool = True  #: Whether the trail has it too; published events are in the log alone, because they are many.

    async def write(self, outcome: str) -> None:
        """Write the line to the log and, if it belongs there, to the trail."""
        outcome = self.outcome or outcome
        texts: dict[str, LogValue] = {"what": self.what, "which": self.which, **self.details}
        cut = {name: value[:MAX_TEXT] if isinstance(value, str) else value for name, value in texts.items()}
        log_event(log, logging.INFO, "change audited", who=self.who, outcome=outcome, **cut)
        if not self.is_kept:
            return
        details = " ".join(f"{name}={value}" for name, value in self.details.items() if value)
        with suppress(StoreUnavailable):
            await self.trail.append(self.who, self.what, f"{self.which} {details}".strip(), outcome)


def set_audit_details(request: Request, **details: LogValue) -> None:
    """Add what the path does not say about the change."""
    request.state.audit.details.update(details)


class AuditedRoute(APIRoute):
    """A route that writes the request's audit entry after the request, whatever its outcome."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the route's handler, which also writes the audit entry."""
        handle = super().get_route_handler()

        async def handle_audited(request: Request) -> Response:
            outcome = FAILED
            try:
                response = await handle(request)
                outcome = DONE if response.status_code < 400 else REFUSED
            except (UserError, HTTPException, RequestValidationError, ClientDisconnect):
                outcome = REFUSED
                raise
            finally:
                if audit := getattr(request.state, "audit", None):
                    await audit.write(outcome)
            return response

        return handle_audited


def audited_router(prefix: str = "", tags: list[str | Enum] | None = None) -> APIRouter:
    """Return a router whose routes are audited."""
    return APIRouter(prefix=prefix, tags=tags, route_class=AuditedRoute)
