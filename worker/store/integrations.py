"""Integrations as stored: JSON by id, the token sealed; kept in memory until their version changes."""

import asyncio
import json
import re
from dataclasses import asdict, dataclass, replace
from typing import Any

from worker.domain.errors import Missing, Problem
from worker.domain.integration import Health, Integration, Secret
from worker.store.server import Server, fields, text, texts
from worker.store.vault import Vault, WrongKey

FIRST_PROBE_MS, LONGEST_PROBE_MS = 2_000, 300_000


@dataclass(frozen=True, slots=True)
class Connection:
    """An integration with its token; `unreadable` says why the token cannot be opened."""

    integration: Integration
    token: Secret | None
    unreadable: str = ""


class Integrations:
    """Find, save, park, resume, remove."""

    def __init__(self, server: Server, vault: Vault) -> None:
        self._server = server
        self._keys = server.keys
        self._vault = vault
        self._version: int | None = None
        self._known: dict[str, Connection] = {}
        self._reading = asyncio.Lock()

    async def connections(self, version: int | None = None) -> dict[str, Connection]:
        """All of them by id, as of now; read anew only when something changed.

        `version` is the one that counts now, for callers who know it already.
        """
        if version is None:
            version = int(await self._server.command("GET", self._keys.version("integrations")) or 0)
        async with self._reading:  # many lanes ask at once after a change; one reads
            if version != self._version:
                stored = await self._server.command("HGETALL", self._keys.named("integrations"))
                self._known = {id_: self._connection(kept) for id_, kept in fields(stored).items()}
                self._version = version
            return self._known

    async def all(self) -> list[Integration]:
        """All of them by name, with their health."""
        known = await self.connections()
        found = [await self._with_health(connection.integration) for connection in known.values()]
        return sorted(found, key=lambda integration: integration.name)

    async def find(self, name: str) -> Integration:
        """By name or id; Missing when there is none."""
        everyone = await self.all()
        for integration in sorted(everyone, key=lambda one: one.name != name):
            if name in (integration.name, integration.id):
                return integration
        have = ", ".join(integration.name for integration in everyone) or "none yet"
        raise Missing(
            f"There is no integration {name!r} (there is: {have}). Add it with `ik-slack integrations add`."
        )

    async def token(self, integration_id: str) -> Secret:
        """An integration's token; WrongKey when the ring does not open it."""
        connection = (await self.connections())[integration_id]
        if connection.token is None:
            raise WrongKey(connection.unreadable)
        return connection.token

    async def save(self, integration: Integration, token: Secret | None = None) -> None:
        """Write it in one step; without a token the one it has is kept."""
        kept = asdict(replace(integration, state=Health.ACTIVE, reason="", hint="", since_ms=0))
        name, version = self._keys.named("integrations"), self._keys.version("integrations")
        if token is not None:
            kept["token"] = self._vault.seal(token)
            await self._server.together(("HSET", name, integration.id, json.dumps(kept)), ("INCR", version))
            return
        saved = False
        while not saved:  # a token that is rotated at the same moment must not come back
            before = await self._server.command("HGET", name, integration.id)
            if before is None:
                raise Problem(f"The integration {integration.name} was removed: it is not saved.")
            kept["token"] = json.loads(before)["token"]
            arguments = (integration.id, before, json.dumps(kept))
            saved = bool(await self._server.script("integration_save", (name, version), arguments))

    async def reseal(self) -> list[str]:
        """Seal every token with the first key of the ring, each in one write: their integrations' names.

        It may be broken off and run again. WrongKey, after all others are done, names one that no key opens.
        """
        name, version = self._keys.named("integrations"), self._keys.version("integrations")
        done, unopened = [], None
        for id_ in texts(await self._server.command("HKEYS", name)):
            saved = False
            while not saved and (before := await self._server.command("HGET", name, id_)):
                kept = json.loads(before)
                try:
                    kept["token"] = self._vault.seal(self._vault.open(kept["token"], kept["name"]))
                except WrongKey as error:
                    unopened = error
                    break
                arguments = (id_, before, json.dumps(kept))
                saved = bool(await self._server.script("integration_save", (name, version), arguments))
                done += [kept["name"]] if saved else []
        if unopened:
            raise unopened
        return sorted(done)

    async def remove(self, integration_id: str) -> None:
        """Forget an integration and its token; what still waits for it goes on, to be parked lane by lane."""
        keys = self._keys
        await self._server.together(
            ("HDEL", keys.named("integrations"), integration_id),
            ("ZADD", keys.named("probes"), 0, f"integration:{integration_id}"),  # should we die here
            ("DEL", keys.integration_parked_first(integration_id), *keys.whole_directory(integration_id)),
            ("INCR", keys.version("integrations")),
        )
        await self.resume(integration_id, enable=True)

    async def park(
        self,
        integration_id: str,
        code: str,
        reason: str,
        hint: str,
        *,
        probe_s: float,
        version: int | None = None,
    ) -> bool:
        """Stop everything of it in one step: was it running?

        `version` is the one whose token failed: if something changed since then, nothing is stopped.
        """
        keys = self._keys
        names = (
            keys.integration_parked(integration_id),
            keys.named("probes"),
            keys.version("integrations"),
            keys.named("warnings"),
        )
        seen = "" if version is None else version
        arguments = (
            code, reason, hint, int(probe_s * 1000), f"integration:{integration_id}", seen,
            FIRST_PROBE_MS,
        )  # fmt: skip
        return bool(await self._server.script("integration_park", names, arguments))

    async def disable(self, integration_id: str, hint: str) -> None:
        """Switch it off: what is for it waits, and no probe lets it go on."""
        key = self._keys.integration_parked(integration_id)
        why = ("code", "disabled", "reason", "a person switched it off", "hint", hint)
        await self._server.together(
            ("HSET", key, *why, "since", await self._server.now_ms()),
            ("ZREM", self._keys.named("probes"), f"integration:{integration_id}"),
        )

    async def resume(self, integration_id: str, *, enable: bool = False) -> int:
        """Let everything of it go on: how many lanes waited. What a person switched off takes an `enable`."""
        keys = self._keys
        names = (
            keys.integration_parked(integration_id),
            keys.held(integration_id),
            keys.named("due"),
            keys.named("probes"),
        )
        arguments = (keys.lane(""), f"integration:{integration_id}", int(enable))
        return int(await self._server.script("integration_resume", names, arguments))

    async def parked_code(self, integration_id: str) -> str:
        """Why nothing of it is posted, as a code; empty while it posts."""
        key = self._keys.integration_parked(integration_id)
        return text(await self._server.command("HGET", key, "code"))

    async def free_id(self, name: str) -> str:
        """An id for a new integration: its name as a slug, numbered when that is taken."""
        slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "slack"
        taken = set(texts(await self._server.command("HKEYS", self._keys.named("integrations"))))
        candidates = (slug, *(f"{slug}-{number}" for number in range(2, len(taken) + 3)))
        return next(candidate for candidate in candidates if candidate not in taken)

    async def _with_health(self, integration: Integration) -> Integration:
        parked = fields(await self._server.command("HGETALL", self._keys.integration_parked(integration.id)))
        if not parked:
            return integration
        state = Health.DISABLED if parked["code"] == "disabled" else Health.PARKED
        since_ms = int(parked["since"])
        return replace(
            integration, state=state, reason=parked["reason"], hint=parked["hint"], since_ms=since_ms
        )

    def _connection(self, stored: str) -> Connection:
        kept: dict[str, Any] = json.loads(stored)
        sealed = kept.pop("token")
        kept["scopes"], kept["labels"] = tuple(kept["scopes"]), tuple(kept["labels"])
        kept["state"] = Health(kept["state"])
        integration = Integration(**kept)
        try:
            return Connection(integration, self._vault.open(sealed, text(integration.name)))
        except WrongKey as error:
            return Connection(integration, None, str(error))
