"""The HTTP API: the nouns of the command line under `/api/v1`.

An answer has the keys of the command's `--json`; a list is `{"rows": [...], "next": ...}`, where `next` is the
`after` of the next page, null on the last. `worker.services` does the work. Named API tokens are not part of the
API: a caller with one must not be able to create more.
"""

from fastapi import APIRouter, Depends

from worker.web.api import deliveries, events, integrations, subscriptions
from worker.web.auth import authenticate
from worker.web.requests import AUTH_STATUSES, problem_responses

ROUTERS = (
    events.router, events.diagnostics, deliveries.router, deliveries.parked, deliveries.dead_letters,
    subscriptions.router, integrations.router, integrations.channels,
)  # fmt: skip
STATUSES = (400, 404, 409, 413, 415, 422, 502, *AUTH_STATUSES)  #: Not every path answers with each of them.


def api_router() -> APIRouter:
    """Return the router of everything under `/api/v1`."""
    api = APIRouter(prefix="/api/v1", dependencies=[Depends(authenticate)], responses=problem_responses(*STATUSES))
    for router in ROUTERS:
        api.include_router(router)
    return api
