"""The life of a resource as InfraKitchen's own notifications and as the bridge report it, without a RabbitMQ."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import yaml

from worker.bridge.translator import translate
from worker.demo.scenario import Scene
from worker.sandbox.slack.workspace import Json, Post, Workspace
from worker.store.bridge import BridgeStore, TakeResult

ALONE, BRIDGED = "infrakitchen-alone", "with-the-bridge"
CHANNELS = {ALONE: "InfraKitchen alone", BRIDGED: "With the bridge"}
SESSION = "demo"
_EMOJI = {"success": "✅", "warning": "⚠️", "error": "❌"}


def life() -> list[Scene]:
    """Return the messages that InfraKitchen publishes to RabbitMQ, each as a scene."""
    content = yaml.safe_load(files("worker.demo").joinpath("infrakitchen.yaml").read_text("utf-8"))
    return [Scene(message["at_s"], message.get("sentence", ""), (message["body"],)) for message in content["messages"]]


@dataclass(slots=True)
class DemoBridge:
    """InfraKitchen's own Slack messages, and the bridge with the demo in the place of RabbitMQ."""

    store: BridgeStore
    workspace: Workspace
    published: int = 0  #: Events in the stream.
    _calls: int = 0

    async def publish(self, scene: Scene) -> None:
        """Post the notification of a scene as InfraKitchen does, and give every message to the bridge."""
        for body in (sample for sample in scene.samples if isinstance(sample, Mapping)):
            if "event_type" in body:
                self._post(own_message(body))
            if message := translate(json.dumps(body).encode()):
                if not self._calls:
                    await self.store.begin_session(SESSION)
                self._calls += 1
                self._count(await self.store.take(SESSION, self._calls, [(message, False)]))
        self._count(await self.store.release())

    async def finish(self) -> None:
        """Publish what still waits for its reason."""
        self._count(await self.store.release(everything=True))

    def _count(self, result: TakeResult) -> None:
        self.published += result.published

    def _post(self, text: str) -> None:
        channel, ts = self.workspace.get_channel(ALONE), self.workspace.new_ts()
        channel.posts[ts] = Post(channel.id, ts, {"text": text})


def own_message(body: Mapping[str, Any]) -> str:
    """Return a notification as a user of InfraKitchen reads it in Slack: title, sentences, type and id."""
    quoted = "\n".join(f"> {line}" for line in body["message"].splitlines())
    return f"*{body['title']}* {_EMOJI.get(body['status'], 'ℹ️')}\n{quoted}\n{body['entity_type']} `{body['entity_id']}`"


def comparison(workspace: Workspace) -> str:
    """Return both channels as text: each message as it is now, replies below it."""
    return "\n\n".join(
        _channel_text(title, [post.to_json() for post in workspace.get_channel(name).posts.values()])
        for name, title in CHANNELS.items()
    )


def _channel_text(title: str, posts: Sequence[Json]) -> str:
    messages = [post for post in posts if not post.get("thread_ts")]
    lines = [f"{title}: {len(messages)} messages"]
    for message in messages:
        lines.append(_indent(message, "  "))
        lines += [_indent(post, "    ↳ ") for post in posts if post.get("thread_ts") == message["ts"]]
    return "\n".join(lines)


def _indent(post: Json, prefix: str) -> str:
    return prefix + str(post["text"]).replace("\n", "\n" + " " * len(prefix))
