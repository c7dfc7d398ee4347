"""Resolver: turns a destination as the user wrote it into an address that Slack knows; also finds the token."""

import asyncio
import unicodedata
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

from worker.domain.delivery import Address, Destination, destination_form
from worker.domain.errors import Blocked, RetryLater, Scope, SlackError, format_hint
from worker.domain.hints import NO_HINT, Action, Hint, Step
from worker.domain.integration import Conversation, Integration, Person, Secret
from worker.pipeline.directory_refresher import Answer, DirectoryRefresher, call_in_slot
from worker.pipeline.gateway import Gateway, Sleep
from worker.pipeline.integration_setup import missing_scopes_fix
from worker.store.directory import Directory
from worker.store.integrations import Connection
from worker.store.lanes import Lanes
from worker.store.rate_limiter import RateLimiter

# Methods of Slack's, and their rate limits in calls a minute:
INFO, LOOKUP, PERSON = ("conversations.info", 50), ("users.lookupByEmail", 50), ("users.info", 100)
FEW_PAGES = 2
# A directory younger than this is not refreshed for a name it does not have:
SMALL_DIRECTORY_AGE_S = 10.0  # with few pages
PROBE_AGE_S = 1.0  # the same for probes: one refresh for all lanes that are probed together
AGE_PER_PAGE_S = 12.0  # four times what a page costs, so that a name that does not exist cannot keep us refreshing
PRIVATE_CHANNELS_SCOPE = "groups:read"


@dataclass(frozen=True, slots=True)
class _Lookup:
    integration: Integration
    token: Secret
    budget_s: float
    bypass_cache: bool
    directory_only: bool
    #: Channels that turned out to be deleted; perhaps the name belongs to a new channel.
    deleted_ids: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Resolver:
    """Looks destinations up in the directory, and calls Slack only for what the directory does not know."""

    directory: Directory
    lanes: Lanes
    gateway: Gateway
    rate_limiter: RateLimiter
    refresher: DirectoryRefresher
    max_age_s: int  #: How long the directory's knowledge is used.
    sleep: Sleep = asyncio.sleep

    async def resolve(
        self, lane: str, destination: str, pinned: Address | None, integration: Integration, token: Secret, *,
        budget_s: float, bypass_cache: bool = False, directory_only: bool = False,
    ) -> Address:  # fmt: skip
        """Return the address of a destination, and pin it to the lane.

        `bypass_cache` asks Slack about what the directory knows, to probe a parked lane. `directory_only` never asks
        Slack for a channel, when the directory has just been read. Raises Blocked with the step that fixes it, and
        RetryLater while Slack is asked.
        """
        lookup = _Lookup(integration, token, budget_s, bypass_cache, directory_only)
        try:
            match destination_form(destination):
                case Destination.USER_ID:
                    if bypass_cache:
                        await self._check_user_id(destination, lookup)
                    return Address(destination, destination)
                case Destination.EMAIL:
                    return await self._resolve_email(destination, lookup)
                case Destination.CONVERSATION_ID if destination.startswith("D"):
                    return Address(destination, destination)
                case Destination.CONVERSATION_ID:
                    known = await self.directory.find_by_id(integration.id, destination)
                    conversation = await self._check_conversation(destination, known, lookup)
                case _:
                    conversation = await self._resolve_name(destination, pinned, lookup)
        except Blocked as error:
            if error.code == "missing_scope":  # only this look-up needs it: the integration's other lanes still work
                error.scope = Scope.LANE
            raise
        address = Address(conversation.id, f"#{conversation.name}" if conversation.name else destination)
        if address != pinned:
            await self.lanes.pin_address(lane, address)
        return address

    async def _resolve_name(self, name: str, pinned: Address | None, lookup: _Lookup) -> Conversation:
        """Return the pinned channel, which may have a new name; if it was deleted, the one with the name now."""
        if pinned is not None:
            known = await self.directory.find_by_id(lookup.integration.id, pinned.id)
            if conversation := await self._check_unless_deleted(pinned.id, known, lookup):
                return conversation
        if conversation := await self._find_by_name(name, lookup):
            return conversation
        if lookup.directory_only:
            raise self._not_found(lookup.integration)
        return await self._refresh_and_find(name, lookup)

    async def _find_by_name(self, name: str, lookup: _Lookup) -> Conversation | None:
        name = unicodedata.normalize("NFC", name.removeprefix("#"))
        known = await self.directory.find_by_name(lookup.integration.id, name)
        if known is None or known.id in lookup.deleted_ids or known.name != name:
            return None
        conversation = await self._check_unless_deleted(known.id, known, lookup)
        # The channel may have been renamed since the directory was refreshed.
        return conversation if conversation and conversation.name == name else None

    async def _refresh_and_find(self, name: str, lookup: _Lookup) -> Conversation:
        """Find a name that the directory does not have, after a refresh if it may be out of date.

        The refresh of a large directory takes minutes; meanwhile two calls show which channels the bot is in. A name
        that is not among them counts as missing for as long as the directory is used.
        """
        integration, token, budget_s = lookup.integration, lookup.token, lookup.budget_s
        ensure_refreshed = partial(self.refresher.ensure_refreshed, integration, token, budget_s=budget_s)
        status = await self.directory.get_status(integration.id)
        max_age_s = PROBE_AGE_S if lookup.bypass_cache else SMALL_DIRECTORY_AGE_S
        max_age_s = self.max_age_s if status.pages > FEW_PAGES else max_age_s
        conversation = wait = None
        if status.age_s is None or status.age_s > max_age_s:
            wait = await ensure_refreshed(unless_younger_s=max_age_s)
            conversation = await self._find_by_name(name, lookup)
            status = await self.directory.get_status(integration.id)
        if conversation is None and (wait or status.pages > FEW_PAGES):
            try:
                await self.refresher.refresh_memberships(integration, token, budget_s=budget_s)
            except RetryLater as error:
                wait = wait or error
            except Blocked:
                raise
            except SlackError:  # only a whole refresh can answer then, but not again and again
                wait = wait or await ensure_refreshed(unless_younger_s=AGE_PER_PAGE_S * status.pages)
            conversation = await self._find_by_name(name, lookup)
        if conversation is None:
            raise wait or self._not_found(integration)
        return conversation

    async def _check_unless_deleted(self, id_: str, known: Conversation | None, lookup: _Lookup) -> Conversation | None:
        try:
            return await self._check_conversation(id_, known, lookup)
        except Blocked as error:
            if error.code != "channel_not_found":
                raise
            lookup.deleted_ids.add(id_)
            return None

    async def _check_conversation(self, id_: str, known: Conversation | None, lookup: _Lookup) -> Conversation:
        """Return a conversation that the bot can post to; Slack is asked before one is refused."""
        if known is None and lookup.directory_only:
            raise self._not_found(lookup.integration)
        is_doubtful = known is None or lookup.bypass_cache or not known.is_member or known.is_archived
        if known is None or (is_doubtful and not lookup.directory_only):
            known = await self._call(partial(self.gateway.get_conversation, lookup.token, id_), INFO, lookup)
            await self.directory.save_channels(lookup.integration.id, known)
        if known.is_archived or not known.is_member:
            error = self.gateway.error_from_code("is_archived" if known.is_archived else "not_in_channel")
            if isinstance(error, Blocked) and known.name:  # name it as it is called now
                app = lookup.integration
                fill = partial(format_hint, integration=app.name, bot=app.bot_name, channel=f"#{known.name}")
                error = Blocked(error.code, fill(error.reason), error.hint.map(fill), error.scope, is_formatted=True)
            raise error
        return known

    async def _resolve_email(self, email: str, lookup: _Lookup) -> Address:
        integration_id = lookup.integration.id
        person = None if lookup.bypass_cache else await self.directory.find_person(integration_id, email)
        if person is None:
            person = await self._call(partial(self.gateway.find_person_by_email, lookup.token, email), LOOKUP, lookup)
            if not person.deleted and not person.is_bot:
                await self.directory.save_person(integration_id, email, person, life_s=self.max_age_s)
        self._check_person(person)
        return Address(person.id, email)

    async def _check_user_id(self, user_id: str, lookup: _Lookup) -> None:
        """Check a user before a probe succeeds, unless Slack does not say: then the post finds out."""
        try:
            person = await self._call(partial(self.gateway.get_person, lookup.token, user_id), PERSON, lookup)
        except SlackError as error:
            if isinstance(error, Blocked) and error.code != "missing_scope":
                raise
        else:
            self._check_person(person)

    def _check_person(self, person: Person) -> None:
        if person.deleted:
            raise self.gateway.error_from_code("user_disabled")
        if person.is_bot:
            raise self.gateway.error_from_code("cannot_dm_bot")

    def _not_found(self, integration: Integration) -> SlackError:
        """Return the error of a name that no channel has; without the scope, private channels are not listed."""
        error = self.gateway.error_from_code("channel_not_found")
        has_scope = not integration.scopes or PRIVATE_CHANNELS_SCOPE in integration.scopes
        if not isinstance(error, Blocked) or has_scope:
            return error
        hint = error.hint + Hint.of(f"Private channels are not found without {PRIVATE_CHANNELS_SCOPE}.")
        hint += missing_scopes_fix((PRIVATE_CHANNELS_SCOPE,), integration.name)
        return Blocked(error.code, error.reason, hint, error.scope)

    async def _call(self, call: Callable[[], Awaitable[Answer]], method: tuple[str, int], lookup: _Lookup) -> Answer:
        integration, budget_s = lookup.integration, lookup.budget_s
        return await call_in_slot(call, self.rate_limiter, integration, *method, longest_s=budget_s, sleep=self.sleep)


def require_connection(connection: Connection | None, integration_id: str) -> tuple[Integration, Secret]:
    """Return the integration and its token. Raises Blocked if it was removed or its token cannot be decrypted."""
    if connection is None:
        add = Step(Action.ADD_INTEGRATION, integration_id)
        fix = Hint.of("To add it again, ", add, ". Otherwise discard its deliveries.")
        raise Blocked("integration_gone", f"the integration {integration_id} was removed", fix)
    if connection.token is None:
        fix = connection.unreadable.fix if connection.unreadable else NO_HINT
        raise Blocked("wrong_key", "the token cannot be decrypted with this ENCRYPTION_KEY", fix, Scope.INTEGRATION)
    return connection.integration, connection.token
