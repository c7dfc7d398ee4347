"""The Celery tasks: they unpack their arguments and call the pipeline. A message is only a wake-up call."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

from celery import Task, current_app, shared_task
from celery.exceptions import Reject

from worker.bootstrap.celery_app import DRAIN_TIMEOUT_S, LoopThread
from worker.bootstrap.context import AppContext
from worker.bootstrap.dispatch import format_drain_summary, format_lanes, format_wait
from worker.domain.errors import RetryLater, SlackError
from worker.pipeline.delivery.resolver import require_connection
from worker.pipeline.delivery.session import DrainResult, drain
from worker.services.dead_letters import replay_one

COUNTDOWN_MAX_S = 20.0  # a call that waits is in a worker's memory only; longer waits are in the store
REFRESH_TIMEOUT_S = 3600.0  # a directory of 20,000 channels, at Slack's pace, several times over

Result = TypeVar("Result")


class LaneWaits(Exception):
    """A lane is snoozed after a failure; Flower shows the reason."""


@shared_task(name="slack.drain", bind=True, max_retries=None)
def drain_lanes(self: Task, lanes: list[str]) -> str:
    """Send the pending deliveries of these lanes; end as RETRY while a failure snoozes one of them."""

    async def work(app: AppContext) -> list[DrainResult]:
        results = await asyncio.gather(*(drain(lane, app.delivery) for lane in lanes))
        if unfinished := [result.lane for result in results if result.wake]:
            await app.wake(unfinished)
        return results

    results = _run(work)
    if waiting := [result for result in results if result.retry_s]:
        retried = [result.lane for result in waiting]
        countdown = min(COUNTDOWN_MAX_S, *(result.retry_s for result in waiting))
        reason = LaneWaits(format_wait(waiting, datetime.now(UTC)))
        with suppress(Reject):  # the broker is away; the store has the time when the lanes are due
            raise self.retry(args=(retried,), exc=reason, countdown=countdown, argsrepr=format_lanes(retried))
    return format_drain_summary(results)


@shared_task(name="slack.refresh_directory")
def refresh_directory(integration_id: str) -> str:
    """Refresh an integration's directory, unless another worker refreshed it while this task was queued."""

    async def work(app: AppContext) -> str:
        connection = (await app.integrations.get_connections()).get(integration_id)
        try:
            integration, token = require_connection(connection, integration_id)
            max_age_s = app.settings.directory_ttl_s
            pages = await app.directory_refresher.refresh(integration, token, unless_younger_s=max_age_s)
        except (SlackError, RetryLater) as error:
            return f"not read: {error.reason}"
        return f"{pages} pages read" if pages else "not read: another worker has just done so"

    return _run(work, timeout_s=REFRESH_TIMEOUT_S)


@shared_task(name="slack.replay")
def replay_dead_letter(delivery_id: str) -> str:
    """Replay a dead letter."""
    return _run(lambda app: replay_one(app, delivery_id, "Flower or Celery")).text


@shared_task(name="slack.dead_letter")
def dead_letter(**details: str) -> str:
    """Show a dead letter in Flower. Its queue has no consumer; running the task changes nothing."""
    return f"a dead letter is replayed with slack.replay({details.get('delivery_id', '')!r})"


def _run(work: Callable[[AppContext], Coroutine[Any, Any, Result]], *, timeout_s: float = DRAIN_TIMEOUT_S) -> Result:
    return cast("LoopThread", current_app.loop_thread).run(work, timeout_s=timeout_s)
