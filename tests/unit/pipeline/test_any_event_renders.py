"""From the stream's bytes to what Slack is sent: whatever an event says, in whatever state, Slack takes it.

`test_rendered_messages.py` asks the same of events no source would make.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

from golden_cases import (
    HOSTILE,
    OWN_ENTITIES,
    OWN_STATUSES,
    RESOURCE_STATES,
    RESOURCE_STATUSES,
    SEVERITIES,
    WORKFLOW_EVENTS,
    WORKFLOW_STATUSES,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.examples import examples
from support.message_limits import find_problems

from worker import sources
from worker.domain.event import MAX_EVENT_BYTES, Entity, Event
from worker.domain.message import Message, Section
from worker.domain.message_plan import Line, PendingDelivery
from worker.domain.presentation import EMOJI_NAMES
from worker.pipeline.delivery.planner import merge_events
from worker.rendering.message_builder import message_of
from worker.rendering.single import reply

MENTIONS = ("", "<!here>", "<!subteam^S0000001>")
MOMENTS = ("", "2026-05-04T09:00:00Z", "2026-05-04T10:04:12.5+02:00", "0001-01-01T00:00:00Z")
STATUSES = (*WORKFLOW_STATUSES, *RESOURCE_STATUSES, *OWN_STATUSES)
TYPES = (
    *(f"workflow.{what}" for what in WORKFLOW_EVENTS), "resource.state_changed", "alert.firing",
    "alert.resolved", "storage.updated",
)  # fmt: skip
TEXT_FIELDS = (
    "workflow_id", "resource_id", "entity_id", "name", "action", "error_message", "project", "template",
    "previous_state", "previous_status", "message", "fingerprint", "summary", "description", "title",
)  # fmt: skip

some_effort = settings(max_examples=examples(200), deadline=None, suppress_health_check=list(HealthCheck))
pieces = st.sampled_from([*HOSTILE.values(), "<", "&", "|", "`", "```", "*", "\ud800", "\n", "🔥"])
texts = st.builds(
    lambda some, times: ("".join(some) * times)[:4_000],
    st.lists(pieces | st.text(st.characters(), max_size=12), max_size=3),
    st.sampled_from([1, 1, 1, 60]),
)
pools = st.lists(texts, min_size=1, max_size=3)
seeds = st.integers(0, 2**32)
bases = st.sampled_from(["", "https://infrakitchen.example.com"])


def body(pool: Sequence[str], seed: int) -> dict[str, Any]:
    """Draw an event of any kind and state with these texts in every text field."""
    some = Random(seed)

    def text() -> str:
        return some.choice((*pool, "", "word"))

    def word(*known: str) -> str:
        return some.choice((*known, *pool))

    def labels() -> dict[str, str]:
        return {text(): text() for _ in range(some.choice((0, 1, 9)))}

    def step() -> dict[str, Any]:
        return {"name": text(), "status": word(*STATUSES), "error_message": text()}

    said: dict[str, Any] = {field: text() for field in TEXT_FIELDS if some.random() < 0.8}
    said |= {
        "steps": [step() for _ in range(some.choice((0, 0, 1, 4, 16, 100)))],
        "status": word(*STATUSES), "state": word(*RESOURCE_STATES), "severity": word(*SEVERITIES),
        "labels": labels(), "annotations": labels(), "values": labels(), "origin": text(),
        "links": [{"label": text(), "url": f"https://links.example.com/{text()}"} for _ in range(some.choice((0, 3)))],
        "creator": text(), "requester": {"name": text()},
        "generator_url": f"https://alerts.example.com/{text()}", "entity_type": word(*OWN_ENTITIES),
        **{field: some.choice(MOMENTS) for field in ("started_at", "completed_at", "starts_at", "ends_at")},
    }  # fmt: skip
    if some.random() < 0.2:
        return {**said, "event_type": text(), "entity_type": some.choice(OWN_ENTITIES), "metadata": said}
    type_ = some.choice((*(f"io.infrakitchen.{what}" for what in TYPES), "com.example.thing"))
    attributes = {"specversion": "1.0", "id": "1", "source": "/ik", "type": type_, "subject": f"it {text()}"}
    return {**attributes, "data": said}


def read(pool: Sequence[str], seed: int, place: int = 0) -> Event:
    """Return the event as parsed from the stream, with shorter texts if it is too large."""
    raw = json.dumps(body(pool, seed)).encode()
    if len(raw) > MAX_EVENT_BYTES:
        raw = json.dumps(body([text[:60] for text in pool], seed)).encode()
    return sources.parse(raw, f"1700000000{place:03}-0")


@some_effort
@given(pools, seeds, st.sampled_from(MENTIONS), bases, st.booleans())
def test_any_event_becomes_a_message_card_and_reply_that_slack_accepts(
    pool: list[str], seed: int, mention: str, base: str, may_repeat: bool
) -> None:
    content = merge_events([PendingDelivery("d", read(pool, seed))])
    content = replace(content, mentions=(mention,) if mention else ())
    assert find_problems(message_of(content, base, may_repeat=may_repeat), (mention,)) == []
    assert find_problems(reply(content, may_repeat=may_repeat), (mention,)) == []


@some_effort
@given(pools, st.lists(seeds, min_size=1, max_size=6), st.sampled_from([1, 9, 300]), bases, st.booleans())
def test_any_events_become_a_digest_that_slack_accepts_and_that_counts_all(
    pool: list[str], some: list[int], times: int, base: str, may_repeat: bool
) -> None:
    once = [read(pool, seed, place) for place, seed in enumerate(some)]
    content = merge_events([PendingDelivery(f"d{n}", event) for n, event in enumerate(once)])
    content = replace(content, mentions=MENTIONS[1 : len(once)])
    lines = tuple(
        Line(replace(line.event, entity=Entity("resource", f"{place}-{n}")), f"{line.delivery_id}-{n}", n % 3)
        for n in range(times)
        for place, line in enumerate(content.lines)
    )
    message = message_of(replace(content, lines=lines), base, may_repeat=may_repeat)
    assert find_problems(message, MENTIONS) == []
    if len(lines) > 1:
        assert f"{sum(1 + line.older_count for line in lines):,} updates" in message.text
        assert count_covered_entities(message) == len(lines)


def count_covered_entities(message: Message) -> int:
    """Return the number of entities that a digest claims to cover: in lines, in shared lines and left out."""
    rows = "\n".join(block.text for block in message.blocks if isinstance(block, Section)).split("\n")
    numbers = [re.search(r"(?:× |^… and )\*([\d,]+)(?: more)?\*", row) for row in rows]
    # A row without an emoji continues the names of a shared one.
    begins = [row.startswith(tuple(EMOJI_NAMES)) for row in rows]
    return sum(
        int(number[1].replace(",", "")) if number else int(is_row)
        for number, is_row in zip(numbers, begins, strict=True)
    )
