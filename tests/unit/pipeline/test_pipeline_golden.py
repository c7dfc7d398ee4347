"""How messages look, event by event, kept as text in `tests/golden/` for people to review.

After a change that is meant: `UPDATE_GOLDEN=1 pytest tests/unit/pipeline/test_pipeline_golden.py`, then read
the difference as carefully as code.
"""

import json
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from golden_cases import HOSTILE, alerts, cloud_event, hostile, hostiles, others, resources, workflows
from message_limits import faults

from worker import sources
from worker.domain.event import Event
from worker.domain.folding import Folding, Line, Told
from worker.domain.message import Block, Context, Message, Section
from worker.pipeline.fold import fold
from worker.pipeline.render import message_of, reply

GOLDEN = Path(__file__).parents[2] / "golden"
BASE = "https://infrakitchen.example.com"
ENTRY_MS = 1_700_000_000_000
HERE = "<!here>"


def read(body: Mapping[str, Any], n: int = 0) -> Event:
    return sources.read(json.dumps(body).encode(), f"{ENTRY_MS + n}-0")


def folded(*bodies: Mapping[str, Any], mention: str = "") -> Folding:
    return fold([Told(f"d{n}", read(body, n), mention) for n, body in enumerate(bodies)])


def alone(bodies: Mapping[str, Mapping[str, Any]]) -> dict[str, Message]:
    """Each event as a message of its own, as its card too."""
    return {name: message_of(folded(body), BASE) for name, body in bodies.items()}


def in_threads() -> dict[str, Message]:
    """What cards' threads tell of failures, recoveries and resolutions."""
    cases = {
        "a workflow failed": workflows()["failed, status error"],
        "a workflow failed, its step says why": workflows()["a failed step that says why, the run does not"],
        "a workflow completed after all": workflows()["completed, status done"],
        "a resource failed": resources()["state provision, status error"],
        "a resource is provisioned after all": resources()["state provisioned, status done"],
        "an alert is resolved": alerts()["resolved, severity critical"],
        **{name: body for name, body in hostiles().items() if name.endswith(("workflow", "alert"))},
    }
    told = {name: reply(folded(body)) for name, body in cases.items()}
    doubt = reply(folded(alerts()["resolved, severity critical"], mention=HERE), may_repeat=True)
    return {**told, "with a mention and a doubt": doubt}


def around() -> dict[str, Message]:
    """A message with a history, a mention and a doubt."""
    folding = folded(alerts()["firing, severity critical"], mention=HERE)
    full = Folding((Line(folding.lines[0].event, "d", older=2),), folding.mentions)
    return {"with all around": message_of(full, BASE, may_repeat=True)}


def digests() -> dict[str, Message]:
    """Several things in one message: a few, as many as fit, very many, and those that say harmful things."""
    few = (
        resources()["state provisioned, status done"], alerts()["firing, severity warning"],
        workflows()["failed, status error"], others()["own body, storage, info"],
    )  # fmt: skip
    some = [
        cloud_event(
            "alert.firing", name=f"Alert{n % 3}", fingerprint=str(n), severity=("info", "error")[n % 2]
        )
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
            name: message_of(folded(*(body for _, body in hostile(text))), BASE)
            for name, text in HOSTILE.items()
        },
    }


FILES = {
    "workflow": lambda: alone(workflows()),
    "resource": lambda: alone(resources()),
    "alert": lambda: {**alone(alerts()), **around()},
    "other": lambda: alone(others()),
    "hostile": lambda: alone(hostiles()),
    "thread": in_threads,
    "digest": digests,
}


@cache
def messages(file: str) -> dict[str, Message]:
    return FILES[file]()


def shown(message: Message) -> str:
    """A message as text: the notification, what stands above the bar, and what stands beside it."""
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


def written(cases: Mapping[str, str]) -> str:
    return "\n".join(f"## {name}\n{text}" for name, text in cases.items())


def kept(text: str) -> dict[str, str]:
    """A golden file's cases by their headings."""
    parts = ("\n" + text).split("\n## ")[1:]
    return {name: body.strip("\n") + "\n" for name, _, body in (part.partition("\n") for part in parts)}


@pytest.mark.parametrize("file", FILES)
def test_messages_look_as_agreed(file: str) -> None:
    found = {name: shown(message) for name, message in messages(file).items()}
    path = GOLDEN / f"{file}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(written(found), "utf-8")
    assert kept(path.read_text("utf-8")) == found


@pytest.mark.parametrize("file", FILES)
def test_slack_takes_every_one_of_them_and_nobody_is_mentioned(file: str) -> None:
    wrong = {
        name: found
        for name, message in messages(file).items()
        if (found := faults(message, (HERE,) if message.text.find(HERE) in range(5) else ()))
    }
    assert wrong == {}


def test_every_golden_file_is_one_of_these() -> None:
    assert {file.stem for file in GOLDEN.glob("*.txt")} == set(FILES)
