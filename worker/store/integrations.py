"""Integrations as stored: JSON by id with an encrypted token, cached until their version changes."""

import asyncio
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from itertools import chain, count
from typing import Any

from worker.domain.errors import NotFound, UserError
from worker.domain.hints import Action, Hint, Step
from worker.domain.integration import Health, Integration, Secret
from worker.domain.mrkdwn import cut
from worker.store.redis_client import RedisClient, RedisStore, Value, fields, text, texts
from worker.store.token_cipher import TokenCipher, WrongKey

FIRST_PROBE_MS, LONGEST_PROBE_MS = 2_000, 300_000


@dataclass(frozen=True, slots=True)
class Connection:
    """An integration with its token."""

    integration: Integration
    token: Secret | None  #: None when no key decrypts it.
    unreadable: WrongKey | None = None  #: Why the token cannot be decrypted, with the fix.


@dataclass(frozen=True, slots=True, kw_only=True)
class LastCalls:
    """When calls of an integration last succeeded and failed, 0 for never; answers about one channel are neither."""

    succeeded_ms: int
    failed_ms: int
    code: str  #: The code of the last failure.


class Integrations(RedisStore):
    """The stored integrations, and which of them are parked or disabled."""

    def __init__(self, server: RedisClient, token_cipher: TokenCipher) -> None:
        super().__init__(server)
        self._token_cipher = token_cipher
        self._version: int | None = None
        self._cached: dict[str, Connection] = {}
        self._loading = asyncio.Lock()

    async def get_connections(self, version: int | None = None) -> dict[str, Connection]:
        """Return all integrations with their tokens, by id; `version` is the current one if the caller knows it."""
        if version is None:
            version = int(await self._server.command("GET", self._keys.version("integrations")) or 0)
        async with self._loading:  # after a change many lanes ask at once; one loads
            if version != self._version:
                stored = await self._server.command("HGETALL", self._keys.named("integrations"))
                self._cached = {id_: self._connection(value) for id_, value in fields(stored).items()}
                self._version = version
            return self._cached

    async def list_all(self) -> list[Integration]:
        """Return all integrations by name, with their health."""
        connections = await self.get_connections()
        integrations = [await self._with_health(connection.integration) for connection in connections.values()]
        return sorted(integrations, key=lambda integration: integration.name)

    async def find(self, name: str) -> Integration:
        """Return the integration with this name, else with this id. Raises `NotFound`."""
        integrations = await self.list_all()
        by_name = {integration.id: integration for integration in integrations}
        by_name |= {integration.name: integration for integration in integrations}
        if name in by_name:
            return by_name[name]
        missing = f"There is no integration {cut(name, 80)!r}"
        if similar := get_close_matches(name, by_name, n=1):
            raise NotFound(f"{missing}: did you mean {similar[0]}?")
        names = cut(", ".join(integration.name for integration in integrations), 80) or "none yet"
        add = Hint.of("To add it, ", Step(Action.ADD_INTEGRATION, cut(name, 80)), ".")
        raise NotFound(f"{missing} (existing: {names}).", add)

    async def get_token(self, integration_id: str) -> Secret:
        """Return an integration's token. Raises `WrongKey` when no key decrypts it."""
        connection = (await self.get_connections())[integration_id]
        if connection.unreadable:
            raise WrongKey(connection.unreadable.text, connection.unreadable.fix)
        assert connection.token is not None  # noqa: S101  # it has one or the other
        return connection.token

    async def save(self, integration: Integration, token: Secret | None = None) -> None:
        """Save an integration, by default with the token it has. Raises `UserError` when it was removed."""
        values = asdict(replace(integration, state=Health.ACTIVE, reason="", since_ms=0)) | {"hint": ""}
        name, version = self._keys.named("integrations"), self._keys.version("integrations")
        if token is not None:
            values["token"] = self._token_cipher.encrypt(token)
            await self._server.transaction(("HSET", name, integration.id, json.dumps(values)), ("INCR", version))
        elif not await self._update(integration.id, lambda stored: values | {"token": stored["token"]}):
            raise UserError(f"The integration {integration.name} was removed: it is not saved.")

    async def reencrypt_tokens(self) -> list[str]:
        """Encrypt every token with the first key, each in one step; return the names of their integrations.

        It may be interrupted and run again. Raises `WrongKey`, after all others are done, for one that no key decrypts.
        """
        done, unreadable = list[str](), list[WrongKey]()

        def encrypt_again(values: dict[str, Any]) -> dict[str, Any]:
            token = self._token_cipher.decrypt(values["token"], values["name"])
            return values | {"token": self._token_cipher.encrypt(token)}

        for id_ in texts(await self._server.command("HKEYS", self._keys.named("integrations"))):
            try:
                values = await self._update(id_, encrypt_again)
            except WrongKey as error:
                unreadable.append(error)
            else:
                done += [values["name"]] if values else []
        if unreadable:
            raise unreadable[-1]
        return sorted(done)

    async def remove(self, integration_id: str) -> None:
        """Remove an integration with its token; its lanes become due, and are parked one by one."""
        keys = self._keys
        await self._server.transaction(
            ("HDEL", keys.named("integrations"), integration_id),
            ("ZADD", keys.named("probes"), 0, f"integration:{integration_id}"),  # resumes it should we crash here
            ("DEL", keys.integration(integration_id, "parked", "first"), keys.integration(integration_id, "calls")),
            ("DEL", *keys.all_of_directory(integration_id)),
            ("INCR", keys.version("integrations")),
        )
        await self.resume(integration_id, enable=True)

    async def park(
        self, integration_id: str, code: str, reason: str, hint: Hint, *, probe_s: float, version: int | None = None
    ) -> bool:
        """Park an integration, unless `version`, whose token failed, is not current; return whether it was running."""
        keys = self._keys
        named = (keys.named("probes"), keys.version("integrations"), keys.named("warnings"))
        arguments = (
            code, reason, str(hint), int(probe_s * 1000), f"integration:{integration_id}",
            "" if version is None else version, FIRST_PROBE_MS, hint.to_json(),
        )  # fmt: skip
        names = (keys.integration(integration_id, "parked"), *named)
        return bool(await self._server.run_script("integration_park", names, arguments))

    async def disable(self, integration_id: str, hint: Hint) -> None:
        """Disable an integration: its lanes are parked until it is enabled, whatever a probe finds."""
        words: tuple[Value, ...] = ("code", "disabled", "reason", "a person switched it off", "hint", str(hint))
        words += "hint_parts", hint.to_json(), "since", await self._server.now_ms()
        await self._server.transaction(
            ("HSET", self._keys.integration(integration_id, "parked"), *words),
            ("ZREM", self._keys.named("probes"), f"integration:{integration_id}"),
        )

    async def resume(self, integration_id: str, *, enable: bool = False) -> int:
        """Resume an integration and return how many lanes waited; a disabled one only with `enable`."""
        keys = self._keys
        parked, lanes = keys.integration(integration_id, "parked"), keys.lanes_of_parked_integration(integration_id)
        names = (parked, lanes, keys.named("due"), keys.named("probes"))
        arguments = (keys.lane(""), f"integration:{integration_id}", int(enable))
        return int(await self._server.run_script("integration_resume", names, arguments))

    async def get_parked_code(self, integration_id: str) -> str:
        """Return the code for which an integration is parked; empty while it is not."""
        key = self._keys.integration(integration_id, "parked")
        return text(await self._server.command("HGET", key, "code"))

    async def get_calls(self, integration_ids: Sequence[str]) -> list[LastCalls]:
        """Return when the calls of these integrations last succeeded and failed."""
        names = [self._keys.integration(id_, "calls") for id_ in integration_ids]
        stored = await self._server.pipeline([("HMGET", name, "succeeded", "failed", "code") for name in names])
        return [
            LastCalls(succeeded_ms=int(succeeded or 0), failed_ms=int(failed or 0), code=code)
            for succeeded, failed, code in map(texts, stored)
        ]

    async def find_free_id(self, name: str) -> str:
        """Return an id for a new integration: its name as a slug, with a number when that is taken."""
        slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "slack"
        taken = set(texts(await self._server.command("HKEYS", self._keys.named("integrations"))))
        numbered = (f"{slug}-{number}" for number in count(2))
        return next(id_ for id_ in chain([slug], numbered) if id_ not in taken)

    async def _update(
        self, integration_id: str, change: Callable[[dict[str, Any]], dict[str, Any]]
    ) -> dict[str, Any] | None:
        """Save what `change` makes of a stored integration, again after a conflict; None without it."""
        name, version = self._keys.named("integrations"), self._keys.version("integrations")
        while before := await self._server.command("HGET", name, integration_id):
            values = change(json.loads(before))
            arguments = (integration_id, before, json.dumps(values))
            if await self._server.run_script("integration_save", (name, version), arguments):
                return values
        return None

    async def _with_health(self, integration: Integration) -> Integration:
        parked = fields(await self._server.command("HGETALL", self._keys.integration(integration.id, "parked")))
        if not parked:
            return integration
        state = Health.DISABLED if parked["code"] == "disabled" else Health.PARKED
        since_ms = int(parked["since"])
        hint = Hint.from_stored(parked["hint"], parked.get("hint_parts", ""))
        return replace(integration, state=state, reason=parked["reason"], hint=hint, since_ms=since_ms)

    def _connection(self, stored: str) -> Connection:
        values: dict[str, Any] = json.loads(stored)
        encrypted = values.pop("token")
        tuples = {"scopes": tuple(values["scopes"]), "labels": tuple(values["labels"])}
        integration = Integration(**values | tuples | {"state": Health(values["state"]), "hint": Hint()})
        try:
            return Connection(integration, self._token_cipher.decrypt(encrypted, integration.name))
        except WrongKey as error:
            return Connection(integration, token=None, unreadable=error)
