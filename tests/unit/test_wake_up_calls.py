"""A wake-up call that the broker does not take is said, and stops nobody: the sweep makes up for it."""

import logging

import pytest

from config.settings import Settings
from worker.bootstrap.calls import make_celery, wake_by
from worker.sandbox.machine import free_port
from worker.store.vault import generate_key


async def test_a_broker_that_is_away_is_said_and_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    away = {"redis_url": f"redis://127.0.0.1:{free_port()}/0", "encryption_key": generate_key()}
    wake = wake_by(make_celery(Settings.model_validate(away)))
    await wake(["acme/#ops"])
    [line] = [line for line in caplog.records if line.name == "worker"]
    assert (line.message, line.levelno) == ("wake-up call not sent, the sweep will", logging.ERROR)
    assert "refused" in vars(line)["error"]
