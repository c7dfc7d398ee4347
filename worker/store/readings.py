"""Readings: one reader at a time takes a workspace's channels page by page; whole, they are the directory.

Until then the directory stays as it was. A reading that is broken off goes on where it stopped, by whoever
claims it next, as long as Slack may still know the cursor.
"""

from collections.abc import Sequence

from worker.domain.integration import Conversation, Place
from worker.store.directory import packed
from worker.store.server import Server, Value, text

CLAIM_MS = 30_000  # a reader that is silent for so long is dead
HALF_READ_MS = 180_000  # cursors expire: https://docs.slack.dev/apis/web-api/pagination


class Readings:
    """Claim, keep each page, finish, give up."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._keys = server.keys

    async def claim(self, integration_id: str, reader: str) -> Place | None:
        """Become the one who reads: where to begin, or to go on; None when another reads."""
        if not await self._claim(integration_id, reader, CLAIM_MS):
            return None
        place = self._keys.reading(integration_id, "place")
        private, cursor, pages = await self._server.command("HMGET", place, "private", "cursor", "pages")
        if pages is None:
            parts = (self._keys.reading(integration_id, part) for part in ("channels", "names"))
            await self._server.command("DEL", *parts)
        return Place(text(private) == "1", text(cursor), int(pages or 0))

    async def keep(self, integration_id: str, reader: str) -> bool:
        """Still reading: is the claim still ours?"""
        return await self._claim(integration_id, reader, CLAIM_MS, only_keep=True)

    async def give_up(self, integration_id: str, reader: str) -> None:
        """Let another read."""
        await self._claim(integration_id, reader, 0, only_keep=True)

    async def page(
        self, integration_id: str, reader: str, conversations: Sequence[Conversation], following: Place
    ) -> int | None:
        """Keep a page: how many channels there are so far; None when the claim is no longer ours."""
        keys = self._keys
        names = (
            keys.lock(f"directory:{integration_id}"),
            *(keys.reading(integration_id, part) for part in ("channels", "names", "place")),
        )
        arguments: list[Value] = [reader, HALF_READ_MS, int(following.private), following.cursor]
        arguments.append(following.pages)
        for one in conversations:
            arguments += one.id, packed(one), one.name
        so_far = int(await self._server.script("directory_page", names, arguments))
        return None if so_far < 0 else so_far

    async def whole(self, integration_id: str, reader: str) -> bool:
        """After the last page: in one step the reading becomes the directory. False when it was not ours."""
        keys = self._keys
        names = (
            keys.lock(f"directory:{integration_id}"),
            *(keys.reading(integration_id, part) for part in ("channels", "names", "place")),
            *(keys.directory(integration_id, part) for part in ("channels", "names", "meta")),
        )
        return bool(await self._server.script("directory_whole", names, (reader,)))

    async def _claim(self, integration_id: str, reader: str, ms: int, *, only_keep: bool = False) -> bool:
        name = self._keys.lock(f"directory:{integration_id}")
        return bool(await self._server.script("lock", (name,), (reader, ms, int(only_keep))))
