"""The README's pictures of messages, drawn anew from the demo's story: `make pictures`.

Needs Chromium. The story's moment and the reader's zone are fixed: a picture changes when a message does.
"""

import json
import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from worker import sources
from worker.cli.camera import photograph
from worker.cli.demo_story import STORY_LENGTH, Writer, story
from worker.domain.event import Event
from worker.domain.folding import Told
from worker.domain.message import Message
from worker.pipeline.fold import fold
from worker.pipeline.render import message_of, reply
from worker.sandbox.page import picture
from worker.sandbox.state import Post
from worker.slack.blocks import arguments

HERE = Path(__file__).parent
BASE = "https://infrakitchen.acme.example"
BEGAN = datetime(2026, 5, 4, 9, 38, tzinfo=UTC)
STORM = 60
SHARPNESS = 1.25  # a README of small files


def main() -> None:
    """A workflow's card with its thread, an alert's likewise, and a digest."""
    os.environ["TZ"] = "UTC"
    time.tzset()
    events = happened()
    failed = events["checkout-api-failed-4"]
    firing, resolved = events["alert-0-firing"], events["alert-0-resolved"]
    at_once = [
        one for one in events.values() if one.project in ("shop", "payments") and one.status != "resolved"
    ]
    draw("messages", (card(failed), told(failed), card(events["search-cluster-completed-5"])))
    draw("alert", (card(firing, "<!here>"), card(resolved), told(resolved)))
    draw("digest", (message_of(fold([Told(event.id, event) for event in at_once]), BASE),))


def happened() -> dict[str, Event]:
    """The demo's events by what their ids begin with."""
    scenes = story(Writer("7dc9", BEGAN.timestamp()), STORY_LENGTH + STORM)
    samples = [sample for scene in scenes for sample in scene.samples if isinstance(sample, Mapping)]
    read = [_read(sample, place) for place, sample in enumerate(samples)]
    return {event.id.removesuffix("-7dc9"): event for event in read}


def card(event: Event, mention: str = "") -> Message:
    """What is posted of an event alone."""
    return message_of(fold([Told(event.id, event, mention)]), BASE)


def told(event: Event) -> tuple[Message]:
    """What the thread of the message before it tells."""
    return (reply(fold([Told(event.id, event)])),)


def draw(name: str, messages: tuple[Message | tuple[Message], ...]) -> None:
    """Messages one below the other, a tuple in the thread of the one before it."""
    posts: list[Post] = []
    parent = ""
    for place, one in enumerate(messages):
        ts = f"{BEGAN.timestamp() + 10 + place:.6f}"
        if isinstance(one, Message):
            parent = ts
            posts.append(Post("", ts, arguments(one)))
        else:
            posts.append(Post("", ts, {**arguments(one[0]), "thread_ts": parent}))
    out = HERE / f"{name}.png"
    photograph(picture(posts, BEGAN), out, SHARPNESS)
    print(f"{out.relative_to(HERE.parent)}: {out.stat().st_size // 1000} kB")


def _read(sample: Mapping[str, Any], place: int) -> Event:
    return sources.read(json.dumps(sample).encode(), f"{int(BEGAN.timestamp() * 1000) + place}-0")


if __name__ == "__main__":
    main()
