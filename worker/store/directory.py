"""The directory: channels and people of one integration's workspace as last read, and the scan that reads them."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from worker.domain.integration import Conversation, ListingCursor, Person
from worker.store.redis_client import RedisStore, Value, fields, text

CLAIM_MS = 30_000  # after this silence another process may continue a scan
HALF_SCAN_MS = 180_000  # cursors expire: https://docs.slack.dev/apis/web-api/pagination


@dataclass(frozen=True, slots=True)
class DirectoryStatus:
    """How current a directory is."""

    age_s: float | None  #: The age of the last complete scan; None before the first.
    pages: int = 0  #: How many pages that scan had.
    scanned_channels: int | None = None  #: How many channels a scan in progress has found; None without one.
    joined_age_s: float | None = None  #: How long ago Slack was asked for the channels the bot is in.


@dataclass(frozen=True, slots=True)
class ChannelSearch:
    """The channels whose names contain a text, without archived ones."""

    members: tuple[Conversation, ...]  #: The first by name of those the bot is in.
    others: tuple[Conversation, ...]  #: The first by name of the others.
    members_count: int
    others_count: int


class Directory(RedisStore):
    """The directory, looked up without asking Slack, and the scan of all channels that renews it.

    One process claims a scan and saves page after page; when it dies, another continues after the last one.
    """

    async def get_status(self, integration_id: str) -> DirectoryStatus:
        """Return how current a directory is, by the server's clock."""
        keys = self._keys
        (s, us), (read_at_ms, pages, joined_at_ms), is_claimed, scanned = await self._server.pipeline(
            [
                ("TIME",),
                ("HMGET", keys.directory(integration_id, "meta"), "read_at_ms", "pages", "joined_at_ms"),
                ("EXISTS", keys.lock(f"directory:{integration_id}")),
                ("HGET", keys.directory(integration_id, "reading", "place"), "channels"),
            ]
        )

        def age_s(at_ms: bytes | None) -> float | None:
            return None if at_ms is None else max(int(s) + int(us) / 1e6 - int(at_ms) / 1000, 0.0)

        return DirectoryStatus(
            age_s=age_s(read_at_ms),
            pages=int(pages or 0),
            scanned_channels=int(scanned or 0) if is_claimed else None,
            joined_age_s=age_s(joined_at_ms),
        )

    async def find_by_name(self, integration_id: str, name: str) -> Conversation | None:
        """Return a channel by its name without `#`."""
        id_ = await self._server.command("HGET", self._keys.directory(integration_id, "names"), name)
        return None if id_ is None else await self.find_by_id(integration_id, text(id_))

    async def find_by_id(self, integration_id: str, id_: str) -> Conversation | None:
        """Return a channel by its id."""
        stored = await self._server.command("HGET", self._keys.directory(integration_id, "channels"), id_)
        return None if stored is None else _unpack(id_, text(stored))

    async def list_channels(self, integration_id: str) -> list[Conversation]:
        """Return every channel, by name."""
        stored = fields(await self._server.command("HGETALL", self._keys.directory(integration_id, "channels")))
        channels = [_unpack(id_, packed) for id_, packed in stored.items()]
        return sorted(channels, key=lambda channel: channel.name)

    async def search(self, integration_id: str, part: str, *, limit: int) -> ChannelSearch:
        """Return channels with `part` in their name, `limit` of those with the bot and of those without."""
        channels = await self.list_channels(integration_id)
        wanted = [channel for channel in channels if part in channel.name and not channel.is_archived]
        members = tuple(channel for channel in wanted if channel.is_member)
        others = tuple(channel for channel in wanted if not channel.is_member)
        return ChannelSearch(members[:limit], others[:limit], members_count=len(members), others_count=len(others))

    async def save_channels(self, integration_id: str, *channels: Conversation) -> None:
        """Save channels as Slack has just returned them."""
        if not channels:
            return
        by_id, names = (self._keys.directory(integration_id, part) for part in ("channels", "names"))
        await self._server.transaction(
            ("HSET", by_id, *(word for channel in channels for word in (channel.id, pack(channel)))),
            ("HSET", names, *(word for channel in channels for word in (channel.name, channel.id))),
        )

    async def mark_memberships_read(self, integration_id: str) -> None:
        """Record that all channels the bot is in were saved now."""
        meta = self._keys.directory(integration_id, "meta")
        await self._server.command("HSET", meta, "joined_at_ms", await self._server.now_ms())

    async def find_person(self, integration_id: str, email: str) -> Person | None:
        """Return a person by email, if looked up before."""
        stored = await self._server.command("HGET", self._keys.directory(integration_id, "people"), email)
        return None if stored is None else Person(**json.loads(stored))

    async def save_person(self, integration_id: str, email: str, person: Person, *, life_s: int) -> None:
        """Save the person with an email; all people are forgotten `life_s` after the first was saved."""
        key = self._keys.directory(integration_id, "people")
        stored = json.dumps(asdict(person))
        _, left_s = await self._server.transaction(("HSET", key, email, stored), ("TTL", key))
        if left_s < 0:
            await self._server.command("EXPIRE", key, life_s)

    async def clear(self, integration_id: str) -> None:
        """Remove the whole directory and stop its scan, as the integration moved to another workspace."""
        await self._server.command("DEL", *self._keys.all_of_directory(integration_id))

    async def claim_scan(self, integration_id: str, reader: str) -> ListingCursor | None:
        """Claim the scan; return where to begin or to continue, None while another process has it."""
        if not await self._lock_scan(integration_id, reader, CLAIM_MS):
            return None
        place = self._keys.directory(integration_id, "reading", "place")
        private, cursor, pages = await self._server.command("HMGET", place, "private", "cursor", "pages")
        if pages is None:
            parts = (self._keys.directory(integration_id, "reading", part) for part in ("channels", "names"))
            await self._server.command("DEL", *parts)
        return ListingCursor(text(private) == "1", text(cursor), int(pages or 0))

    async def renew_scan(self, integration_id: str, reader: str) -> bool:
        """Renew the claim; return whether `reader` still has it."""
        return await self._lock_scan(integration_id, reader, CLAIM_MS, only_renew=True)

    async def release_scan(self, integration_id: str, reader: str) -> None:
        """Release the claim, so that another process may continue the scan."""
        await self._lock_scan(integration_id, reader, 0, only_renew=True)

    async def save_scanned_page(
        self, integration_id: str, reader: str, channels: Sequence[Conversation], following: ListingCursor
    ) -> int | None:
        """Save a page and where the scan continues; return how many channels there are, None without the claim."""
        arguments: list[Value] = [reader, HALF_SCAN_MS, int(following.private), following.cursor, following.pages]
        for channel in channels:
            arguments += channel.id, pack(channel), channel.name
        scanned = int(await self._server.run_script("directory_page", self._scan_keys(integration_id), arguments))
        return None if scanned < 0 else scanned

    async def finish_scan(self, integration_id: str, reader: str) -> bool:
        """Make the scan the directory in one step, after its last page; return False without the claim."""
        directory = (self._keys.directory(integration_id, part) for part in ("channels", "names", "meta"))
        keys = (*self._scan_keys(integration_id), *directory)
        return bool(await self._server.run_script("directory_finish", keys, (reader,)))

    def _scan_keys(self, integration_id: str) -> tuple[str, ...]:
        parts = (self._keys.directory(integration_id, "reading", part) for part in ("channels", "names", "place"))
        return (self._keys.lock(f"directory:{integration_id}"), *parts)

    async def _lock_scan(self, integration_id: str, reader: str, ms: int, *, only_renew: bool = False) -> bool:
        name = self._keys.lock(f"directory:{integration_id}")
        return bool(await self._server.run_script("lock", (name,), (reader, ms, int(only_renew))))


def pack(channel: Conversation) -> str:
    """Return a channel as stored: its flags, a space, its name."""
    flags = (("m", channel.is_member), ("a", channel.is_archived), ("p", channel.is_private))
    return "".join(letter for letter, is_set in flags if is_set) + " " + channel.name


def _unpack(id_: str, stored: str) -> Conversation:
    flags, _, name = stored.partition(" ")
    return Conversation(id_, name, is_member="m" in flags, is_archived="a" in flags, is_private="p" in flags)
