"""How messages look, event by event, kept as text in `tests/golden/` for people to review.

After a change that is meant: `UPDATE_GOLDEN=1 pytest tests/unit/pipeline/test_pipeline_golden.py`, then read
the difference as carefully as code.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from message_limits import faults

from worker import sources
from worker.domain.event import Event
from worker.domain.folding import Line, Told
from worker.domain.message import Block, Context, Message, Section
from worker.pipeline.digest import digest
from worker.pipeline.fold import fold
from worker.pipeline.render import event_url, render, reply

GOLDEN = Path(__file__).parents[2] / "golden"
BASE = "https://infrakitchen.example.com"
ENTRY_MS = 1_700_000_000_000


def cloud_event(what: str, time: str = "2026-05-04T10:00:00Z", /, **data: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": f"{what}-1",
        "source": "/infrakitchen/shop",
        "type": f"io.infrakitchen.{what}",
        "time": time,
        "data": data,
    }


STEPS = [
    {"name": "plan", "position": 1, "status": "done"},
    {"name": "apply network", "position": 2, "status": "done"},
    {"name": "apply database", "position": 3, "status": "in_progress"},
    {"name": "apply cluster", "position": 4, "status": "pending"},
]
FAILED_STEPS = [*STEPS[:2], {**STEPS[2], "status": "error", "error_message": "quota exceeded"}, STEPS[3]]
RUN = {
    "workflow_id": "5f0c8a1e-17", "name": "deploy-prod", "creator": {"name": "Ada Lovelace"},
    "project": "shop", "started_at": "2026-05-04T09:55:48Z",
}  # fmt: skip
RESOURCE = {
    "resource_id": "db-main-1", "name": "db-main", "template": "postgres", "project": "shop",
    "requester": {"name": "Ada Lovelace"}, "labels": {"env": "prod"},
}  # fmt: skip
ALERT = {
    "name": "HighErrorRate", "fingerprint": "f00d", "severity": "critical", "project": "shop",
    "summary": "5 % of requests fail", "description": "The checkout answers 500 since the last deployment.",
    "labels": {"service": "checkout", "env": "prod"}, "starts_at": "2026-05-04T09:50:00Z",
    "generator_url": "https://alerts.example.com/graph?a=1&b=2",
}  # fmt: skip
EVIL = "<!channel> *bold* `code` & <https://evil.example|your bank> @here\u202e\u0000\n```"
OWN = {
    "event_type": "created",
    "entity_type": "resource",
    "entity_id": "17",
    "title": "Resource 'db-main' was created",
}

CASES: dict[str, dict[str, Any]] = {
    "workflow_started": cloud_event("workflow.started", **RUN, status="in_progress", action="apply"),
    "workflow_step_completed": cloud_event("workflow.step_completed", **RUN, steps=STEPS),
    "workflow_completed": cloud_event(
        "workflow.completed", **RUN, completed_at="2026-05-04T10:00:00Z",
        steps=[{**step, "status": "done"} for step in STEPS],
    ),
    "workflow_failed": cloud_event(
        "workflow.failed", **RUN, steps=FAILED_STEPS, completed_at="2026-05-04T10:00:00Z",
        error_message="Error: creating DB instance: quota exceeded\n  on main.tf line 12",
    ),
    "workflow_failed_briefly": cloud_event("workflow.failed", workflow_id="17"),
    "workflow_cancelled": cloud_event("workflow.cancelled", **RUN),
    "workflow_of_many_steps": cloud_event(
        "workflow.step_completed", **RUN,
        steps=[{"name": f"step {n}", "status": "done" if n < 30 else "pending"} for n in range(40)],
    ),
    "resource_provisioning": cloud_event(
        "resource.state_changed", **RESOURCE, state="provision", status="in_progress",
        previous_state="created",
    ),
    "resource_provisioned": cloud_event(
        "resource.state_changed", **RESOURCE, state="provisioned", status="done",
        previous_state="provision", previous_status="in_progress",
    ),
    "resource_failed": cloud_event(
        "resource.state_changed", **RESOURCE, state="provision", status="error", message="no capacity in eu-1"
    ),
    "resource_destroyed": cloud_event("resource.state_changed", **RESOURCE, state="destroyed", status="done"),
    "resource_waiting": cloud_event(
        "resource.state_changed", **RESOURCE, state="provision", status="approval_pending"
    ),
    "alert_critical": cloud_event("alert.firing", **ALERT),
    "alert_error": cloud_event("alert.firing", **{**ALERT, "severity": "error"}),
    "alert_warning": cloud_event("alert.firing", **{**ALERT, "severity": "warning"}),
    "alert_info": cloud_event("alert.firing", **{**ALERT, "severity": "info"}),
    "alert_resolved": cloud_event("alert.resolved", **ALERT, ends_at="2026-05-04T10:00:00Z"),
    "alert_of_an_entity": cloud_event(
        "alert.firing", name="DiskFull", severity="error", entity={"type": "resource", "id": "db-main-1"}
    ),
    "anything": cloud_event("storage.updated", title="Logs grew", entity_id="logs", severity="warning"),
    "a_foreign_type": {**cloud_event("x"), "type": "com.example.thing", "subject": "a thing", "data": None},
    "own_body": OWN,
    "own_body_with_an_error": {
        **OWN, "status": "error", "message": "it broke", "metadata": {"error_message": "no quota"}
    },
    "hostile_workflow": cloud_event(
        "workflow.failed", workflow_id=EVIL, name=EVIL, error_message=EVIL, creator=EVIL, project=EVIL,
        steps=[{"name": EVIL, "status": "error", "error_message": EVIL + "!"}],
    ),
    "hostile_resource": cloud_event(
        "resource.state_changed", resource_id=EVIL, name=EVIL, template=EVIL, state=EVIL, status=EVIL,
        previous_state=EVIL, requester=EVIL, message=EVIL, labels={EVIL: EVIL},
    ),
    "hostile_alert": cloud_event(
        "alert.firing", name=EVIL, severity=EVIL, summary=EVIL, description=EVIL, labels={EVIL: EVIL},
        generator_url="javascript:alert(1)",
    ),
    "hostile_link": cloud_event("alert.firing", name="x", generator_url="https://e.example/|<!here>"),
}  # fmt: skip


def read(body: dict[str, Any], n: int = 0) -> Event:
    return sources.read(json.dumps(body).encode(), f"{ENTRY_MS + n}-0")


def shown(message: Message) -> str:
    """A message as a text file: the notification, what stands above the bar, and what stands beside it."""
    parts = [f"text | {message.text}", *map(_shown, message.headline), f"bar | {message.colour.name}"]
    return "\n".join([*parts, *map(_shown, message.blocks)]) + "\n"


def _shown(block: Block) -> str:
    match block:
        case Section(text=text):
            return "\n".join(f"section | {line}" for line in text.split("\n"))
        case Context(texts=texts):
            return "\n".join(f"context | {text}" for text in texts)
        case _:
            return "divider |"


def compare(name: str, message: Message, mentions: tuple[str, ...] = ()) -> None:
    assert faults(message, mentions) == []
    file, found = GOLDEN / f"{name}.txt", shown(message)
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text(found, "utf-8")
    assert file.read_text("utf-8") == found


@pytest.mark.parametrize("name", CASES)
def test_the_message_of_one_event_looks_as_agreed(name: str) -> None:
    folding = fold([Told("d", read(CASES[name]))])
    compare(name, render(folding, infrakitchen_url=BASE))


def test_a_message_with_a_history_a_mention_and_a_doubt_looks_as_agreed() -> None:
    mention = "<!subteam^S0000001>"
    folding = fold([Told("d", read(CASES["alert_critical"]), mention)])
    line = Line(folding.lines[0].event, "d", older=2)
    full = type(folding)((line,), folding.mentions)
    compare("with_all_around", render(full, infrakitchen_url=BASE, may_repeat=True), (mention,))


@pytest.mark.parametrize("name", ["workflow_failed", "alert_resolved"])
def test_what_a_card_s_thread_tells_looks_as_agreed(name: str) -> None:
    folding = fold([Told("d", read(CASES[name]), "<!here>")])
    compare(f"reply_{name}", reply(folding, may_repeat=True), ("<!here>",))


def test_a_small_digest_looks_as_agreed() -> None:
    names = ("resource_provisioned", "alert_warning", "workflow_failed", "own_body")
    told = [Told(f"d{n}", read(CASES[name], n)) for n, name in enumerate(names)]
    folding = fold(told)
    compare("digest_small", digest(folding, tuple(event_url(one.event, BASE) for one in folding.lines)))


def test_a_large_digest_looks_as_agreed() -> None:
    bodies = [
        cloud_event(
            "alert.firing", name=f"Alert{n % 3}", fingerprint=str(n), severity=("info", "error")[n % 2]
        )
        for n in range(60)
    ]
    folding = fold([Told(f"d{n}", read(body, n), "<!here>") for n, body in enumerate(bodies)])
    urls = tuple(event_url(one.event, BASE) for one in folding.lines)
    compare("digest_large", digest(folding, urls, may_repeat=True), ("<!here>",))


def test_every_golden_file_is_one_of_these() -> None:
    others = {
        "with_all_around", "digest_small", "digest_large", "reply_workflow_failed", "reply_alert_resolved",
    }  # fmt: skip
    assert {file.stem for file in GOLDEN.glob("*.txt")} == {*CASES, *others}
