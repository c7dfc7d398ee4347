"""The directory: remembered channels and people of one integration's workspace, with its age."""

import json
from collections.abc import Sequence

from worker.domain.integration import Conversation, Person
from worker.store.server import Server, fields, text

_BATCH = 500


class Directory:
    """What was read last; looked up without asking Slack."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._keys = server.keys

    async def age_s(self, integration_id: str) -> float | None:
        """How old the last whole read is, by the server's clock; None before the first."""
        read_at = await self._server.command("HGET", self._keys.directory(integration_id, "meta"), "read_at")
        if read_at is None:
            return None
        return max(await self._server.now_ms() / 1000 - float(read_at), 0.0)

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

    async def replace(self, integration_id: str, conversations: Sequence[Conversation]) -> None:
        """Put a whole new read in the place of the last one, in one step.

        Of several channels of one name (shared ones keep theirs) the one we can post to has it.
        """
        channels, names = (self._keys.directory(integration_id, part) for part in ("channels", "names"))
        await self._server.command("DEL", f"{channels}:new", f"{names}:new")
        best_last = sorted(conversations, key=lambda one: (one.is_member, not one.is_archived))
        for start in range(0, len(conversations), _BATCH):
            some = best_last[start : start + _BATCH]
            await self._server.command(
                "HSET", f"{channels}:new", *(part for one in some for part in (one.id, _packed(one)))
            )
            await self._server.command(
                "HSET", f"{names}:new", *(part for one in some for part in (one.name, one.id))
            )
        renames = (
            (("RENAME", f"{channels}:new", channels), ("RENAME", f"{names}:new", names))
            if conversations
            else (("DEL", channels, names),)
        )
        meta = self._keys.directory(integration_id, "meta")
        await self._server.together(*renames, ("HSET", meta, "read_at", await self._server.now_ms() // 1000))

    async def note(self, integration_id: str, conversation: Conversation) -> None:
        """Correct one channel: Slack just told."""
        await self._server.together(
            (
                "HSET",
                self._keys.directory(integration_id, "channels"),
                conversation.id,
                _packed(conversation),
            ),
            ("HSET", self._keys.directory(integration_id, "names"), conversation.name, conversation.id),
        )

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
        """Everything of a workspace the integration no longer belongs to."""
        parts = ("channels", "names", "people", "meta")
        await self._server.command("DEL", *(self._keys.directory(integration_id, part) for part in parts))


def _packed(conversation: Conversation) -> str:
    flags = (
        ("m", conversation.is_member),
        ("a", conversation.is_archived),
        ("p", conversation.is_private),
    )
    return "".join(letter for letter, is_set in flags if is_set) + " " + conversation.name


def _conversation(id_: str, packed: str) -> Conversation:
    flags, _, name = packed.partition(" ")
    return Conversation(id_, name, is_member="m" in flags, is_archived="a" in flags, is_private="p" in flags)
