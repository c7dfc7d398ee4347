"""Template faults: which subscriptions' templates fail, and what failed for one delivery."""

import json
from collections.abc import Sequence

from worker.domain.template import TemplateFault
from worker.store.server import Server, Value, fields, text


class TemplateFaults:
    """Noted with each message of a template, written only when something changes."""

    def __init__(self, server: Server, retention_s: float) -> None:
        self._server = server
        self._keys = server.keys
        self._retention_s = int(retention_s)

    async def note(self, subscription_id: str, delivery_id: str, fault: TemplateFault | None) -> None:
        """How it went this time; a subscription that is changed begins anew (`Subscriptions.change`)."""
        all_, own = self._keys.named("template_faults"), self._keys.template_fault(delivery_id)
        now = "" if fault is None else json.dumps([fault.reason, fault.line])
        last, of_delivery = await self._server.each((("HGET", all_, subscription_id), ("GET", own)))
        changes: list[tuple[Value, ...]] = []
        if text(last) != now:
            changes.append(("HSET", all_, subscription_id, now) if now else ("HDEL", all_, subscription_id))
        if text(of_delivery) != now:
            changes.append(("SET", own, now, "EX", self._retention_s) if now else ("DEL", own))
        await self._server.each(changes)

    async def forget(self, subscription_ids: Sequence[str]) -> None:
        """What these are told by has changed: they begin anew."""
        if subscription_ids:
            await self._server.command("HDEL", self._keys.named("template_faults"), *subscription_ids)

    async def all(self) -> dict[str, TemplateFault]:
        """What fails now, by the subscription's id."""
        kept = fields(await self._server.command("HGETALL", self._keys.named("template_faults")))
        return {id_: TemplateFault(*json.loads(fault)) for id_, fault in kept.items()}

    async def of(self, delivery_id: str) -> TemplateFault | None:
        """What failed for a delivery, which was told with the default message."""
        kept = await self._server.command("GET", self._keys.template_fault(delivery_id))
        return TemplateFault(*json.loads(kept)) if kept else None
