"""The event bodies of the golden files in `tests/golden/`."""

from collections.abc import Iterator
from itertools import product
from typing import Any

Body = dict[str, Any]

WORKFLOW_EVENTS = ("started", "step_completed", "completed", "failed", "cancelled")
WORKFLOW_STATUSES = ("", "pending", "in_progress", "done", "error", "cancelled")
RESOURCE_STATES = ("provision", "provisioned", "destroy", "destroyed")
RESOURCE_STATUSES = (
    "", "queued", "in_progress", "done", "error", "cancelled", "unknown", "approval_pending", "pending",
    "rejected", "ready", "enabled", "disabled",
)  # fmt: skip
SEVERITIES = ("critical", "error", "warning", "info", "", "page-me")
OWN_EVENTS = ("create", "update", "destroy", "execute", "sync")
OWN_ENTITIES = (
    "workflow", "resource", "alert", "source_code", "source_code_version", "storage", "workspace", "executor",
)  # fmt: skip
OWN_STATUSES = ("info", "success", "warning", "error")


def cloud_event(what: str, time: str = "2026-05-04T10:00:00Z", /, **data: Any) -> Body:
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
STEPS_OF = {
    "started": [{**step, "status": "pending"} for step in STEPS],
    "step_completed": STEPS,
    "completed": [{**step, "status": "done"} for step in STEPS],
    "failed": FAILED_STEPS,
    "cancelled": [*STEPS[:2], {**STEPS[2], "status": "cancelled"}, {**STEPS[3], "status": "cancelled"}],
}
ENDED = {"completed_at": "2026-05-04T10:00:00Z"}
NO_QUOTA = "Error: creating DB instance: quota exceeded\n  on main.tf line 12"
RUN = {
    "workflow_id": "5f0c8a1e-9d1b-4c52-8a57-0a6f7f0e1c17", "name": "deploy-prod",
    "creator": {"name": "Ada Lovelace"}, "project": "shop", "started_at": "2026-05-04T09:55:48Z",
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
OWN = {
    "event_type": "create",
    "entity_type": "resource",
    "entity_id": "17",
    "title": "Resource 'db-main' was created",
}


def workflows() -> dict[str, Body]:
    """Return every event of a workflow with every status, and runs with few and many steps."""
    cases = {}
    for what, status in product(WORKFLOW_EVENTS, WORKFLOW_STATUSES):
        ended = ENDED if what in ("completed", "failed", "cancelled") else {}
        error = {"error_message": NO_QUOTA} if what == "failed" else {}
        cases[f"{what}, status {status or 'absent'}"] = cloud_event(
            f"workflow.{what}", **RUN, **ended, **error, action="create", status=status, steps=STEPS_OF[what]
        )
    many = [{"name": f"step {n}", "status": "done" if n < 30 else "pending"} for n in range(40)]
    return {
        **cases,
        "a failed step that says why, the run does not": cloud_event(
            "workflow.failed", **RUN, **ENDED, steps=FAILED_STEPS
        ),
        "a failure that says nothing more": cloud_event("workflow.failed", workflow_id="17"),
        "started, no steps known": cloud_event("workflow.started", **RUN, action="destroy"),
        "40 steps": cloud_event("workflow.step_completed", **RUN, steps=many),
    }


def resources() -> dict[str, Body]:
    """Return every state of a resource with every status."""
    return {
        f"state {state}, status {status or 'absent'}": cloud_event(
            "resource.state_changed", **RESOURCE, state=state, status=status,
            previous_state="provision", previous_status="queued",
            message="no capacity in eu-1" if status == "error" else "",
        )
        for state, status in product(RESOURCE_STATES, RESOURCE_STATUSES)
    }  # fmt: skip


def alerts() -> dict[str, Body]:
    """Return firing and resolved alerts of every severity and of an unknown one."""
    cases = {}
    for what, severity in product(("firing", "resolved"), SEVERITIES):
        ended = {"ends_at": "2026-05-04T10:00:00Z"} if what == "resolved" else {}
        cases[f"{what}, severity {severity or 'absent'}"] = cloud_event(
            f"alert.{what}", **{**ALERT, **ended, "severity": severity}
        )
    entity = {"type": "resource", "id": "db-main-1"}
    return {
        **cases,
        "firing, about an entity": cloud_event(
            "alert.firing", name="DiskFull", severity="error", entity=entity
        ),
        "firing, a link nobody can follow": cloud_event(
            "alert.firing", name="x", generator_url="https://e.example/|<!here>"
        ),
    }  # fmt: skip


def others() -> dict[str, Body]:
    """Return events of other types, and InfraKitchen's own body in all its forms."""
    cases = {
        f"severity {severity or 'absent'}": cloud_event(
            "storage.updated", title="Logs grew", entity_id="logs", severity=severity, message="by 40 GiB"
        )
        for severity in SEVERITIES
    }
    for entity, status in product(OWN_ENTITIES, OWN_STATUSES):
        title = f"{entity.replace('_', ' ').capitalize()} 'main' was updated"
        body = {**OWN, "event_type": "update", "entity_type": entity, "title": title, "status": status}
        cases[f"own body, {entity}, {status}"] = {**body, "message": "3 new versions"}
    for event in OWN_EVENTS:
        cases[f"own body without a title, {event}"] = {**OWN, "event_type": event, "title": ""}
    return {
        **cases,
        "own body with an error": {
            **OWN, "status": "error", "message": "it broke", "metadata": {"error_message": "no quota"}
        },
        "a foreign type": {
            **cloud_event("x"), "type": "com.example.thing", "subject": "a thing", "data": None
        },
    }  # fmt: skip


TRACEBACK = (
    "Traceback (most recent call last):\n"
    + "".join(f'  File "apply.py", line {n}, in step_{n}\n    step_{n + 1}()\n' for n in range(200))
    + "QuotaExceeded: 40 of 40 instances in eu-west-1"
)
HOSTILE = {
    "a name of 5,000 characters": "N" * 5_000,
    "mentions of all": "<!channel> <!here> <!everyone> @channel <!subteam^S0000001|@ops>",
    "mentions of one": "<@U0000001> <#C0000001|ops> @ada",
    "a link": "<https://evil.example|your bank> https://evil.example",
    "ampersands and brackets": "a & b < c > d &amp; &lt;!here&gt; <",
    "signs of markup": "*bold* _italic_ ~struck~\n> quoted",
    "emoji and zero-width": "🔥🔥 z\u200be\u200dr\ufeffo\u2060 👩\u200d🚒 :fire:",
    "cut surrogates": "half \ud83d of \udd25 one",
    "back-ticks": "`code` ``` block\n``` ` ",
    "right to left": "\u202egnirts\u202c \u05e9\u05dc\u05d5\u05dd \u2067x\u2069",
    "line breaks": "\n\none\r\ntwo\x0b\x00\x1b[31mthree\u2028four\n\n",
    "a long error": TRACEBACK,
}


def hostile_of_each_kind(text: str) -> Iterator[tuple[str, Body]]:
    """Return an event of each kind with `text` in every text field."""
    steps = [
        {"name": text, "status": "done"},
        {"name": text, "status": "error", "error_message": text + "!"},
    ]
    yield "workflow", cloud_event(
        "workflow.failed", workflow_id=text, name=text, error_message=text, creator=text, project=text,
        steps=steps, action=text, labels={text: f"{text}!"},
    )  # fmt: skip
    yield "resource", cloud_event(
        "resource.state_changed", resource_id=text, name=text, template=text, state=text, status=text,
        previous_state=text, requester=text, message=text, project=text, labels={text: f"{text}!"},
    )  # fmt: skip
    yield "alert", cloud_event(
        "alert.firing", name=text, severity=text, summary=text, description=text + "!", project=text,
        labels={text: f"{text}!"}, generator_url=f"https://alerts.example.com/{text}", fingerprint=text,
    )  # fmt: skip
    yield (
        "other",
        cloud_event(
            text,
            title=text,
            message=text,
            error_message=text,
            entity_id=text,
            entity_type=text,
            status="error",
        ),
    )


def all_hostile() -> dict[str, Body]:
    """Return every kind with every hostile text, and a run of 100 steps with long texts."""
    cases = {f"{name}: {kind}": body for name, text in HOSTILE.items() for kind, body in hostile_of_each_kind(text)}
    steps = [
        {
            "name": f"step {n} " + "🔥&" * 60,
            "status": "error" if n == 60 else "done",
            "error_message": TRACEBACK[-900:],
        }
        for n in range(100)
    ]
    return {**cases, "100 steps: workflow": cloud_event("workflow.failed", **RUN, steps=steps)}
