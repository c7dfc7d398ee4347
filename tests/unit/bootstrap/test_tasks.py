"""The tasks as a worker runs them, with an unreachable broker."""

import logging
from collections.abc import Callable, Iterator

import pytest
from celery import Celery, current_app
from celery.app.trace import build_tracer
from kombu.transport.virtual import Channel, QoS

import worker.tasks
from config.settings import Settings
from worker.bootstrap.celery_app import create_worker_app
from worker.bootstrap.dispatch import create_celery_app
from worker.local_machine import free_port
from worker.pipeline.delivery.session import DrainResult

SNOOZED = DrainResult("acme/#ops", reason="Slack had an internal error", retry_s=4.0)


class SnoozedLane:
    """A loop thread whose drain ends with a snoozed lane."""

    def run(self, work: Callable[..., object], *, timeout_s: float) -> list[DrainResult]:
        return [SNOOZED]


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [line.message for line in caplog.records if line.levelno > logging.INFO]


@pytest.fixture
def celery() -> Iterator[Celery]:
    """A Celery app with an unreachable broker, without retries."""
    before = current_app._get_current_object()
    celery = create_celery_app(Settings.load(redis_url=f"redis://127.0.0.1:{free_port()}/0"))
    celery.conf.task_publish_retry = False
    celery.loop_thread = SnoozedLane()
    yield celery
    celery.close()
    before.set_current()


@pytest.mark.slow
def test_a_drain_task_succeeds_when_its_retry_cannot_be_sent(celery: Celery, caplog: pytest.LogCaptureFixture) -> None:
    task = celery.tasks[worker.tasks.drain_lanes.name]
    request = {"id": "one", "is_eager": False, "called_directly": False, "delivery_info": {}, "retries": 0}
    outcome = build_tracer(task.name, task, app=celery)("one", (["acme/#ops"],), {}, request)
    assert outcome.info is None, "the task succeeds and is not rejected"
    assert "Slack had an internal error" in outcome.retval
    assert warnings_in(caplog) == []


def test_unacknowledged_calls_are_not_dumped_to_a_file_when_redis_is_lost(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Channel, "do_restore", True)
    before = current_app._get_current_object()
    celery = create_worker_app(Settings.load(redis_url="redis://127.0.0.1:1/0"))
    calls = QoS(Channel.__new__(Channel))
    calls.append("a call", "its tag")
    calls.restore_unacked_once()
    assert warnings_in(caplog) == []
    celery.close()
    before.set_current()
