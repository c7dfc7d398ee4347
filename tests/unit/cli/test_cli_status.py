"""`ik-slack status` and `ik-slack alive`: ok only when everything is, and every trouble with its fix."""

import json
import os
import time
from pathlib import Path

import pytest
from support.cli import UNREACHABLE_URL, Shell, deliver, drain_lanes, ingest, reject_next_messages, set_up
from support.events import UNREADABLE_EVENT, alert, failed_workflow

from worker.local_machine import life_sign_path

KEYS = ("health", "reasons", "oldest_pending_s", "integrations", "parked", "dead", "lost")


@pytest.fixture
def running(shell: Shell) -> Shell:
    """Return a shell whose installation has an integration, a subscription to #ops and live processes."""
    return set_up(shell)


def test_an_installation_without_problems_is_ok(running: Shell) -> None:
    deliver(running, failed_workflow())
    status = running("status", "--json").json
    assert tuple(status) == KEYS
    (integration,) = status.pop("integrations")
    assert integration.pop("last_success_at") is not None
    assert integration == {"name": "acme", "state": "active"}
    assert status == {"health": "ok", "reasons": [], "oldest_pending_s": 0, "parked": 0, "dead": 0, "lost": 0}
    shown = running("status")
    assert (shown.code, shown.out.splitlines()[0]) == (0, "ok")


def test_a_new_installation_needs_attention(shell: Shell) -> None:
    status = shell("status", "--json").json
    assert status["health"] == "attention"
    assert [reason.partition(".")[0] for reason in status["reasons"]] == [
        "No ingest process is running",
        "No worker process is running",
        "There is no integration: nothing can be posted",
    ]


def test_a_post_that_failed_makes_the_status_failing_until_one_succeeds(running: Shell) -> None:
    running.slack.outage = True
    ingest(running, failed_workflow())
    drain_lanes(running, budget_s=0.2)
    status = running("status", "--json").json
    assert status["health"] == "failing"
    assert status["reasons"][0].startswith("Posts to acme fail (")
    assert "✗ Posts to acme fail" in running("status").out
    running.slack.outage = False
    running.store(lambda app: app.redis.command("HDEL", app.redis.keys.lane("acme/#ops"), "snoozed"))
    running.store(lambda app: app.redis.command("ZADD", app.redis.keys.named("due"), 0, "acme/#ops"))
    drain_lanes(running)
    assert running("status", "--json").json["health"] == "ok"


def test_a_revoked_token_is_failing(running: Shell) -> None:
    running.acme.revoke()
    deliver(running, failed_workflow())
    status = running("status", "--json").json
    assert status["health"] == "failing"
    assert "`ik-slack integrations rotate acme`" in status["reasons"][0]


def test_a_parked_lane_and_a_dead_letter_need_attention(running: Shell) -> None:
    running.subscribe("--to", "#lobby")
    deliver(running, failed_workflow(), UNREADABLE_EVENT)
    status = running("status", "--json").json
    assert (status["health"], status["parked"]) == ("attention", 1)
    assert [reason.partition(".")[0] for reason in status["reasons"]] == [
        "1 lane is parked",
        "1 dead letter not replayed or discarded",
    ]


def test_a_critical_dead_letter_is_failing_until_it_is_discarded(running: Shell) -> None:
    reject_next_messages(running)
    deliver(running, json.dumps(alert(severity="critical")))
    status = running("status", "--json").json
    assert (status["health"], status["dead"]) == ("failing", 1)
    assert status["reasons"][0].startswith("1 critical delivery is dead.")
    assert running("dead-letters", "discard", "--all").code == 0
    assert running("status", "--json").json["health"] == "ok"


def test_a_template_that_is_switched_off_needs_attention_until_it_is_corrected(running: Shell) -> None:
    slow = "{% if project == 'odd' %}{{ [[[[title] * 4000] * 4000] * 4000] * 4000 }}{% endif %}own {{ title }}"
    id_ = running.subscribe("--to", "ops", "--template", running.file(slow))
    deliver(running, failed_workflow("odd-1", project="odd"))
    status = running("status", "--json").json
    assert status["health"] == "attention"
    (reason,) = status["reasons"]
    assert reason.startswith(f"The template of {id_} is switched off: it takes too much time. The default message")
    (finding,) = [one for one in running("doctor", "--json").json if "template" in one["check"]]
    assert finding["detail"] == "switched off: it takes too much time"
    assert running("subscriptions", "resume", id_).code == 0
    assert running("status", "--json").json["health"] == "ok"


def test_lost_events_are_failing(running: Shell) -> None:
    running.store(lambda app: app.redis.command("HSET", app.redis.keys.named("ledger"), "lost", 2))
    status = running("status", "--json").json
    assert (status["health"], status["lost"]) == ("failing", 2)
    assert "MAXLEN" in status["reasons"][0]


def test_an_unread_event_is_late_after_a_minute(running: Shell) -> None:
    old_ms = (time.time_ns() // 1_000_000) - 90_000
    running.store(lambda app: app.redis.command("XADD", app.stream.stream, f"{old_ms}-0", "event", "{}"))
    status = running("status", "--json").json
    assert status["health"] == "attention"
    assert 90 <= status["oldest_pending_s"] < 150
    assert status["reasons"] == [
        "The oldest message is 1 min 30 s late. To see what it waits for, run `ik-slack deliveries list`."
    ]


def test_a_disabled_integration_is_reported_only_while_deliveries_wait_for_it(running: Shell) -> None:
    assert running("integrations", "disable", "acme").code == 0
    assert running("status", "--json").json["health"] == "ok"
    deliver(running, failed_workflow())
    (reason,) = running("status", "--json").json["reasons"]
    assert reason.startswith("acme is disabled, and 1 delivery waits for it.")


def test_without_redis_the_status_is_one_line_on_stderr(shell: Shell) -> None:
    shell.env.setenv("REDIS_URL", "redis://127.0.0.1:9/0")
    ended = shell("status", "--json")
    assert (ended.code, ended.out, ended.err.count("\n")) == (1, "", 1)


@pytest.fixture
def folder(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the directory of temporary files, of this test alone."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    shell.env.setenv("SLACK_API_URL", UNREACHABLE_URL)
    return tmp_path


def test_a_process_is_alive_while_its_file_is_touched(shell: Shell, folder: Path) -> None:
    ended = shell("alive", "worker")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "Error: No worker process gave a sign of life on this host in the last 15 s.\n"
    sign = life_sign_path("ik", "worker", os.getpid())
    sign.parent.mkdir(parents=True)
    sign.touch()
    assert shell("alive", "worker").code == 0
    assert shell("alive", "ingest").code == 1
    os.utime(sign, (time.time() - 20, time.time() - 20))
    assert shell("alive", "worker").code == 1
    assert sign.exists(), "its process still runs"


def test_the_file_of_a_dead_process_is_removed(shell: Shell, folder: Path) -> None:
    sign = life_sign_path("ik", "web", 2**22 + 1)
    sign.parent.mkdir(parents=True)
    sign.touch()
    os.utime(sign, (1, 1))
    assert shell("alive", "web").code == 1
    assert not sign.exists()


def test_flower_is_alive_when_it_answers(shell: Shell) -> None:
    shell.env.setenv("FLOWER_PORT", "9")
    assert shell("alive", "flower").code == 1


def test_an_unknown_role_is_wrong_use(shell: Shell) -> None:
    assert shell("alive", "cook").code == 2
