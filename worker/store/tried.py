"""Tried tokens: one a person just tested in the console, sealed, so that no page shows it to save it."""

from worker.domain.integration import Secret
from worker.store.server import Server, text
from worker.store.vault import Vault, WrongKey

LIFE_S = 600


class Tried:
    """Keep, take out, forget; by a name only the browser of that person gives."""

    def __init__(self, server: Server, vault: Vault) -> None:
        self._server = server
        self._keys = server.keys
        self._vault = vault

    async def keep(self, name: str, token: Secret) -> None:
        """For ten minutes, in the place of an earlier one."""
        await self._server.command("SET", self._key(name), self._vault.seal(token), "EX", LIFE_S)

    async def token(self, name: str) -> Secret | None:
        """The one that is kept, if any."""
        sealed = await self._server.command("GET", self._key(name))
        try:
            return None if sealed is None else self._vault.open(text(sealed), "tried just now")
        except WrongKey:
            return None

    async def forget(self, name: str) -> None:
        """It is saved, or not wanted any more."""
        await self._server.command("DEL", self._key(name))

    def _key(self, name: str) -> str:
        return self._keys.session(name, "tried")
