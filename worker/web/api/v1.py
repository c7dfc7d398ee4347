"""Version 1: every noun behind one door."""

from fastapi import APIRouter

from worker.bootstrap import Services
from worker.web.access import Access
from worker.web.api.events import events
from worker.web.api.integrations import channels, integrations
from worker.web.api.looking import looking
from worker.web.api.subscriptions import subscriptions
from worker.web.api.telling import dead_letters, deliveries, parked

NOUNS = (events, deliveries, parked, dead_letters, subscriptions, integrations, channels, looking)


def api(made: Services, access: Access) -> APIRouter:
    """Everything under `/api/v1`."""
    router = APIRouter(prefix="/api/v1", dependencies=access.needed)
    for noun in NOUNS:
        router.include_router(noun(made), tags=[noun.__name__.replace("_", "-")])
    return router
