"""Wake-up calls, and the texts of tasks in Flower."""

import logging
from datetime import UTC, datetime

import pytest

from config.settings import Settings
from worker.bootstrap.dispatch import Dispatcher, create_celery_app, format_drain_summary, format_wait
from worker.local_machine import free_port
from worker.pipeline.delivery.session import DrainResult
from worker.store.token_cipher import generate_key


async def test_a_wake_up_call_that_the_broker_rejects_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    unreachable = {"redis_url": f"redis://127.0.0.1:{free_port()}/0", "encryption_key": generate_key()}
    dispatcher = Dispatcher(create_celery_app(Settings.model_validate(unreachable)))
    await dispatcher.wake(["acme/#ops"])
    [line] = [line for line in caplog.records if line.name == "worker"]
    assert (line.message, line.levelno) == ("wake-up call not sent, the sweeper will repeat it", logging.ERROR)
    assert "refused" in vars(line)["error"]


def test_the_drain_summary_is_one_line() -> None:
    ops = DrainResult("acme/#ops", posts=2, finished=9)
    assert format_drain_summary([ops]) == "9 delivered in 2 posts"
    assert format_drain_summary([DrainResult("acme/#ops", reason="parked")]) == "0 delivered in 0 posts, parked"
    several = [ops, DrainResult("acme/#dev", posts=1, finished=1, reason="Slack asked to wait")]
    assert format_drain_summary(several) == "10 delivered in 3 posts, 2 lanes, acme/#dev: Slack asked to wait"
    assert format_drain_summary([DrainResult("acme/#ops", posts=1, finished=1)]) == "1 delivered in 1 post"


def test_a_snoozed_lane_is_shown_with_its_reason_and_next_try() -> None:
    ops = DrainResult("acme/#ops", reason="Slack failed (HTTP 503)", retry_s=21.4)
    at = datetime(2026, 11, 27, 23, 59, 50, tzinfo=UTC)
    assert format_wait([ops], at) == "Slack failed (HTTP 503); next try at 00:00:11 UTC"
    later = DrainResult("acme/#dev", reason="Slack asks to wait 60 s", retry_s=60.0)
    assert format_wait([later, ops], at) == "acme/#ops: Slack failed (HTTP 503); next try at 00:00:11 UTC"
