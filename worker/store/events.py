"""Event records: the body of every event, kept before anything refers to it, counted exactly once."""

import asyncio
import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from worker.domain.dead_letter import UNREADABLE
from worker.domain.delivery import digest, event_ref
from worker.domain.event import Event, Kind
from worker.store.bodies import KeptBody, pack, unpack
from worker.store.server import Server, Value, text, texts

RECENT = 500


@dataclass(frozen=True, slots=True)
class Accepted:
    """An event to be counted and acknowledged; `suppressed` says why it makes no delivery."""

    ref: str
    entry_id: str
    kind: Kind
    is_repeat: bool
    suppressed: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """An event as kept: its body as it came, and what became of it."""

    ref: str
    entry_id: str
    body: bytes
    accepted: bool
    suppressed: str


class Events:
    """Remember, accept, reject, find."""

    def __init__(self, server: Server, *, life_s: float, retention_s: float) -> None:
        self._server = server
        self._keys = server.keys
        self.life_s = life_s
        self._retention_ms = int(retention_s * 1000)

    async def remember(self, events: Sequence[tuple[Event, bytes]]) -> list[str]:
        """Keep the bodies; per event `new`, `redo` (this entry again) or `repeat` (another entry's event)."""
        names: list[str] = []
        arguments: list[Value] = [int(self.life_s * 1000)]
        for event, body in events:
            key, source = self._keys.event(event_ref(event.source, event.id))
            names.append(key)
            arguments += source, event.entry_id, pack(body)
        return [text(status) for status in await self._server.script("events_remember", names, arguments)]

    async def accept(self, stream: str, group: str, events: Sequence[Accepted]) -> int:
        """Count and acknowledge, the last step of ingest: how many were new."""
        names = [stream, *map(self._keys.named, ("ledger", "recent"))]
        arguments: list[Value] = [group, RECENT]
        for event in events:
            key, source = self._keys.event(event.ref)
            names.append(key)
            arguments += source, event.entry_id, int(event.is_repeat), event.suppressed, event.kind
        return int(await self._server.script("events_accept", names, arguments))

    async def reject(
        self, stream: str, group: str, entry_id: str, raw: Mapping[bytes, bytes], detail: str
    ) -> bool:
        """Keep an unreadable entry as a dead letter with its raw bytes: was it new?"""
        keys = self._keys
        names = [stream, *map(keys.named, ("ledger",)), keys.rejected(entry_id)]
        names += keys.named("dead"), keys.named("dead:changes")
        arguments = (group, entry_id, self._retention_ms, detail, pack_fields(raw), entry_id, UNREADABLE)
        return bool(await self._server.script("events_reject", names, arguments))

    async def body(self, ref: str) -> KeptBody | None:
        """An event's entry id and its body as it came; None once its life is over."""
        key, source = self._keys.event(ref)
        body, entry_id = await self._server.command("HMGET", key, source, f"{source}:entry")
        return None if body is None else (text(entry_id), unpack(body))

    async def bodies(self, refs: Sequence[str]) -> list[KeptBody | None]:
        """Several events' bodies, asked for together."""
        return list(await asyncio.gather(*(self.body(ref) for ref in refs)))

    async def recent(self) -> list[str]:
        """The newest events that were accepted, for somebody or for nobody, newest first: RECENT at most."""
        return texts(await self._server.command("LRANGE", self._keys.named("recent"), 0, RECENT - 1))

    async def find(self, event_id: str) -> list[Record]:
        """Every event with this id, one a source."""
        id_hash = digest(event_id)
        key, _ = self._keys.event(id_hash)
        kept = await self._server.command("HGETALL", key)
        found = {text(name): value for name, value in kept.items()}
        return [
            Record(
                f"{id_hash}.{source}",
                text(found[f"{source}:entry"]),
                unpack(found[source]),
                f"{source}:accepted" in found,
                text(found.get(f"{source}:suppressed")),
            )
            for source in sorted(name for name in found if ":" not in name)
        ]


def pack_fields(raw: Mapping[bytes, bytes]) -> str:
    """An entry's fields, every byte of them, as text."""
    return json.dumps([[base64.b64encode(part).decode() for part in pair] for pair in raw.items()])


def unpack_fields(packed: str) -> dict[bytes, bytes]:
    """The fields that `pack_fields` packed."""
    return {base64.b64decode(name): base64.b64decode(value) for name, value in json.loads(packed)}
