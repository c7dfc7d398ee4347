"""The Celery app, and what is sent through it: wake-up calls, directory refreshes, dead letters for Flower."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from config.settings import Settings
from worker.bootstrap.redis_urls import redis_addresses
from worker.domain.delivery import lane_parts
from worker.domain.hints import dead_letter_hint
from worker.pipeline.delivery.event_loader import event_id_of
from worker.pipeline.delivery.session import DrainResult
from worker.store.dead_letters import TASK_PREFIX, DeadLetter
from worker.store.events import Events
from worker.telemetry import log_event

if TYPE_CHECKING:  # imported where an app is created: most commands send nothing
    from celery import Celery

log = logging.getLogger("worker")

LANES_PER_CALL = 32


def create_celery_app(settings: Settings) -> "Celery":
    """Create the Celery app, which sends wake-up calls and feeds Flower."""
    from celery import Celery

    from config.celeryconfig import celery_config

    _, broker = redis_addresses(settings)
    celery = Celery("worker", set_as_current=True)
    celery.conf.update(celery_config(settings, broker), imports=("worker.tasks",))
    return celery


@dataclass(frozen=True, slots=True)
class Dispatcher:
    """Sends messages through Celery. Without Celery it sends none: the sweeper of a worker notices what is due."""

    celery: "Celery | None"

    async def wake(self, lanes: Sequence[str]) -> None:
        """Send the wake-up calls of lanes."""
        celery = self.celery
        if celery is None:
            log_event(log, logging.DEBUG, "wake-up call skipped", lanes=len(lanes))
            return

        def send_calls() -> None:
            with celery.producer_or_acquire() as producer:
                for start in range(0, len(lanes), LANES_PER_CALL):
                    batch = list(lanes[start : start + LANES_PER_CALL])
                    celery.send_task("slack.drain", args=(batch,), argsrepr=format_lanes(batch), producer=producer)

        await _send("wake-up call", send_calls)

    async def refresh_directory(self, integration_id: str) -> None:
        """Send the task that refreshes an integration's directory."""
        if self.celery:
            call = partial(self.celery.send_task, "slack.refresh_directory", args=(integration_id,))
            await _send("directory refresh", call)

    async def publish_dead_letters(self, events: Events, letters: list[DeadLetter]) -> None:
        """Show dead letters in Flower, each as a task in a queue without a consumer."""
        if self.celery is None:
            return
        for letter in letters:
            delivery = letter.delivery
            details = {
                "reason": letter.reason,
                "channel": lane_parts(delivery.lane)[1] if delivery else "",
                "delivery_id": letter.id,
                "event_id": await event_id_of(events, delivery.event_ref) if delivery else letter.id,
                "hint": str(dead_letter_hint(letter.reason, letter.id)),
            }
            task_id = f"{TASK_PREFIX}{letter.id}"
            call = partial(self.celery.send_task, "slack.dead_letter", kwargs=details, task_id=task_id)
            if not await _send("dead letter", call):
                return


async def _send(kind: str, send: Callable[[], object]) -> bool:
    """Send a message in a thread. Return whether the broker took it; the sweeper repeats what it did not take."""
    from kombu.exceptions import OperationalError

    try:
        await asyncio.to_thread(send)
    except OperationalError as error:
        log_event(log, logging.ERROR, f"{kind} not sent, the sweeper will repeat it", error=str(error))
        return False
    return True


def format_lanes(lanes: Sequence[str]) -> str:
    """Format a task's arguments for Flower."""
    return f"({', '.join(lanes[:3])}{f' … {len(lanes)} lanes' if len(lanes) > 3 else ''})"


def format_drain_summary(results: Sequence[DrainResult]) -> str:
    """Format the outcome of a drain for Flower, in one line; Flower shows a single lane among the arguments."""
    several = len(results) > 1
    posts = sum(result.posts for result in results)
    parts = [f"{posts} post" if posts == 1 else f"{posts} posts"]
    parts += [f"{len(results)} lanes"] if several else []
    failed = [result for result in results if result.reason][:1]
    parts += [f"{result.lane}: {result.reason}" if several else result.reason for result in failed]
    return f"{sum(result.finished for result in results)} delivered in {', '.join(parts)}"


def format_wait(waiting: Sequence[DrainResult], now: datetime) -> str:
    """Format why the lane that is retried first waits, and until which time of day."""
    first = min(waiting, key=lambda result: result.retry_s)
    lane = f"{first.lane}: " if len(waiting) > 1 else ""
    return f"{lane}{first.reason}; next try at {now + timedelta(seconds=first.retry_s):%H:%M:%S} UTC"
