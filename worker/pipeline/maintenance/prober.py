"""Probes of parked lanes and integrations: they resume when their cause is gone."""

import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from worker.domain.delivery import Destination, destination_form, lane_parts
from worker.domain.errors import Blocked, RetryLater, Scope, SlackError, format_hint
from worker.domain.integration import POST_SCOPE, Integration, Secret
from worker.pipeline.delivery.resolver import Resolver
from worker.pipeline.gateway import Gateway
from worker.pipeline.integration_setup import apply_identity
from worker.store.integrations import Integrations
from worker.store.lanes import Lanes
from worker.store.schedule import ProbeKind, ProbeTarget, Schedule
from worker.telemetry import log_event

log = logging.getLogger("worker.probe")

BUDGET_S = 5.0


def can_check_without_posting(destination: str, code: str) -> bool:
    """Return whether a call other than a post shows that `code` blocks; of a person and a direct message none does."""
    form = destination_form(destination)
    if form is Destination.EMAIL:
        return code in ("users_not_found", "user_disabled", "cannot_dm_bot")
    is_channel = form is Destination.CHANNEL_NAME or (
        form is Destination.CONVERSATION_ID and not destination.startswith("D")
    )
    return is_channel and code in ("not_in_channel", "channel_not_found", "is_archived")


@dataclass(slots=True, kw_only=True)
class Prober:
    """Checks without a post whether a cause is gone, or else resumes the lane for one try."""

    integrations: Integrations
    lanes: Lanes
    resolver: Resolver
    gateway: Gateway
    schedule: Schedule
    jitter: Callable[[], float] = random.random  #: Random number from 0 to 1 that spreads probes which Slack made wait.

    async def probe(self, target: ProbeTarget) -> Sequence[str]:
        """Probe a parked lane or integration, and return the lanes to wake."""
        integration_id, destination = lane_parts(target.name)
        connection = (await self.integrations.get_connections()).get(integration_id)
        if connection is None and target.kind is ProbeKind.INTEGRATION:  # it was removed: its lanes park one by one
            await self.integrations.resume(integration_id, enable=True)
        if connection is None or connection.token is None:
            return ()
        integration, token = connection.integration, connection.token
        try:
            if target.kind is ProbeKind.LANE:
                return await self._probe_lane(target.name, destination, integration, token)
            await self._probe_integration(integration, token)
        except RetryLater as error:
            # Probe it early, so that among many parked lanes each is probed when Slack may be called again.
            await self.schedule.probe_within(target, max(error.wait_s, BUDGET_S) * (1 - self.jitter() / 2))
        except SlackError as error:
            names = {"integration": integration.name, "bot": integration.bot_name, "channel": destination}
            reason = format_hint(error.reason, **names)
            log_event(log, logging.INFO, "probe failed", target=target.format(), reason=reason)
        return ()

    async def _probe_integration(self, integration: Integration, token: Secret) -> None:
        """Resume an integration whose token works, so that its lanes are due."""
        identity = await self.gateway.identify(token)
        code = await self.integrations.get_parked_code(integration.id)
        # Slack does not always list the granted scopes: then a post shows whether they suffice.
        lacks_scope = code == "missing_scope" and identity.scopes and POST_SCOPE not in identity.scopes
        if code == "disabled" or lacks_scope:
            return
        lanes = await self.integrations.resume(integration.id)
        identified = apply_identity(integration, identity)
        if identified != integration:  # saved after the resume: a crash in between leaves the probe due
            await self.integrations.save(identified)
        log_event(log, logging.WARNING, "integration resumed", integration=identified.name, lanes=lanes)

    async def _probe_lane(self, lane: str, destination: str, integration: Integration, token: Secret) -> Sequence[str]:
        status = await self.lanes.get_status(lane)
        if not status.parked:
            return ()
        permanently = can_check_without_posting(destination, status.parked)
        if permanently:
            try:
                await self.resolver.resolve(
                    lane, destination, status.address, integration, token, budget_s=BUDGET_S, bypass_cache=True
                )
            except Blocked as error:
                # Slack reports a deactivated user as `users_not_found` too, so that code is not a change.
                has_other_code = error.code not in (status.parked, "users_not_found")
                is_renamed = error.code == status.parked and error.is_formatted and error.reason != status.reason
                if error.scope is not Scope.LANE or not (has_other_code or is_renamed):
                    raise
                permanently = False  # the lane's next try parks it again, with the new cause
        resumed = await self.lanes.resume(lane, permanently=permanently)
        message = "lane resumed" if permanently else "lane resumed for one try"
        log_event(log, logging.WARNING, message, lane=lane)
        return (lane,) if resumed.wake else ()
