"""The pictures of messages, drawn again from the demo's stories: `make pictures`.

Needs Chromium. The story's moment and the reader's zone are fixed: a picture changes when a message does. The lives of
a resource go through the whole pipeline on the tests' fakes.
"""

import asyncio
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from support.bridged import Bridged
from support.fake_slack import Posted
from support.pipeline import ManualClock, open_pipeline

from worker import sources
from worker.demo.infrakitchen import life
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
MINUTES = 4  # of the picture for each second of the demo's story
#: By picture: the seconds of the story that are played, and those after which the messages are drawn.
LIVES = {
    "provision": ([*range(5), 11], (0, 11)),
    "retry": ([*range(12)], (6, 11)),
    "destroy": ([*range(13, 20)], (13, 19)),
}


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
        if event.project == "shop" and event.status != "resolved"
    ]
    draw(
        "messages", post(card(failed), replies=[thread_reply(failed)]), post(card(events["search-cluster-completed-5"]))
    )
    draw("alert", post(card(firing, "<!here>")), post(card(resolved), replies=[thread_reply(resolved)]))
    draw("digest", post(message_of(merge_events(pending), BASE)))
    for name, (seconds, drawn) in LIVES.items():
        draw(name, *asyncio.run(play_life(seconds, drawn)))


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


async def play_life(seconds: Sequence[int], drawn: Sequence[int]) -> list[list[ShownMessage]]:
    """Play seconds of the life of a resource; return the messages and their threads as they were after some of them."""
    hand = ManualClock()
    hand.now_s = BEGAN.timestamp()
    pictures, posted_at = list[list[ShownMessage]](), list[float]()
    async with open_pipeline(hand=hand, infrakitchen_url=BASE) as pipeline:
        await pipeline.connect()
        await pipeline.subscribe()
        bridged, posts = Bridged(pipeline), pipeline.slack.posts
        for second in seconds:
            hand.now_s = BEGAN.timestamp() + second * MINUTES * 60
            for scene in (scene for scene in life() if int(scene.at_s) == second):
                for body in scene.samples:
                    await bridged.take(json.dumps(body).encode())
                await bridged.deliver(after_s=1)
                posted_at += [hand.now_s] * (len(posts) - len(posted_at))
            if second in drawn:
                frame = len(pictures) / 1e6  # the same message is drawn several times, each with a time of its own
                pictures.append(shown(posts, [at_s + frame for at_s in posted_at], is_edited=bool(pictures)))
    return pictures


def shown(posts: Sequence[Posted], posted_at: Sequence[float], *, is_edited: bool) -> list[ShownMessage]:
    """Return a card and the replies in its thread, as they are now."""
    parent_ts = f"{posted_at[0]:.6f}"
    card, *replies = (arguments(posted.message) for posted in posts)
    times = [f"{at_s:.6f}" for at_s in posted_at[1:]]
    return [
        ShownMessage(parent_ts, card, is_edited=is_edited),
        *(ShownMessage(ts, reply | {"thread_ts": parent_ts}) for ts, reply in zip(times, replies, strict=True)),
    ]


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
