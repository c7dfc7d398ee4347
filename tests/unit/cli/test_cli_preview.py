"""A preview is what Slack would be sent, needs nothing that runs, and reads well in a terminal.

After a change that is meant: `UPDATE_GOLDEN=1 pytest tests/unit/cli/test_cli_preview.py`, then read the
difference as carefully as code.
"""

import asyncio
import itertools
import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.cli import CommandResult, Shell, deliver
from support.examples import examples

from worker.cli.preview import describe_use, format_preview
from worker.domain.event import Severity
from worker.domain.subscription import Filters, Subscription
from worker.services.preview import Preview, preview_events
from worker.slack.blocks import LimitUse

GOLDEN = Path(__file__).parents[2] / "golden" / "preview"
BASE = "https://infrakitchen.example.com"
NOW = datetime(2026, 5, 5, 12, 0, tzinfo=UTC)
BODY = {
    "event_type": "update",
    "entity_type": "storage",
    "entity_id": "7",
    "title": "Logs grew",
    "status": "info",
}


def event(what: str, id_: str = "1", **data: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0", "id": id_, "source": "/me", "type": f"io.infrakitchen.{what}",
        "time": "2026-05-04T10:00:00Z", "data": data,
    }  # fmt: skip


def alert(id_: str = "1", severity: str = "critical", **data: Any) -> dict[str, Any]:
    return event("alert.firing", id_, name=f"Alert{id_}", fingerprint=id_, severity=severity, **data)


FAILED = event(
    "workflow.failed", workflow_id="5f0c-17", name="deploy-prod", creator={"name": "Ada Lovelace"},
    project="shop", started_at="2026-05-04T09:55:48Z", completed_at="2026-05-04T10:00:00Z",
    error_message="Error: creating DB instance: quota exceeded\n  on main.tf line 12",
    steps=[
        {"name": "plan", "status": "done"},
        {"name": "database", "status": "error", "error_message": "quota exceeded"},
        {"name": "cluster", "status": "pending"},
    ],
)  # fmt: skip
FIRING = alert(
    summary="5 % of requests fail", description="The checkout answers 500.", labels={"service": "checkout"},
    starts_at="2026-05-04T09:50:00Z", generator_url="https://alerts.example.com/graph?a=1&b=2",
)  # fmt: skip
RESOURCE = event(
    "resource.state_changed", resource_id="db-main-1", name="db-main", template="postgres",
    state="provisioned", status="done", previous_state="provision", requester={"name": "Ada Lovelace"},
    labels={"env": "prod"},
)  # fmt: skip
STORM = [
    alert(str(n), ("info", "error", "critical", "warning")[n % 4], description=f"Node {n} does not answer.",
          generator_url=f"https://alerts.example.com/{n}")
    for n in range(200)
]  # fmt: skip
EVIL = "<!channel> *b* `c` \x1b]0;t\x07\x1b[2J\x9b31m \u202e & <https://evil.example|bank> \ud800🔥\n```"
HOSTILE = event(
    "workflow.failed", workflow_id=EVIL, name="N" * 5_000, error_message=EVIL, creator=EVIL, project=EVIL,
    steps=[{"name": EVIL, "status": "error", "error_message": EVIL + "!"}],
)  # fmt: skip
CASES = {
    "workflow": [FAILED],
    "alert": [FIRING],
    "resource": [RESOURCE],
    "digest": STORM,
    "hostile": [HOSTILE],
}


@pytest.fixture
def in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.fixture
def bare_environment(shell: Shell) -> Shell:
    """Remove all processes and settings that a preview could use."""
    for name in ("REDIS_URL", "ENCRYPTION_KEY", "SLACK_API_URL", "INFRAKITCHEN_URL"):
        shell.env.delenv(name, raising=False)
    return shell


def preview(shell: Shell, *events: Any, words: tuple[str, ...] = ()) -> CommandResult:
    return shell("preview", "-", *words, stdin=json.dumps(events))


def preview_of(events: list[dict[str, Any]], subscription: Subscription) -> Preview:
    encoded = [json.dumps(event).encode() for event in events]
    return asyncio.run(
        preview_events(
            encoded, now_ms=1_777_982_400_000, subscription=subscription, template=None, infrakitchen_url=BASE
        )
    )


@pytest.mark.parametrize("name", CASES)
def test_the_preview_equals_the_golden_file(name: str, in_utc: None) -> None:
    here = Subscription("sub-1", "acme", "#ops", mention="<!here>")
    sent = preview_of(CASES[name], here).message
    assert sent
    found = click.unstyle(format_preview(sent, "In Slack, #ops", NOW))
    golden = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(found, "utf-8")
    assert golden.read_text("utf-8") == found


def test_every_golden_preview_has_a_test_case() -> None:
    assert {file.stem for file in GOLDEN.iterdir()} == set(CASES)


def test_a_preview_needs_no_process_and_no_setting(bare_environment: Shell) -> None:
    ended = preview(bare_environment, FAILED)
    assert (ended.code, ended.err) == (0, "")
    assert "❌ Workflow deploy-prod failed at database\n" in ended.out


def test_links_lead_to_infrakitchen_when_its_address_is_set(bare_environment: Shell) -> None:
    bare_environment.env.setenv("INFRAKITCHEN_URL", BASE)
    assert f"{BASE}/workflows/5f0c-17" in preview(bare_environment, FAILED).out


def test_the_json_holds_the_arguments_of_the_call_and_the_limits(bare_environment: Shell) -> None:
    found = preview(bare_environment, RESOURCE, words=("--json",)).json
    assert list(found) == ["text", "blocks", "attachments", "limits", "unmatched", "destinations", "template_fault"]
    assert found["text"] == "✅ Resource db-main is provisioned"
    assert found["blocks"][0]["text"]["text"] == "✅ *Resource db-main is provisioned*"
    assert found["attachments"][0]["color"] == "#2eb67d"
    assert (found["limits"], found["unmatched"]) == ([], [])


def test_a_limit_that_is_near_is_in_text_and_json(bare_environment: Shell) -> None:
    [first, *_] = preview(bare_environment, *STORM, words=("--json",)).json["limits"]
    assert (first["name"], first["limit"]) == ("text of section 2", 3000)
    assert f"text of section 2: {first['used']:,} of 3,000 characters\n" in preview(bare_environment, *STORM).out
    assert "not near any limit" in preview(bare_environment, FAILED).out


@pytest.mark.parametrize(
    ("use", "words"),
    [
        (LimitUse("text of section 2", 2710, 3000, "characters"), "text of section 2: 2,710 of 3,000 characters"),
        (LimitUse("fields of section 2", 9, 10), "fields of section 2: 9 of 10"),
        (LimitUse("blocks", 51, 50), "blocks: 51 of 50, more than Slack accepts"),
    ],
)
def test_a_limit_is_described_with_its_use(use: LimitUse, words: str) -> None:
    assert describe_use(use) == words


def test_several_events_of_one_entity_are_one_message_of_its_newest_state(bare_environment: Shell) -> None:
    older = {
        **event("workflow.started", "0", workflow_id="5f0c-17", name="x"),
        "time": "2026-05-04T09:00:00Z",
    }
    found = preview(bare_environment, FAILED, older, words=("--json",)).json
    assert found["text"].startswith("❌ Workflow deploy-prod failed")
    assert "includes 1 earlier change" in str(found)


def test_a_repeated_event_is_previewed_once_with_a_note(bare_environment: Shell) -> None:
    ended = preview(bare_environment, FIRING, {**FIRING, "data": {"name": "Another"}}, BODY, BODY, words=("--json",))
    assert ended.err == ("Note: 1 event repeats an earlier event (same source and id) and would not be posted again.\n")
    assert ended.json["text"] == "3 updates: 🔴 Alert1 checkout; 🔵 Logs grew"  # a body without an id is another event


def test_a_webhooks_body_is_previewed_as_the_message_of_its_alerts(bare_environment: Shell) -> None:
    good = {"status": "firing", "labels": {"alertname": "DiskFull"}, "startsAt": "2026-01-02T03:00:00Z"}
    group = {"receiver": "r", "version": "4", "alerts": [good, {"status": "firing", "labels": {"alertname": "x"}}]}
    ended = preview(bare_environment, group, words=("--json",))
    assert (ended.code, ended.json["text"]) == (0, "🟡 DiskFull")
    assert ended.err.startswith("Warning: event 1 of 1: alerts[1].startsAt: missing")
    both = preview(bare_environment, FAILED, group, words=("--json",)).json["text"]
    assert "deploy-prod" in both
    assert "DiskFull" in both


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"{json.dumps(FAILED)}\n{{oops", "line 2 column 2: Expecting"),
        (json.dumps([FAILED, 5]), "line 1, element 2: an event is a JSON object, not 5."),
        (json.dumps([FAILED, {"specversion": "1.0"}]), "event 2 of 2: id: missing."),
        (b"\xff", "The file is not UTF-8"),
        ("", "There is nothing to preview: the file holds no event."),
        ("[]", "There is nothing to preview: the file holds no event."),
    ],
)
def test_an_invalid_event_is_one_line(bare_environment: Shell, text: str | bytes, reason: str) -> None:
    ended = bare_environment("preview", "-", stdin=text)
    assert (ended.code, ended.out) == (1, "")
    assert reason in ended.err
    assert len(ended.err.splitlines()) == 1


def test_a_hostile_event_cannot_steer_the_terminal(bare_environment: Shell) -> None:
    for words in ((), ("--json",)):
        ended = preview(bare_environment, HOSTILE, words=words)
        assert ended.code == 0
        assert all(line.isprintable() for line in ended.out.split("\n"))


def subscribed(shell: Shell, *words: str) -> str:
    shell.connect()
    return shell.subscribe("--to", "#ops", *words)


def test_a_subscription_brings_its_mention_from_its_severity_on(shell: Shell) -> None:
    words = ("--subscription", subscribed(shell, "--mention", "<!here>", "--mention-from", "error"))
    assert "🔴 @here Alert1\n" in preview(shell, alert(), words=words).out
    assert "<!here>" in preview(shell, alert(), words=(*words, "--json")).json["text"]
    assert "@here" not in preview(shell, alert(severity="warning"), words=words).out
    assert "In Slack, #ops\n" in preview(shell, alert(), words=words).out


def test_events_that_a_subscription_does_not_match_are_left_out_with_the_reason(shell: Shell) -> None:
    id_ = subscribed(shell, "--kind", "alert", "--min-severity", "error")
    events = (FAILED, alert("a"), alert("b", "info"), *(alert(f"c{n}", "info") for n in range(9)), BODY)
    ended = preview(shell, *events, words=("--subscription", id_, "--json"))
    assert ended.code == 0
    assert ended.err.splitlines() == [
        f"Note: {id_} does not match event 1: kind is workflow, not alert.",
        f"Note: {id_} does not match events 3, 4, 5, 6, 7 and 5 more: severity is info, below error.",
        f"Note: {id_} does not match event 13: kind is other, not alert.",
    ]
    assert ended.json["text"] == "🔴 Alerta"
    unmatched = ended.json["unmatched"]
    assert unmatched[0] == {"place": 1, "event_id": "1", "reason": "kind is workflow, not alert"}
    assert unmatched[-1] == {"place": 13, "event_id": None, "reason": "kind is other, not alert"}
    assert len(unmatched) == 12


def test_a_subscription_that_matches_nothing_posts_nothing(shell: Shell) -> None:
    words = ("--subscription", subscribed(shell, "--kind", "alert"))
    ended = preview(shell, FAILED, words=words)
    assert (ended.code, ended.out) == (0, "Nothing would be posted.\n")
    found = preview(shell, FAILED, words=(*words, "--json")).json
    assert (found["text"], found["blocks"], found["attachments"], found["limits"]) == (None, [], [], [])


def test_a_reason_with_words_of_an_event_does_not_steer_the_terminal(shell: Shell) -> None:
    words = ("--subscription", subscribed(shell, "--status", "error"), "--json")
    ended = preview(shell, event("resource.state_changed", status=EVIL), words=words)
    for line in (*ended.err.split("\n"), *ended.out.split("\n")):
        assert line.isprintable()
    assert len(ended.err.splitlines()) == 1


def test_an_unknown_subscription_is_named_in_the_error(shell: Shell) -> None:
    ended = preview(shell, FAILED, words=("--subscription", "sub-404"))
    assert ended.code == 1
    assert "There is no subscription 'sub-404'" in ended.err


def test_filters_and_mention_are_the_subscriptions_own() -> None:
    some = Filters(min_severity=Severity.ERROR)
    events = [alert(str(n), word) for n, word in enumerate(("info", "error"))]
    shown = preview_of(events, Subscription("s", "i", "#ops", some, mention="<!here>"))
    assert "Alert1" in str(shown.message)
    assert "Alert0" not in str(shown.message)
    assert [event.place for event in shown.unmatched] == [1]


pieces = st.sampled_from([EVIL, "<", "&", "*", "`", "\ud800", "🔥", "\x00", "x" * 300]) | st.text(max_size=20)
texts = st.builds(lambda some, times: "".join(some) * times, st.lists(pieces, max_size=4), st.sampled_from([1, 1, 40]))
steps = st.fixed_dictionaries({"name": texts, "status": texts, "error_message": texts})
datas = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        ("name", "state", "status", "error_message", "message", "summary", "description", "severity",
         "project", "generator_url", "creator"),
        texts,
    )
    | {
        "steps": st.lists(steps, max_size=4),
        "labels": st.dictionaries(texts, texts, max_size=3),
    },
)  # fmt: skip
kinds = st.sampled_from(
    ["workflow.failed", "workflow.started", "resource.state_changed", "alert.firing", "alert.resolved", "x.y"]
)
numbers = itertools.count()


@pytest.mark.slow
@settings(max_examples=examples(30), deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(kinds, datas), min_size=1, max_size=5))
def test_for_any_events_the_json_equals_the_call(shell: Shell, some: list[tuple[str, dict[str, Any]]]) -> None:
    subscription = _subscription(shell)
    events = []
    for kind, data in some:
        id_ = f"e{next(numbers)}"
        ids = {"workflow_id": id_, "resource_id": id_, "fingerprint": id_, "entity_id": id_}
        events.append(event(kind, id_, **data, **ids))
    posts = shell.acme.get_channel("ops").posts
    before = set(posts)
    deliver(shell, *map(json.dumps, events))
    [ts] = set(posts) - before
    sent = posts[ts].sent
    found = preview(shell, *events, words=("--json", "--subscription", subscription)).json
    assert {name: found[name] for name in ("text", "blocks", "attachments")} == {
        name: sent[name] for name in ("text", "blocks", "attachments")
    }


def _subscription(shell: Shell) -> str:
    """Add a subscription to all events with plain messages."""
    shell.env.setenv("INFRAKITCHEN_URL", BASE)
    existing = shell("subscriptions", "list", "--json").json
    words = ("--style", "plain", "--mention", "<!here>", "--mention-from", "error")
    return str(existing[0]["id"]) if existing else subscribed(shell, *words)
