"""The README's pictures of messages, drawn again from the demo's story: `make pictures`.

Needs Chromium. The story's moment and the reader's zone are fixed: a picture changes when a message does.
"""

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from worker import sources
from worker.demo.scenario import STORY_LENGTH, EventFactory, story
from worker.domain.event import Event
from worker.domain.message import Message
from worker.domain.message_plan import PendingDelivery
from worker.message_preview.html import ShownMessage, render_messages
from worker.message_preview.screenshot import take_screenshot
from worker.pipeline.delivery.planner import merge_events
from worker.rendering.message_builder import message_of
from worker.rendering.single import reply
from worker.slack.blocks import arguments

HERE = Path(__file__).parent
BASE = "https://infrakitchen.example.com"
BEGAN = datetime(2026, 5, 4, 9, 38, tzinfo=UTC)
STORM = 60
SCALE = 1.25  # keeps the README's files small
SECONDS = count(10)


def main() -> None:
    """Draw a workflow's card with its thread, an alert's card with its thread, and a digest."""
    os.environ["TZ"] = "UTC"
    time.tzset()
    events = story_events()
    failed = events["checkout-api-failed-4"]
    firing, resolved = events["alert-0-firing"], events["alert-0-resolved"]
    pending = [
        PendingDelivery(event.id, event)
        for event in events.values()
        if event.project in ("shop", "payments") and event.status != "resolved"
    ]
    draw(
        "messages", post(card(failed), replies=[thread_reply(failed)]), post(card(events["search-cluster-completed-5"]))
    )
    draw("alert", post(card(firing, "<!here>")), post(card(resolved), replies=[thread_reply(resolved)]))
    draw("digest", post(message_of(merge_events(pending), BASE)))


def story_events() -> dict[str, Event]:
    """Return the events of the demo's story by their ids without the suffix of the run."""
    scenes = story(EventFactory("7dc9", BEGAN.timestamp()), STORY_LENGTH + STORM)
    samples = [sample for scene in scenes for sample in scene.samples if isinstance(sample, Mapping)]
    began_ms = int(BEGAN.timestamp() * 1000)
    events = [sources.parse(json.dumps(sample).encode(), f"{began_ms + n}-0") for n, sample in enumerate(samples)]
    return {event.id.removesuffix("-7dc9"): event for event in events}


def card(event: Event, mention: str = "") -> Message:
    """Return the message of one event."""
    content = merge_events([PendingDelivery(event.id, event)])
    return message_of(replace(content, mentions=(mention,) if mention else ()), BASE)


def thread_reply(event: Event) -> Message:
    """Return the reply in the thread of an event's card."""
    return reply(merge_events([PendingDelivery(event.id, event)]))


def post(message: Message, replies: Sequence[Message] = ()) -> list[ShownMessage]:
    """Return a message and its replies, posted one second after the other."""
    parent_ts = next_ts()
    shown = [ShownMessage(parent_ts, arguments(message))]
    return shown + [ShownMessage(next_ts(), {**arguments(each), "thread_ts": parent_ts}) for each in replies]


def next_ts() -> str:
    """Return the timestamp of the next post."""
    return f"{BEGAN.timestamp() + next(SECONDS):.6f}"


def draw(name: str, *posts: list[ShownMessage]) -> None:
    """Draw posts one below the other into a file beside this one."""
    out = HERE / f"{name}.png"
    take_screenshot(render_messages([message for shown in posts for message in shown], BEGAN), out, SCALE)
    print(f"{out.relative_to(HERE.parent)}: {out.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
