"""Resolve: a destination as a person wrote it becomes an address Slack knows, or the reason why it cannot."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from worker.domain.delivery import Address, Destination, destination_form
from worker.domain.errors import Blocked, NotYet, Throttled
from worker.domain.integration import Conversation, Integration, Page, Secret
from worker.pipeline.gateway import Gateway, Sleep
from worker.store.directory import Directory
from worker.store.lanes import Lanes
from worker.store.pace import Pace
from worker.store.upkeep import Upkeep

Answer = TypeVar("Answer")

LIST_PER_MINUTE, INFO_PER_MINUTE, LOOKUP_PER_MINUTE = 20, 50, 50
FRESH_ENOUGH_S = 10.0  # a miss in a directory younger than this is a miss
READ_LOCK_MS = 90_000


@dataclass(slots=True)
class Resolver:
    """Asks the directory first, and Slack only when that does not know, at each method's pace."""

    directory: Directory
    lanes: Lanes
    gateway: Gateway
    allowances: Pace
    upkeep: Upkeep
    people_life_s: int
    who: str
    sleep: Sleep = asyncio.sleep
    reading: dict[str, asyncio.Task[int]] = field(default_factory=dict)

    async def resolve(
        self, lane: str, destination: str, pinned: Address | None, integration: Integration, token: Secret, *,
        budget_s: float, fresh: bool = False,
    ) -> Address:  # fmt: skip
        """Where to post. Raises `Blocked` with the step that frees it, `NotYet` while Slack is asked.

        `fresh` trusts nothing that was remembered: for probing what is parked.
        """
        match destination_form(destination):
            case Destination.USER_ID:
                return Address(destination, destination)
            case Destination.EMAIL:
                return await self._person(destination, integration, token, budget_s)
            case Destination.CONVERSATION_ID if destination.startswith("D"):
                return Address(destination, destination)
            case Destination.CONVERSATION_ID:
                found = await self._by_id(destination, integration, token, budget_s, fresh=fresh)
            case _:
                found = await self._by_name(destination, pinned, integration, token, budget_s, fresh=fresh)
        address = Address(found.id, f"#{found.name}" if found.name else destination)
        if address != pinned:
            await self.lanes.pin(lane, address)
        return address

    async def read_directory(
        self, integration: Integration, token: Secret, *, progress: Callable[[Page], None] = lambda _: None
    ) -> int:
        """Read every channel of the workspace, paced, one worker at a time: how many pages it took."""
        lock = f"directory:{integration.id}"
        if not await self.upkeep.lock(lock, self.who, READ_LOCK_MS):
            raise NotYet(1.0, "another worker reads the channel directory")
        try:
            found: list[Conversation] = []
            pages = 0
            for private in (False, True):
                cursor: str | None = ""
                while cursor is not None:
                    page = await self._page(integration, token, cursor, private=private)
                    await self.upkeep.lock(lock, self.who, READ_LOCK_MS)
                    found += page.conversations
                    progress(page)
                    cursor = page.cursor or None
                    pages += 1
            await self.directory.replace(integration.id, found)
            return pages
        finally:
            await self.upkeep.unlock(lock, self.who)

    async def _page(self, integration: Integration, token: Secret, cursor: str, *, private: bool) -> Page:
        """One page, however long Slack makes us wait. Without groups:read there are no private ones."""
        while True:
            await self._wait_for(integration, "conversations.list", LIST_PER_MINUTE, READ_LOCK_MS / 1000 - 15)
            try:
                return await self.gateway.list_conversations(token, private=private, cursor=cursor)
            except Throttled as error:
                await self.allowances.close_method(
                    integration.workspace, "conversations.list", error.retry_after_s
                )
                if error.retry_after_s * 1000 >= READ_LOCK_MS:
                    raise
                await self.sleep(error.retry_after_s)
            except Blocked as error:
                if private and error.code == "missing_scope":
                    return Page(())
                raise

    async def _by_name(
        self, name: str, pinned: Address | None, integration: Integration, token: Secret, budget_s: float, *,
        fresh: bool,
    ) -> Conversation:  # fmt: skip
        if pinned is not None:
            try:
                return await self._by_id(pinned.id, integration, token, budget_s, fresh=fresh)
            except Blocked as error:
                if error.code != "channel_not_found":
                    raise  # deleted, and perhaps made anew: then its name says where
        bare = name.removeprefix("#")
        found = await self.directory.by_name(integration.id, bare)
        if found is None:
            age_s = await self.directory.age_s(integration.id)
            if age_s is None or age_s > FRESH_ENOUGH_S:
                await self._reread(integration, token, budget_s)
                found = await self.directory.by_name(integration.id, bare)
        if found is None or (pinned is not None and found.id == pinned.id):
            raise self.gateway.refusal("channel_not_found")
        return await self._usable(found.id, found, integration, token, budget_s, fresh=fresh)

    async def _by_id(
        self, id_: str, integration: Integration, token: Secret, budget_s: float, *, fresh: bool
    ) -> Conversation:
        known = await self.directory.by_id(integration.id, id_)
        return await self._usable(id_, known, integration, token, budget_s, fresh=fresh)

    async def _usable(
        self, id_: str, known: Conversation | None, integration: Integration, token: Secret, budget_s: float,
        *, fresh: bool,
    ) -> Conversation:  # fmt: skip
        """A conversation the bot can post to; what stands against it is asked of Slack first."""
        if known is None or fresh or not known.is_member or known.is_archived:
            await self._wait_for(integration, "conversations.info", INFO_PER_MINUTE, budget_s)
            known = await self._asking(
                integration, "conversations.info", self.gateway.conversation(token, id_)
            )
            await self.directory.note(integration.id, known)
        if known.is_archived:
            raise self.gateway.refusal("is_archived")
        if not known.is_member:
            raise self.gateway.refusal("not_in_channel")
        return known

    async def _person(self, email: str, integration: Integration, token: Secret, budget_s: float) -> Address:
        person = await self.directory.person(integration.id, email)
        if person is None:
            await self._wait_for(integration, "users.lookupByEmail", LOOKUP_PER_MINUTE, budget_s)
            person = await self._asking(
                integration, "users.lookupByEmail", self.gateway.person_by_email(token, email)
            )
            if not person.deleted and not person.is_bot:
                await self.directory.note_person(integration.id, email, person, life_s=self.people_life_s)
        if person.deleted:
            raise self.gateway.refusal("user_disabled")
        if person.is_bot:
            raise self.gateway.refusal("cannot_dm_bot")
        return Address(person.id, email)

    async def _reread(self, integration: Integration, token: Secret, budget_s: float) -> None:
        """A fresh read, shared by all lanes of this process; a long one goes on while the lane lies down."""
        reading = self.reading.get(integration.id)
        if reading is None or reading.done():
            reading = asyncio.create_task(self.read_directory(integration, token))
            reading.add_done_callback(lambda task: task.cancelled() or task.exception())
            self.reading[integration.id] = reading
        done, _ = await asyncio.wait({reading}, timeout=max(budget_s, 0.0))
        if not done:
            raise NotYet(2.0, "the channel directory is being read")
        reading.result()

    async def _wait_for(
        self, integration: Integration, method: str, per_minute: int, longest_s: float
    ) -> None:
        slot = await self.allowances.slot_to_call(
            integration.workspace, method, per_minute, longest_s=max(longest_s, 0.0)
        )
        if not slot.booked:
            raise NotYet(slot.wait_s, f"waits to call {method}")
        if slot.wait_s:
            await self.sleep(slot.wait_s)

    async def _asking(self, integration: Integration, method: str, asked: Awaitable[Answer]) -> Answer:
        try:
            return await asked
        except Throttled as error:
            await self.allowances.close_method(integration.workspace, method, error.retry_after_s)
            raise NotYet(error.retry_after_s, f"Slack asks to wait before {method}") from None
