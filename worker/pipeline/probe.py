"""Probe: looks whether the reason something is parked for is gone, and lets it go on."""

import logging
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from worker.domain.delivery import Address, Destination, destination_form, lane_parts
from worker.domain.errors import Blocked, NotYet, Refusal, Scope, filled
from worker.domain.integration import Integration, Secret
from worker.pipeline.connect import with_identity
from worker.pipeline.gateway import Gateway
from worker.pipeline.resolve import Resolver
from worker.store.integrations import Integrations
from worker.store.lanes import Lanes
from worker.store.upkeep import Upkeep
from worker.telemetry import say

log = logging.getLogger("worker.probe")

BUDGET_S = 5.0
TO_POST = "chat:write"  # the one scope whose lack stops a whole integration
_CHANNEL = frozenset(("not_in_channel", "channel_not_found", "is_archived"))
_PERSON = frozenset(("users_not_found", "user_disabled", "cannot_dm_bot"))
_BY_LOOKING = {
    Destination.CHANNEL_NAME: _CHANNEL,
    Destination.CONVERSATION_ID: _CHANNEL,
    Destination.EMAIL: _PERSON,
}


def seen_by_looking(destination: str, code: str) -> bool:
    """Whether Slack tells without a post that this stands against a destination.

    A user's own id and direct messages only a post tries.
    """
    form = None if destination.startswith("D") else destination_form(destination)
    return form is not None and code in _BY_LOOKING.get(form, ())


@dataclass(slots=True)
class Prober:
    """Asks Slack without posting where that tells enough; else lets the lane try once."""

    integrations: Integrations
    lanes: Lanes
    resolver: Resolver
    gateway: Gateway
    upkeep: Upkeep
    jitter: Callable[[], float] = random.random

    async def probe(self, what: str) -> Sequence[str]:
        """Look at `lane:L` or `integration:I`: the lanes to wake."""
        sort, _, name = what.partition(":")
        id_, destination = lane_parts(name)
        connection = (await self.integrations.connections()).get(id_)
        if connection is None and sort == "integration":
            await self.integrations.resume(id_, enable=True)  # its lanes are parked one by one
        if connection is None or connection.token is None:
            return ()
        integration, token = connection.integration, connection.token
        try:
            if sort == "lane":
                return await self._lane(name, destination, integration, token)
            return await self._integration(integration, token)
        except NotYet as error:
            # Of many that are parked, some were not looked at: they are first when Slack may be asked again.
            await self.upkeep.probe_soon(what, max(error.wait_s, BUDGET_S) * (1 - self.jitter() / 2))
            return ()
        except Refusal as error:
            names = {"integration": integration.name, "bot": integration.bot_name, "channel": destination}
            say(log, logging.INFO, "still parked", probed=what, reason=filled(error.reason, **names))
            return ()

    async def _integration(self, known: Integration, token: Secret) -> Sequence[str]:
        """Its token works again, the same string or another: everything of it goes on."""
        identity = await self.gateway.identify(token)
        integration = with_identity(known, identity)
        code = await self.integrations.parked_code(known.id)
        # Where Slack does not say what was granted, a post finds out.
        if code == "disabled" or (
            code == "missing_scope" and identity.scopes and TO_POST not in identity.scopes
        ):
            return ()
        waited = await self.integrations.resume(known.id)
        if integration != known:
            await self.integrations.save(integration)  # last: after a crash before it, one more look
        say(log, logging.WARNING, "integration works again", integration=integration.name, lanes=waited)
        return ()  # its lanes are due now: the sweep wakes them

    async def _lane(
        self, lane: str, destination: str, integration: Integration, token: Secret
    ) -> Sequence[str]:
        note = await self.upkeep.lane_note(lane)
        if not note["parked"]:
            return ()
        certain = seen_by_looking(destination, note["parked"])
        if certain:
            pinned = Address(note["address"], note["name"]) if note["address"] else None
            try:
                await self.resolver.resolve(
                    lane, destination, pinned, integration, token, budget_s=BUDGET_S, fresh=True
                )
            except Blocked as error:
                if not _is_news(error, note):
                    raise
                certain = False  # another step is needed by now: the lane meets that itself, and says it
        _, wake = await self.lanes.resume(lane, certain=certain)
        say(log, logging.WARNING, "lane goes on" if certain else "lane tries again", lane=lane)
        return (lane,) if wake else ()


def _is_news(error: Blocked, note: Mapping[str, str]) -> bool:
    """Whether a lane is stopped by something else than it says, or in a channel that was renamed.

    That nobody has an address is what Slack says of the deactivated too, of whom a post tells more.
    """
    if error.scope is not Scope.LANE or error.code == "users_not_found":
        return False
    is_in_full = "{" not in error.reason
    return error.code != note["parked"] or (is_in_full and error.reason != note["reason"])
