"""The tasks as a worker runs them: what becomes of a call when the broker is not there any more."""

import logging
from collections.abc import Callable, Iterator

import pytest
from celery import Celery, current_app
from celery.app.trace import build_tracer
from kombu.transport.virtual import Channel, QoS

import worker.tasks
from config.settings import Settings
from worker.bootstrap.calls import make_celery
from worker.bootstrap.door import open_door
from worker.pipeline.drain import Drained
from worker.sandbox.machine import free_port

WAITS = Drained("acme/#ops", reason="Slack had an error of its own", retry_s=4.0)


class Runtime:
    """Has drained one lane already."""

    def run(self, work: Callable[..., object]) -> list[Drained]:
        return [WAITS]


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What a person would read as trouble."""
    return [line.message for line in caplog.records if line.levelno > logging.INFO]


@pytest.fixture
def celery() -> Iterator[Celery]:
    """Its broker is away, and that is not waited for."""
    before = current_app._get_current_object()
    celery = make_celery(Settings.load(redis_url=f"redis://127.0.0.1:{free_port()}/0"))
    celery.conf.task_publish_retry = False
    celery.runtime = Runtime()
    yield celery
    celery.close()
    before.set_current()


def test_a_lane_that_waits_is_left_to_the_sweep_when_the_call_cannot_be_sent_again(
    celery: Celery, caplog: pytest.LogCaptureFixture
) -> None:
    task = celery.tasks[worker.tasks.drain_lanes.name]
    request = {"id": "one", "is_eager": False, "called_directly": False, "delivery_info": {}, "retries": 0}
    told = build_tracer(task.name, task, app=celery)("one", (["acme/#ops"],), {}, request)
    assert told.info is None, "it ends as done, not as rejected"
    assert "Slack had an error of its own" in told.retval
    assert complaints(caplog) == []


def test_calls_in_hand_are_not_dumped_to_a_file_when_redis_is_lost(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Channel, "do_restore", True)
    before = current_app._get_current_object()
    celery = open_door(Settings.load(redis_url="redis://127.0.0.1:1/0"))
    calls = QoS(Channel.__new__(Channel))
    calls.append("a call", "its tag")
    calls.restore_unacked_once()
    assert complaints(caplog) == []
    celery.close()
    before.set_current()
