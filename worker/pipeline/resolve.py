"""Resolve: a destination as a person wrote it becomes an address Slack knows, or the reason why it cannot."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from worker.domain.delivery import Address, Destination, destination_form
from worker.domain.errors import Blocked, NotYet, Refusal, Scope, filled
from worker.domain.integration import Conversation, Integration, Person, Secret
from worker.pipeline.connect import scopes_mend
from worker.pipeline.directory import DirectoryReader
from worker.pipeline.gateway import Gateway, Sleep
from worker.pipeline.listing import Answer, ask
from worker.store.directory import Directory
from worker.store.lanes import Lanes
from worker.store.pace import Pace

INFO, LOOKUP, PERSON = ("conversations.info", 50), ("users.lookupByEmail", 50), ("users.info", 100)
"""Methods, each with its tier's calls a minute."""

FEW_PAGES = 2
FRESH_ENOUGH_S = 10.0  # a miss in a directory of few pages and younger than this is a miss
PROBED_ENOUGH_S = 1.0  # the same when probing: one read for all lanes probed together
ENOUGH_PER_PAGE_S = 12.0  # four times what a page costs: a name nobody has must not keep us reading
SEES_PRIVATE = "groups:read"


@dataclass(slots=True)
class Resolver:
    """Asks the directory first, and Slack only when that does not know, at each method's pace."""

    directory: Directory
    lanes: Lanes
    gateway: Gateway
    allowances: Pace
    reader: DirectoryReader
    life_s: int
    sleep: Sleep = asyncio.sleep

    async def resolve(
        self, lane: str, destination: str, pinned: Address | None, integration: Integration, token: Secret, *,
        budget_s: float, fresh: bool = False,
    ) -> Address:  # fmt: skip
        """Where to post. Raises `Blocked` with the step that frees it, `NotYet` while Slack is asked.

        `fresh` trusts nothing that was remembered: for probing what is parked.
        """
        try:
            return await self._resolved(
                lane, destination, pinned, integration, token, budget_s=budget_s, fresh=fresh
            )
        except Blocked as error:
            if error.code != "missing_scope":
                raise  # others can be posted to without looking anything up
            raise Blocked(error.code, error.reason, error.hint, Scope.LANE) from None

    async def _resolved(
        self, lane: str, destination: str, pinned: Address | None, integration: Integration, token: Secret, *,
        budget_s: float, fresh: bool,
    ) -> Address:  # fmt: skip
        match destination_form(destination):
            case Destination.USER_ID:
                if fresh:  # else the post itself tells as much
                    await self._look_at(destination, integration, token, budget_s)
                return Address(destination, destination)
            case Destination.EMAIL:
                return await self._person(destination, integration, token, budget_s, fresh=fresh)
            case Destination.CONVERSATION_ID if destination.startswith("D"):
                return Address(destination, destination)
            case Destination.CONVERSATION_ID:
                known = await self.directory.by_id(integration.id, destination)
                found = await self._usable(destination, known, integration, token, budget_s, fresh=fresh)
            case _:
                found = await self._by_name(destination, pinned, integration, token, budget_s, fresh=fresh)
        address = Address(found.id, f"#{found.name}" if found.name else destination)
        if address != pinned:
            await self.lanes.pin(lane, address)
        return address

    async def _by_name(
        self, name: str, pinned: Address | None, integration: Integration, token: Secret, budget_s: float, *,
        fresh: bool,
    ) -> Conversation:  # fmt: skip
        gone: set[str] = set()

        async def there(id_: str, known: Conversation | None) -> Conversation | None:
            try:
                return await self._usable(id_, known, integration, token, budget_s, fresh=fresh)
            except Blocked as error:
                if error.code != "channel_not_found":
                    raise
                gone.add(id_)  # deleted, and perhaps made anew: then its name says where
                return None

        async def named() -> Conversation | None:
            wanted = name.removeprefix("#")
            known = await self.directory.by_name(integration.id, wanted)
            if known is None or known.id in gone or known.name != wanted:
                return None
            found = await there(known.id, known)
            return found if found and found.name == wanted else None  # else it was renamed since the read

        found = None
        if pinned is not None:
            found = await there(pinned.id, await self.directory.by_id(integration.id, pinned.id))
        return found or await named() or await self._missed(named, integration, token, budget_s, fresh=fresh)

    async def _missed(
        self, named: Callable[[], Awaitable[Conversation | None]], integration: Integration, token: Secret,
        budget_s: float, *, fresh: bool,
    ) -> Conversation:  # fmt: skip
        """What the directory does not have: it is read anew if it may be out of date.

        Reading a large one takes minutes, but in which channels the bot is Slack tells at once: that is asked
        meanwhile; and as it is asked, a miss is believed for as long as everything else in the directory.
        """
        known = await self.directory.known(integration.id)
        enough_s = self.life_s if known.pages > FEW_PAGES else PROBED_ENOUGH_S if fresh else FRESH_ENOUGH_S
        waits = found = None
        if known.age_s is None or known.age_s > enough_s:
            waits = await self.reader.begin(integration, token, unless_younger_s=enough_s, budget_s=budget_s)
            found, known = await named(), await self.directory.known(integration.id)
        if found is None and (waits or known.pages > FEW_PAGES):
            try:
                await self.reader.note_joined(integration, token, budget_s=budget_s)
            except NotYet as error:
                waits = waits or error
            except Blocked:
                raise
            except Refusal:  # Slack does not tell: a whole reading must, though not again and again
                waits = waits or await self.reader.begin(
                    integration, token, unless_younger_s=ENOUGH_PER_PAGE_S * known.pages, budget_s=budget_s
                )
            found = await named()
        if found is None:
            raise waits or _unseen(self.gateway.refusal("channel_not_found"), integration)
        return found

    async def _usable(
        self, id_: str, known: Conversation | None, integration: Integration, token: Secret, budget_s: float,
        *, fresh: bool,
    ) -> Conversation:  # fmt: skip
        """A conversation the bot can post to; what stands against it is asked of Slack first."""
        if known is None or fresh or not known.is_member or known.is_archived:
            known = await self._ask(
                partial(self.gateway.conversation, token, id_), integration, *INFO, budget_s
            )
            await self.directory.note(integration.id, known)
        if known.is_archived:
            raise _named(self.gateway.refusal("is_archived"), known, integration)
        if not known.is_member:
            raise _named(self.gateway.refusal("not_in_channel"), known, integration)
        return known

    async def _person(
        self, email: str, integration: Integration, token: Secret, budget_s: float, *, fresh: bool
    ) -> Address:
        person = None if fresh else await self.directory.person(integration.id, email)
        if person is None:
            person = await self._ask(
                partial(self.gateway.person_by_email, token, email), integration, *LOOKUP, budget_s
            )
            if not person.deleted and not person.is_bot:
                await self.directory.note_person(integration.id, email, person, life_s=self.life_s)
        self._can_be_told(person)
        return Address(person.id, email)

    async def _look_at(self, user_id: str, integration: Integration, token: Secret, budget_s: float) -> None:
        """Raises Blocked for what Slack says stands against telling a user; saying nothing does not."""
        try:
            person = await self._ask(
                partial(self.gateway.person, token, user_id), integration, *PERSON, budget_s
            )
        except Blocked as error:
            if error.code == "missing_scope":
                return
            raise
        except Refusal:
            return
        self._can_be_told(person)

    def _can_be_told(self, person: Person) -> None:
        if person.deleted:
            raise self.gateway.refusal("user_disabled")
        if person.is_bot:
            raise self.gateway.refusal("cannot_dm_bot")

    async def _ask(
        self, call: Callable[[], Awaitable[Answer]], integration: Integration, method: str, per_minute: int,
        budget_s: float,
    ) -> Answer:  # fmt: skip
        return await ask(
            call, self.allowances, integration, method, per_minute, longest_s=budget_s, sleep=self.sleep
        )


def _named(error: Refusal, known: Conversation, integration: Integration) -> Refusal:
    """The refusal in the name a channel has by now, which is where a person must take the step."""
    if not isinstance(error, Blocked) or not known.name:
        return error
    reason, hint = (
        filled(text, integration=integration.name, bot=integration.bot_name, channel=f"#{known.name}")
        for text in (error.reason, error.hint)
    )
    return Blocked(error.code, reason, hint, error.scope)


def _unseen(error: Refusal, integration: Integration) -> Refusal:
    """The refusal of a name that no channel has, where private ones cannot even be seen."""
    if not isinstance(error, Blocked) or not integration.scopes or SEES_PRIVATE in integration.scopes:
        return error
    mend = scopes_mend((SEES_PRIVATE,), integration.name)
    return Blocked(
        error.code, error.reason, f"{error.hint} No private channel is found yet: {mend}", error.scope
    )
