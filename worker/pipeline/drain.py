"""Drain: holds a lane and tells what waits in it, until nothing does or something stands against it."""

import logging
import secrets
from dataclasses import dataclass

from worker.domain.errors import Fenced
from worker.pipeline.telling import Teller, Tools
from worker.store.held import NotHeld
from worker.store.outage import outage_of, say_outage
from worker.store.server import Unavailable
from worker.telemetry import say

log = logging.getLogger("worker.drain")

REDIS_AWAY_S = 2.0


@dataclass(frozen=True, slots=True)
class Drained:
    """What a drain did, for its one-line summary; `retry_s` is set when the lane waits out a failure."""

    lane: str
    posts: int = 0
    told: int = 0
    wake: bool = False
    reason: str = ""
    retry_s: float = 0.0


async def drain(lane: str, tools: Tools) -> Drained:
    """Tell what waits in a lane, until nothing does, time is up or something stands against it."""
    posts = told = 0
    try:
        held = await tools.lanes.acquire(lane, secrets.token_hex(8))
        if isinstance(held, NotHeld):
            waits_s = held.wait_s if held.failures else 0.0  # a failure is waited out: still to be seen
            return Drained(lane, reason=held.reason or held.why, retry_s=waits_s)
        connections = await tools.integrations.connections(held.integrations_version)
        await tools.subscriptions.all(held.subscriptions_version)
        drainer = Teller(held, connections.get(held.integration_id), tools)
        while True:
            one, ended = await drainer.tell_once()
            posts += bool(ended.told) and one.called
            told += ended.told
            if ended.split:
                drainer.singly = one.taken[-1].seq
            if not ended.left.held:
                retry_s = ended.snoozed_s if ended.failed else 0.0
                return Drained(lane, posts, told, ended.left.wake, ended.reason, retry_s)
    except Fenced:
        say(log, logging.WARNING, "lane lost to another worker", lane=lane)
        return Drained(lane, posts, told, reason="held by another worker by now")
    except Unavailable as error:
        say_outage(log, error, lane=lane)
        return Drained(lane, posts, told, reason=outage_of(error).reason, retry_s=REDIS_AWAY_S)
