"""How messages look, event by event, kept as text in `tests/golden/` for people to review.

After a change that is meant: `UPDATE_GOLDEN=1 pytest tests/unit/pipeline/test_golden_messages.py`, then read
the difference as carefully as code.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from golden_cases import HOSTILE, alerts, all_hostile, cloud_event, hostile_of_each_kind, others, resources, workflows
from support.golden import GOLDEN, check_golden, message_as_text
from support.message_limits import find_problems

from worker import sources
from worker.domain.event import Event
from worker.domain.message import Message
from worker.domain.message_plan import Line, MessageContent, PendingDelivery
from worker.pipeline.delivery.planner import merge_events
from worker.rendering.message_builder import message_of
from worker.rendering.single import reply
from worker.slack.blocks import arguments

BASE = "https://infrakitchen.example.com"
ENTRY_MS = 1_777_888_800_000
HERE = "<!here>"


def read(body: Mapping[str, Any], n: int = 0) -> Event:
    return sources.parse(json.dumps(body).encode(), f"{ENTRY_MS + n}-0")


def folded(*bodies: Mapping[str, Any], mention: str = "") -> MessageContent:
    content = merge_events([PendingDelivery(f"d{n}", read(body, n)) for n, body in enumerate(bodies)])
    return replace(content, mentions=(mention,) if mention else ())


def alone(bodies: Mapping[str, Mapping[str, Any]]) -> dict[str, Message]:
    """Return each event as a message of its own, which is also its card."""
    return {name: message_of(folded(body), BASE) for name, body in bodies.items()}


def in_threads() -> dict[str, Message]:
    """Return the thread replies of failures, recoveries and resolutions."""
    cases = {
        "a workflow failed": workflows()["failed, status error"],
        "a workflow failed, its step says why": workflows()["a failed step that says why, the run does not"],
        "a workflow completed after all": workflows()["completed, status done"],
        "a resource failed": resources()["state provision, status error"],
        "a resource is provisioned after all": resources()["state provisioned, status done"],
        "an alert is resolved": alerts()["resolved, severity critical"],
        **{name: body for name, body in all_hostile().items() if name.endswith(("workflow", "alert"))},
    }
    thread_replies = {name: reply(folded(body)) for name, body in cases.items()}
    doubt = reply(folded(alerts()["resolved, severity critical"], mention=HERE), may_repeat=True)
    return {**thread_replies, "with a mention and a doubt": doubt}


def with_history_and_notes() -> dict[str, Message]:
    """Return a message with a history, a mention and a note that it may repeat."""
    folding = folded(alerts()["firing, severity critical"], mention=HERE)
    full = MessageContent((Line(folding.lines[0].event, "d", older_count=2),), folding.mentions)
    return {"with all around": message_of(full, BASE, may_repeat=True)}


def digests() -> dict[str, Message]:
    """Return digests of a few, as many as fit, very many and hostile events."""
    few = (
        resources()["state provisioned, status done"], alerts()["firing, severity warning"],
        workflows()["failed, status error"], others()["own body, storage, info"],
    )  # fmt: skip
    some = [
        cloud_event("alert.firing", name=f"Alert{n % 3}", fingerprint=str(n), severity=("info", "error")[n % 2])
        for n in range(60)
    ]
    states = [
        cloud_event("resource.state_changed", resource_id=f"r{n}", name=f"node-{n}", state="provision",
                    status=("done", "error", "in_progress")[n % 3], message="no capacity in eu-1")
        for n in range(12)
    ]  # fmt: skip
    return {
        "a few": message_of(folded(*few), BASE),
        "resources in several states": message_of(folded(*states), BASE),
        "more than fit": message_of(folded(*some, mention=HERE), BASE, may_repeat=True),
        **{
            name: message_of(folded(*(body for _, body in hostile_of_each_kind(text))), BASE)
            for name, text in HOSTILE.items()
        },
    }


FILES = {
    "workflow": lambda: alone(workflows()),
    "resource": lambda: alone(resources()),
    "alert": lambda: {**alone(alerts()), **with_history_and_notes()},
    "other": lambda: alone(others()),
    "hostile": lambda: alone(all_hostile()),
    "thread": in_threads,
    "digest": digests,
}


@cache
def messages(file: str) -> dict[str, Message]:
    return FILES[file]()


@pytest.mark.parametrize("file", FILES)
def test_messages_equal_their_golden_files(file: str) -> None:
    cases = {name: message_as_text(arguments(message)) for name, message in messages(file).items()}
    check_golden(GOLDEN / f"{file}.txt", cases)


@pytest.mark.parametrize("file", FILES)
def test_slack_accepts_every_golden_message_and_none_mentions_anyone(file: str) -> None:
    wrong = {
        name: found
        for name, message in messages(file).items()
        if (found := find_problems(message, (HERE,) if message.text.find(HERE) in range(5) else ()))
    }
    assert wrong == {}


def test_every_golden_file_has_a_test_case() -> None:
    assert {file.stem for file in GOLDEN.glob("*.txt")} == set(FILES)
