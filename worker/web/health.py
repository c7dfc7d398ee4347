"""Health: whether the process lives, and whether events are told by now."""

import asyncio
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel

from worker.store.server import Unavailable
from worker.store.stream import EventStream
from worker.store.upkeep import Upkeep

LOOK_S = 3.0


class Alive(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """Whether everything is there that tells an event; `missing` says what is not, and what to do."""

    ready: bool
    missing: dict[Literal["redis", "stream", "worker"], str]


def health(upkeep: Upkeep, stream: EventStream) -> APIRouter:
    """`/healthz` and `/readyz`; neither takes credentials, neither names anything."""
    router = APIRouter(tags=["health"])

    @router.get("/healthz", summary="Whether the process lives")
    async def healthz() -> Alive:
        return Alive()

    @router.get(
        "/readyz",
        summary="Whether Redis answers, the stream is there and a worker was seen",
        responses={503: {"model": Readiness, "description": "Something is missing"}},
    )
    async def readyz(response: Response) -> Readiness:
        try:
            async with asyncio.timeout(LOOK_S):
                found = await look(upkeep, stream)
        except (TimeoutError, Unavailable):
            found = Readiness(ready=False, missing={"redis": "Redis does not answer: start it."})
        response.status_code = 200 if found.ready else 503
        response.headers["cache-control"] = "no-store"
        return found

    return router


async def look(upkeep: Upkeep, stream: EventStream) -> Readiness:
    """What is missing of all that Redis knows."""
    found = Readiness(ready=True, missing={})
    if not await stream.is_there():
        found.missing["stream"] = "The stream is not there: start `ik-slack ingest`, which makes it."
    if not await upkeep.alive("worker"):
        found.missing["worker"] = "No worker was seen lately: start one."
    found.ready = not found.missing
    return found
