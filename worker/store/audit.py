"""The audit trail: who changed what, whichever way: console, API, command or Flower. It is written after the change."""

from dataclasses import dataclass

from worker.store.redis_client import RedisStore, fields, text

DONE, REFUSED, FAILED = "done", "refused", "failed"
MAX_ENTRIES = 10_000
MAX_TEXT = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """A change as stored."""

    at_ms: int
    who: str
    what: str
    which: str  #: What was changed.
    outcome: str  #: `done`, `refused` or `failed`.


class AuditTrail(RedisStore):
    """The newest changes, in a stream of Redis."""

    async def append(self, who: str, what: str, which: str, outcome: str) -> None:
        """Record a change; long texts are cut."""
        pairs = {"who": who, "what": what, "which": which, "outcome": outcome}
        arguments = [part for name, value in pairs.items() for part in (name, value[:MAX_TEXT])]
        await self._server.command("XADD", self._keys.named("audit"), "MAXLEN", "~", MAX_ENTRIES, "*", *arguments)

    async def find_newest(self, limit: int) -> list[AuditEntry]:
        """Return the newest changes, newest first."""
        rows = await self._server.command("XREVRANGE", self._keys.named("audit"), "+", "-", "COUNT", limit)
        return [AuditEntry(at_ms=int(text(id_).partition("-")[0]), **fields(pairs)) for id_, pairs in rows]
