"""The Celery tasks: unpack names, call the pipeline, nothing else. A message is only a wake-up call."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime

from celery import Task, current_app, shared_task
from celery.exceptions import Reject

from worker.bootstrap import Services
from worker.bootstrap.calls import shown, summary, waits
from worker.domain.errors import NotYet, Refusal
from worker.pipeline.connection import connected
from worker.pipeline.drain import Drained, drain
from worker.pipeline.replay import replay

LONGEST_COUNTDOWN_S = 20.0  # a call that waits is in a worker's memory only; longer waits are in the store
READING_MOST_S = 3600.0  # a directory of 20,000 channels, at Slack's pace, several times over


class LaneWaits(Exception):
    """A lane waits out a failure; shown in Flower with the reason."""


@shared_task(name="slack.drain", bind=True, max_retries=None)
def drain_lanes(self: Task, lanes: list[str]) -> str:
    """Tell what waits in these lanes; ends as RETRY while one of them waits out a failure."""

    async def work(made: Services) -> list[Drained]:
        done = await asyncio.gather(*(drain(lane, made.drain) for lane in lanes))
        awake = [one.lane for one in done if one.wake]
        if awake:
            await made.sweep.wake(awake)
        return done

    done = current_app.runtime.run(work)
    waiting = [one for one in done if one.retry_s]
    if waiting:
        again = [one.lane for one in waiting]
        soonest_s = min(one.retry_s for one in waiting)
        why, countdown = LaneWaits(waits(waiting, datetime.now(UTC))), min(soonest_s, LONGEST_COUNTDOWN_S)
        with suppress(Reject):  # the broker is away; when the lanes are due is in the store
            raise self.retry(args=(again,), exc=why, countdown=countdown, argsrepr=shown(again))
    return summary(done)


@shared_task(name="slack.refresh_directory")
def refresh_directory(integration_id: str) -> str:
    """Read an integration's channels anew, if they are still too old when its turn comes."""

    async def work(made: Services) -> str:
        connection = (await made.integrations.connections()).get(integration_id)
        try:
            integration, token = connected(connection, integration_id)
            age_s = made.settings.directory_ttl_s
            pages = await made.reader.read(integration, token, unless_younger_s=age_s)
        except (Refusal, NotYet) as error:
            return f"not read: {error.reason}"
        return f"{pages} pages read" if pages else "not read: another worker has just done so"

    return str(current_app.runtime.run(work, most_s=READING_MOST_S))


@shared_task(name="slack.replay")
def replay_dead_letter(delivery_id: str) -> str:
    """Try a dead letter again."""
    return str(
        current_app.runtime.run(
            lambda made: replay(made.dead_letters, made.stream.stream, made.sweep.wake, delivery_id)
        )
    )


@shared_task(name="slack.dead_letter")
def dead_letter(**about: str) -> str:
    """Only to be looked at: its queue has no consumer. Run all the same, it changes nothing."""
    return f"a dead letter is replayed with slack.replay({about.get('delivery_id', '')!r})"
