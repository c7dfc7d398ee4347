"""Events as stored: the body of every event, saved before a delivery refers to it, and counted exactly once."""

import asyncio
import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from worker.domain.delivery import UNREADABLE, stable_hash
from worker.domain.event import Entity, Event, Kind
from worker.store.redis_client import RedisClient, RedisStore, Value, text, texts
from worker.store.stream import entry_order

COMPRESS_FROM_BYTES = 1024
RECENT_LIMIT = 500
KEPT_BYTES = 64 * 1024  # of an unreadable entry
REPEAT_MS = 60_000  # the same bytes of an event without an id of its own are a repeat
NAME_LIMIT = 300


@dataclass(frozen=True, slots=True)
class EventBody:
    """The bytes of an event, and the entry of the stream that brought it."""

    entry_id: str
    body: bytes  #: The field `event` of the entry.


class SaveResult(StrEnum):
    """The answer to saving an event's body."""

    NEW = "new"
    REDO = "redo"  #: The same entry was read before and not acknowledged.
    REPEAT = "repeat"  #: Another entry brought the same event before.


@dataclass(frozen=True, slots=True)
class KnownEntity:
    """The name and the state of an entity that earlier events gave."""

    name: str = ""
    #: Empty also where that of an earlier event may be missing yet, or a later event was saved already.
    state: str = ""


@dataclass(frozen=True, slots=True)
class AcceptedEvent:
    """An event to be counted and acknowledged."""

    ref: str
    entry_id: str
    kind: Kind
    is_repeat: bool
    suppressed: str = ""  #: Why it has no delivery; empty when it has one.


@dataclass(frozen=True, slots=True)
class EventRecord:
    """An event as stored, and whether it was accepted."""

    ref: str
    entry_id: str
    body: bytes
    accepted: bool
    suppressed: str  #: Why it has no delivery; empty when it has one.


class Events(RedisStore):
    """The stored events and the steps of ingesting them."""

    def __init__(self, server: RedisClient, *, life_s: float, retention_s: float) -> None:
        super().__init__(server)
        self.life_s = life_s  #: How long an event is kept after its last use.
        self._retention_ms = int(retention_s * 1000)

    async def save_bodies(
        self, events: Sequence[tuple[Event, bytes]], published: Mapping[str, bytes] | None = None
    ) -> list[SaveResult]:
        """Save the bodies of events and the names and states of their entities; return for each whether it is new.

        `published` has, by entry id, the bytes of the events that came without an id: the same bytes within REPEAT_MS,
        by the stream's clock, are a repeat; of a task that ended, unless its entity changed between. A state that was
        not in the bytes as they came is not saved.
        """
        keys: list[str] = []
        arguments: list[Value] = [int(self.life_s * 1000), self._retention_ms, REPEAT_MS]
        for event, body in events:
            key, source = self._keys.event(event.ref)
            raw = (published or {}).get(event.entry_id)
            keys += key, self._keys.entity(event.entity), self._keys.twin(stable_hash((raw or b"").decode("latin-1")))
            has_entity = event.entity.id and event.kind is not Kind.ALERT
            name = event.entity.name[:NAME_LIMIT].replace("\n", " ") if has_entity else ""
            state = event.state.replace("\n", " ") if has_entity and raw in (None, body) else ""
            arguments += source, event.entry_id, compress(body), name, state, int(raw is not None)
        return [SaveResult(text(result)) for result in await self._server.run_script("events_save", keys, arguments)]

    async def find_known_entities(
        self, stream: str, group: str, entities: Sequence[Entity], entry_id: str
    ) -> list[KnownEntity]:
        """Return what is known of entities before the entry `entry_id`, the oldest of those that are being ingested."""
        unfinished, values = await self._server.transaction(
            ("XPENDING", stream, group), ("MGET", *map(self._keys.entity, entities))
        )
        oldest = text(unfinished["min"]) or entry_id
        # Another consumer is still saving an earlier event, perhaps with another state.
        is_certain = entry_order(oldest) >= entry_order(entry_id)
        known: list[KnownEntity] = []
        for value in values:
            saved_by, state, name, _ = (text(value) or f"{entry_id}\n\n\n").split("\n")
            is_earlier = entry_order(saved_by) <= entry_order(entry_id)
            known.append(KnownEntity(name, state if is_certain and is_earlier else ""))
        return known

    async def accept(self, stream: str, group: str, events: Sequence[AcceptedEvent]) -> int:
        """Count and acknowledge events, the last step of ingest; return how many were new."""
        keys = [stream, *map(self._keys.named, ("ledger", "recent"))]
        arguments: list[Value] = [group, RECENT_LIMIT]
        for event in events:
            key, source = self._keys.event(event.ref)
            keys.append(key)
            arguments += source, event.entry_id, int(event.is_repeat), event.suppressed, event.kind
        return int(await self._server.run_script("events_accept", keys, arguments))

    async def reject(self, stream: str, group: str, entry_id: str, raw: Mapping[bytes, bytes], detail: str) -> bool:
        """Make a dead letter of an unreadable entry; return whether it is new. Of a large one the start is kept."""
        keys = self._keys
        kept, size = cut_fields(raw, KEPT_BYTES), sum(map(len, (*raw, *raw.values())))
        if kept != raw:
            detail = f"{detail}; the first {KEPT_BYTES:,} of its {size:,} bytes are kept"
        names = [stream, keys.named("ledger"), keys.rejected(entry_id), keys.named("dead"), keys.named("dead:changes")]
        is_cut = int(kept != raw)
        arguments = (group, entry_id, self._retention_ms, detail, pack_fields(kept), entry_id, UNREADABLE, is_cut)
        return bool(await self._server.run_script("events_reject", names, arguments))

    async def body(self, ref: str) -> EventBody | None:
        """Return an event's body; None once its lifetime is over."""
        key, source = self._keys.event(ref)
        body, entry_id = await self._server.command("HMGET", key, source, f"{source}:entry")
        return None if body is None else EventBody(entry_id=text(entry_id), body=decompress(body))

    async def bodies(self, refs: Sequence[str]) -> list[EventBody | None]:
        """Return the bodies of several events, in their order."""
        return list(await asyncio.gather(*(self.body(ref) for ref in refs)))

    async def list_recent(self) -> list[str]:
        """Return references of the newest accepted events, suppressed ones too, newest first."""
        return texts(await self._server.command("LRANGE", self._keys.named("recent"), 0, RECENT_LIMIT - 1))

    async def find(self, event_id: str) -> list[EventRecord]:
        """Return every event with this id, one per source; of a repeat of the same bytes, the event it repeats."""
        id_hash = stable_hash(event_id)
        key, _ = self._keys.event(id_hash)
        stored = {text(name): value for name, value in (await self._server.command("HGETALL", key)).items()}
        repeats = [text(value) for name, value in stored.items() if name.endswith(":repeats")]
        records = [record for first in repeats for record in await self.find(first)]
        for source in sorted(name for name in stored if ":" not in name):
            entry_id, accepted = text(stored[f"{source}:entry"]), f"{source}:accepted" in stored
            suppressed, body = text(stored.get(f"{source}:suppressed")), decompress(stored[source])
            records.append(EventRecord(f"{id_hash}.{source}", entry_id, body, accepted, suppressed))
        return records


def compress(body: bytes) -> bytes:
    """Return a body as stored: a letter that names its form, then the bytes."""
    return b"z" + zlib.compress(body, 1) if len(body) > COMPRESS_FROM_BYTES else b"j" + body


def decompress(stored: bytes) -> bytes:
    """Return the body that `compress` packed."""
    return zlib.decompress(stored[1:]) if stored[:1] == b"z" else stored[1:]


def cut_fields(raw: Mapping[bytes, bytes], limit: int) -> dict[bytes, bytes]:
    """Return the fields of an entry up to `limit` bytes in all; the rest is left out."""
    kept: dict[bytes, bytes] = {}
    for name, value in raw.items():
        if limit <= len(name):
            break
        kept[name] = value[: limit - len(name)]
        limit -= len(name) + len(kept[name])
    return kept


def pack_fields(raw: Mapping[bytes, bytes]) -> str:
    """Return an entry's fields, byte for byte, as text."""
    return json.dumps([[base64.b64encode(part).decode() for part in pair] for pair in raw.items()])


def unpack_fields(packed: str) -> dict[bytes, bytes]:
    """Return the fields that `pack_fields` packed."""
    return {base64.b64decode(name): base64.b64decode(value) for name, value in json.loads(packed)}
