"""What goes through Celery: wake-up calls, directory reads, and dead letters for Flower to show."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from pydantic import SecretStr

from config.settings import Settings
from worker.bootstrap.where import addresses
from worker.domain.dead_letter import hint
from worker.domain.delivery import lane_parts
from worker.pipeline.drain import Drained
from worker.pipeline.reading import event_id_of
from worker.store.dead_letters import DeadLetter
from worker.store.dead_queue import PREFIX
from worker.store.events import Events
from worker.telemetry import say

if TYPE_CHECKING:  # it is imported where its app is made: most commands wake nobody
    from celery import Celery

log = logging.getLogger("worker")

Wake = Callable[[Sequence[str]], Awaitable[None]]
LANES_PER_WAKE = 32


def make_celery(settings: Settings) -> "Celery":
    """The Celery app; its messages are wake-up calls and the view for Flower."""
    from celery import Celery

    from config.celeryconfig import celery_config

    _, broker = addresses(settings)
    celery = Celery("worker", set_as_current=True)
    celery.conf.update(celery_config(settings.model_copy(update={"broker_url": SecretStr(broker)})))
    celery.conf.update(imports=("worker.tasks",))
    return celery


def wake_by(celery: "Celery") -> Wake:
    """Sends wake-up calls, a few dozen lanes in one."""

    def send(lanes: Sequence[str]) -> None:
        with celery.producer_or_acquire() as producer:
            for start in range(0, len(lanes), LANES_PER_WAKE):
                some = list(lanes[start : start + LANES_PER_WAKE])
                celery.send_task("slack.drain", args=(some,), argsrepr=shown(some), producer=producer)

    async def wake(lanes: Sequence[str]) -> None:
        await _sending("wake-up call", lambda: send(lanes))

    return wake


async def _sending(what: str, send: Callable[[], object]) -> bool:
    """Was it sent? What was not is made up by the sweep, which looks again."""
    from kombu.exceptions import OperationalError

    try:
        await asyncio.to_thread(send)
    except OperationalError as error:
        say(log, logging.ERROR, f"{what} not sent, the sweep will", error=str(error))
        return False
    return True


async def wake_nobody(lanes: Sequence[str]) -> None:
    """Without Celery the sweep of a worker notices what is due."""
    say(log, logging.DEBUG, "no wake-up call sent", lanes=len(lanes))


def shown(lanes: Sequence[str]) -> str:
    """A task's arguments as Flower shows them."""
    return f"({', '.join(lanes[:3])}{f' … {len(lanes)} lanes' if len(lanes) > 3 else ''})"


def refresher(celery: "Celery | None") -> Callable[[str], Awaitable[None]]:
    async def refresh(integration_id: str) -> None:
        if celery:
            call = partial(celery.send_task, "slack.refresh_directory", args=(integration_id,))
            await _sending("directory read", call)

    return refresh


def publisher(celery: "Celery | None", events: Events) -> Callable[[list[DeadLetter]], Awaitable[None]]:
    """Shows dead letters in Flower: a task each, in a queue nobody consumes."""

    async def publish(letters: list[DeadLetter]) -> None:
        if celery is None:
            return
        for letter in letters:
            delivery = letter.delivery
            about = {
                "reason": letter.reason,
                "channel": lane_parts(delivery.lane)[1] if delivery else "",
                "delivery_id": letter.id,
                "event_id": await event_id_of(events, delivery.event_ref) if delivery else letter.id,
                "hint": hint(letter.reason, letter.id),
            }
            name = "slack.dead_letter"
            call = partial(celery.send_task, name, kwargs=about, task_id=f"{PREFIX}{letter.id}")
            if not await _sending("dead letter", call):
                return

    return publish


def summary(done: Sequence[Drained]) -> str:
    """What a drain did, in one line for Flower; its one lane stands among the arguments already."""
    posts, told = sum(one.posts for one in done), sum(one.told for one in done)
    several = len(done) > 1
    why = next((f", {f'{one.lane}: ' if several else ''}{one.reason}" for one in done if one.reason), "")
    counts = f"{posts} post{'' if posts == 1 else 's'}{f', {len(done)} lanes' if several else ''}"
    return f"{told} told in {counts}{why}"


def waits(waiting: Sequence[Drained], now: datetime) -> str:
    """Why the lane that is tried first waits, and until when: a span says nothing to who reads it later."""
    first = min(waiting, key=lambda one: one.retry_s)
    which = f"{first.lane}: " if len(waiting) > 1 else ""
    return f"{which}{first.reason}; next try at {now + timedelta(seconds=first.retry_s):%H:%M:%S} UTC"
