"""InfraKitchen's messages on their whole way on fakes: the bridge's store, ingest and Slack."""

from support.pipeline import Pipeline
from worker.bridge.translator import translate
from worker.store.bridge import BridgeStore


class Bridged:
    """The whole way of a message: the bridge's store, ingest and Slack."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline, self.calls = pipeline, 0
        stream = pipeline.app.stream.stream
        self.store = BridgeStore(pipeline.app.redis, stream=stream, retention_s=604_800)

    async def take(self, body: bytes) -> None:
        self.calls += 1
        if not (message := translate(body)):
            return
        await self.store.begin_session("one")
        await self.store.take("one", self.calls, [(message, False)])

    async def deliver(self, *, after_s: float = 2.0) -> None:
        self.pipeline.pass_time(after_s)
        await self.store.release()
        await self.pipeline.ingest()
        await self.pipeline.drain()

    @property
    def cards(self) -> list[str]:
        """All blocks of each message as it is now, without replies."""
        return [repr(post.message) for post in self.pipeline.slack.posts if not post.thread_ts]

    @property
    def texts(self) -> list[str]:
        """The text of every message, and of those that an edit replaced."""
        slack = self.pipeline.slack
        return [posted.text for posted in (*slack.posts, *slack.edits)]
