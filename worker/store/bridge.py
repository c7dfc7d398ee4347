"""The bridge's memory: the messages it has taken, the last state of each entity, and what is held."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from worker.domain.event import Entity
from worker.store.redis_client import RedisClient, RedisStore, Value, text

HOLD_MS = 5_000  # how long a failure waits for its reason, and a notification for its entity event
LIFE_MS = 3_600_000  # of what is known of an entity, however short the retention
BODIES_LIMIT = 5_000  # far more than one RabbitMQ may redeliver


class MessageKind(StrEnum):
    """The subject of a message."""

    STATE = "state"  # an entity event of a resource or a workflow
    STATUS = "status"  # an entity event of another entity, which is no news when it repeats the last one
    ERROR = "error"  # a notification: a task failed
    CHANGE = "change"  # a notification: the entity has another state, which an entity event reports too
    SUCCESS = "success"  # a notification: a task ended, which an entity event reports too
    OTHER = "other"  # a notification that no entity event reports
    UNREADABLE = "unreadable"  # not what InfraKitchen sends


class Phase(StrEnum):
    """How far the operation on an entity is."""

    OPEN = "open"
    FINISHED = "finished"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeMessage:
    """A message of RabbitMQ with the fields that may leave it."""

    body_hash: str
    kind: MessageKind
    entity: Entity
    #: As JSON: a CloudEvent without `id` and reason, or InfraKitchen's own body without `metadata`; else bytes.
    event: str | bytes
    reason: str = ""  #: Why it failed, as JSON; empty if it does not say so.
    field: str = ""  #: The field of the event's data that takes the reason.
    state: str = ""  #: `,state|status,` of the entity.
    phase: Phase = Phase.OPEN
    metadata: str = ""  #: As JSON: the name, project, template and person of the entity, for its notifications.


@dataclass(frozen=True, slots=True)
class TakeResult:
    """The answer to taking messages."""

    published: int  #: Entries added to the stream, with those that were held before.
    repeats: int  #: Messages that were taken before.
    held: int  #: What is held now, of all messages.


class SessionEnded(Exception):
    """Another bridge has begun a session, and is given the messages that are not acknowledged."""


class BridgeStore(RedisStore):
    """The messages taken, and what is known of their entities."""

    def __init__(self, server: RedisClient, *, stream: str, retention_s: float) -> None:
        super().__init__(server)
        self._stream, self._life_ms = stream, max(int(retention_s * 1000), LIFE_MS)

    async def begin_session(self, session: str) -> None:
        """Begin a session: from now on another one can take nothing, so that no message is taken by two."""
        keys = [self._keys.bridge(part) for part in ("", "bodies", "order")]
        await self._server.run_script("bridge_begin", keys, (session, self._life_ms))

    async def take(self, session: str, call: int, messages: Sequence[tuple[BridgeMessage, bool]]) -> TakeResult:
        """Take messages, each with whether it is redelivered, in their order, in one step; each is taken once.

        What was held long enough is published too. `call` is this call's number in the session. Raises SessionEnded.
        """
        keys, arguments = list[str](), list[Value]()
        for message, is_redelivered in messages:
            keys.append(self._keys.bridge_entity(message.entity))
            arguments += message.body_hash, int(is_redelivered), message.kind, message.event, message.reason
            arguments += message.field, message.state, message.phase, message.metadata
        return await self._run(session, call, 0, keys, arguments)

    async def forget(self, session: str, *, but_newest: int) -> None:
        """Forget the messages whose acknowledgements RabbitMQ has kept: it redelivers them no more.

        The `but_newest` that were taken last are kept.
        """
        keys = [self._keys.bridge(part) for part in ("", "order")]
        await self._server.run_script("bridge_forget", keys, (session, but_newest))

    async def release(self, *, everything: bool = False) -> TakeResult:
        """Publish what was held long enough, or everything that is held; any process may do that."""
        return await self._run("", 0, int(everything))

    async def last_message_ms(self) -> int:
        """Return when the last message was taken; 0 for never."""
        return int(text(await self._server.command("HGET", self._keys.bridge(), "at")) or 0)

    async def _run(
        self, session: str, call: int, releases_all: int, keys: Sequence[str] = (), arguments: Sequence[Value] = ()
    ) -> TakeResult:
        own_keys = [self._stream, *(self._keys.bridge(part) for part in ("", "bodies", "order", "held"))]
        options = (session, call, self._life_ms, HOLD_MS, BODIES_LIMIT, releases_all)
        answer = await self._server.run_script("bridge_take", [*own_keys, *keys], [*options, *arguments])
        if not answer:
            raise SessionEnded
        return TakeResult(*map(int, answer))
