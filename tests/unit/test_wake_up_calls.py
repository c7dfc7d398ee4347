"""Wake-up calls: one that the broker does not take stops nobody; Flower shows in a line what came of one."""

import logging
from datetime import UTC, datetime

import pytest

from config.settings import Settings
from worker.bootstrap.calls import make_celery, summary, waits, wake_by
from worker.pipeline.drain import Drained
from worker.sandbox.machine import free_port
from worker.store.vault import generate_key


async def test_a_broker_that_is_away_is_said_and_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    away = {"redis_url": f"redis://127.0.0.1:{free_port()}/0", "encryption_key": generate_key()}
    wake = wake_by(make_celery(Settings.model_validate(away)))
    await wake(["acme/#ops"])
    [line] = [line for line in caplog.records if line.name == "worker"]
    assert (line.message, line.levelno) == ("wake-up call not sent, the sweep will", logging.ERROR)
    assert "refused" in vars(line)["error"]


def test_what_a_drain_did_is_a_short_line() -> None:
    one = Drained("acme/#ops", posts=2, told=9)
    assert summary([one]) == "9 told in 2 posts"
    assert summary([Drained("acme/#ops", reason="parked")]) == "0 told in 0 posts, parked"
    several = [one, Drained("acme/#dev", posts=1, told=1, reason="Slack asked to wait")]
    assert summary(several) == "10 told in 3 posts, 2 lanes, acme/#dev: Slack asked to wait"
    assert summary([Drained("acme/#ops", posts=1, told=1)]) == "1 told in 1 post"


def test_a_lane_that_waits_says_why_and_when_it_is_tried_again() -> None:
    one = Drained("acme/#ops", reason="Slack failed (HTTP 503)", retry_s=21.4)
    at = datetime(2026, 11, 27, 23, 59, 50, tzinfo=UTC)
    assert waits([one], at) == "Slack failed (HTTP 503); next try at 00:00:11 UTC"
    later = Drained("acme/#dev", reason="Slack asks to wait 60 s", retry_s=60.0)
    assert waits([later, one], at) == "acme/#ops: Slack failed (HTTP 503); next try at 00:00:11 UTC"
