"""The directory: remembered channels and people of one integration's workspace, with its age."""

import json
from dataclasses import dataclass
from heapq import nsmallest

from worker.domain.integration import Conversation, Person
from worker.store.server import Server, fields, text


@dataclass(frozen=True, slots=True)
class Known:
    """How a directory stands: how old the last whole reading is (None before the first) and its pages.

    `so_far` is how many channels a reading under way has found; None when nobody reads. `joined_age_s` is how
    long ago Slack was asked for just those the bot is in.
    """

    age_s: float | None
    pages: int = 0
    so_far: int | None = None
    joined_age_s: float | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """The first channels by name with a part of a name in them, and how many there are; no archived ones."""

    members: tuple[Conversation, ...]
    others: tuple[Conversation, ...]
    members_count: int
    others_count: int


class Directory:
    """What was read last; looked up without asking Slack."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._keys = server.keys

    async def known(self, integration_id: str) -> Known:
        """How it stands now, by the server's clock."""
        keys = self._keys
        meta = keys.directory(integration_id, "meta")
        (s, us), (read_at_ms, pages, joined_at_ms), claimed, so_far = await self._server.each(
            [
                ("TIME",),
                ("HMGET", meta, "read_at_ms", "pages", "joined_at_ms"),
                ("EXISTS", keys.lock(f"directory:{integration_id}")),
                ("HGET", keys.reading(integration_id, "place"), "channels"),
            ]
        )

        def age_s(at_ms: bytes | None) -> float | None:
            return None if at_ms is None else max(int(s) + int(us) / 1e6 - int(at_ms) / 1000, 0.0)

        so_far = int(so_far or 0) if claimed else None
        return Known(age_s(read_at_ms), int(pages or 0), so_far, age_s(joined_at_ms))

    async def by_name(self, integration_id: str, name: str) -> Conversation | None:
        """A channel by its name without `#`."""
        id_ = await self._server.command("HGET", self._keys.directory(integration_id, "names"), name)
        return None if id_ is None else await self.by_id(integration_id, text(id_))

    async def by_id(self, integration_id: str, id_: str) -> Conversation | None:
        """A channel by its id."""
        kept = await self._server.command("HGET", self._keys.directory(integration_id, "channels"), id_)
        return None if kept is None else _conversation(id_, text(kept))

    async def all(self, integration_id: str) -> list[Conversation]:
        """Every channel, by name."""
        kept = await self._server.command("HGETALL", self._keys.directory(integration_id, "channels"))
        found = [_conversation(id_, packed) for id_, packed in fields(kept).items()]
        return sorted(found, key=lambda conversation: conversation.name)

    async def find(self, integration_id: str, part: str, *, most: int) -> Found:
        """Those the bot is in and those it is not in, `most` of each; only these are unpacked."""
        channels = self._keys.directory(integration_id, "channels")
        kept = fields(await self._server.command("HGETALL", channels))
        members, others = list[tuple[str, str]](), list[tuple[str, str]]()
        for id_, channel in kept.items():
            flags, _, name = channel.partition(" ")
            if "a" not in flags and part in name:
                (members if "m" in flags else others).append((name, id_))
        shown, not_in = (
            tuple(_conversation(id_, kept[id_]) for _, id_ in nsmallest(most, some))
            for some in (members, others)
        )
        return Found(shown, not_in, len(members), len(others))

    async def note(self, integration_id: str, *conversations: Conversation) -> None:
        """Correct some channels: Slack just told."""
        if not conversations:
            return
        channels, names = (self._keys.directory(integration_id, part) for part in ("channels", "names"))
        await self._server.together(
            ("HSET", channels, *(part for one in conversations for part in (one.id, packed(one)))),
            ("HSET", names, *(part for one in conversations for part in (one.name, one.id))),
        )

    async def note_joined_known(self, integration_id: str) -> None:
        """All channels the bot is in were noted just now."""
        meta = self._keys.directory(integration_id, "meta")
        await self._server.command("HSET", meta, "joined_at_ms", await self._server.now_ms())

    async def person(self, integration_id: str, email: str) -> Person | None:
        """A person by email, if looked up before."""
        kept = await self._server.command("HGET", self._keys.directory(integration_id, "people"), email)
        return None if kept is None else Person(**json.loads(kept))

    async def note_person(self, integration_id: str, email: str, person: Person, *, life_s: int) -> None:
        """Remember who an email is; all of them are forgotten after `life_s`."""
        key = self._keys.directory(integration_id, "people")
        kept = json.dumps({"id": person.id, "is_bot": person.is_bot, "deleted": person.deleted})
        _, left_s = await self._server.together(("HSET", key, email, kept), ("TTL", key))
        if left_s < 0:
            await self._server.command("EXPIRE", key, life_s)

    async def forget(self, integration_id: str) -> None:
        """Everything of a workspace the integration no longer belongs to; whoever reads it is stopped."""
        await self._server.command("DEL", *self._keys.whole_directory(integration_id))


def packed(conversation: Conversation) -> str:
    """A channel as it is kept: its flags, a space, its name."""
    flags = (
        ("m", conversation.is_member),
        ("a", conversation.is_archived),
        ("p", conversation.is_private),
    )
    return "".join(letter for letter, is_set in flags if is_set) + " " + conversation.name


def _conversation(id_: str, kept: str) -> Conversation:
    flags, _, name = kept.partition(" ")
    return Conversation(id_, name, is_member="m" in flags, is_archived="a" in flags, is_private="p" in flags)
