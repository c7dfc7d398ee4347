"""Operations alerts: messages to the operations channel about parked lanes and integrations, backlogs and templates.

An alert is an event of this program, and a delivery in the lane of the operations channel. Its id is made of its
subject and the time at which its cause began, so that a sweep that is repeated after a crash sends it once. A lane's
alert is never sent to the lane itself. The store keeps no second warning about a lane until a message was sent to it
again, or until its backlog was below half of the limit.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from worker import sources
from worker.domain.backlog_warning import LimitKind
from worker.domain.delivery import lane_name, lane_parts
from worker.domain.hints import CORRECT_TEMPLATE
from worker.domain.integration import Health, Integration
from worker.domain.subscription import operations_subscription_id
from worker.pipeline.ingest import accepted_event, append_deliveries, new_delivery
from worker.publish import encode
from worker.store.events import Events
from worker.store.integrations import Integrations
from worker.store.lanes import Lanes, LaneStatus
from worker.store.redis_errors import StoreUnavailable
from worker.store.schedule import PendingWarning, WarningKind, Warnings

log = logging.getLogger("worker.sweep")

SOURCE = "infrakitchen-slack"
NO_STREAM = ""  # an alert is not an entry of a stream: accepting it acknowledges nothing
BATCH = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """Report about a lane, an integration or a template, for the operations channels."""

    lanes: Sequence[str]  #: Lanes of the operations channels it is sent to.
    since_ms: int  #: When its cause began.
    title: str
    text: str
    severity: str = "warning"
    cause: str = "parked"  #: Last part of the event's type.

    def encode(self, subject: str) -> bytes:
        """Return the event about its subject; it is the same each time the alert is built."""
        return encode({
            "specversion": "1.0", "source": SOURCE, "type": f"{SOURCE}.{self.cause}",
            "id": f"{self.cause}:{subject}:{self.since_ms}",
            "time": datetime.fromtimestamp(self.since_ms / 1000, UTC).isoformat(timespec="milliseconds"),
            "data": {
                "title": self.title, "message": self.text, "severity": self.severity, "entity": {"name": subject},
            },
        })  # fmt: skip


@dataclass(slots=True, kw_only=True)
class OperationsAlerts:
    """Sends an alert for each stored warning."""

    warnings: Warnings
    integrations: Integrations
    events: Events
    lanes: Lanes
    channels: Mapping[str, str]  #: Operations channel by the integration's name; the empty name is for all others.

    async def send_pending(self) -> Sequence[str]:
        """Send the alerts of the pending warnings, and return the lanes to wake."""
        pending = await self.warnings.list_pending(limit=BATCH)
        integrations = await self.integrations.list_all() if pending and self.channels else ()
        lanes_to_wake: list[str] = []
        for warning in pending:
            try:
                if warning.kind is not WarningKind.BEGUN and (alert := await self._build_alert(warning, integrations)):
                    stored = json.dumps([alert.lanes, alert.since_ms, alert.encode(warning.name).decode()])
                    warning = await self.warnings.begin(warning, stored, alert.since_ms)  # noqa: PLW2901  # from now on
                if warning.kind is WarningKind.BEGUN:
                    lanes, since_ms, body = json.loads(warning.name)
                    lanes_to_wake += await self._send(lanes, since_ms, body.encode())
            except StoreUnavailable:
                raise
            except Exception:  # one wrong warning must not stop the others, nor the sweep
                log.exception("unexpected error while sending an operations alert")
            await self.warnings.finish(warning)
        return lanes_to_wake

    async def _send(self, lanes: Sequence[str], since_ms: int, body: bytes) -> Sequence[str]:
        """Store the event and append its deliveries, in steps that may be repeated; return the lanes to wake."""
        event = sources.parse(body, f"{since_ms}-0")
        await self.events.save_bodies([(event, body)])
        deliveries = [(lane, new_delivery(event, operations_subscription_id(lane_parts(lane)[0]))) for lane in lanes]
        lanes_to_wake = await append_deliveries(self.lanes, deliveries)
        await self.events.accept(NO_STREAM, "", [accepted_event(event)])
        return lanes_to_wake

    async def _build_alert(self, warning: PendingWarning, integrations: Sequence[Integration]) -> Alert | None:
        """Return the alert of a warning; None when its cause is gone, and when no channel is to be notified."""
        integration_id, destination = lane_parts(warning.name)
        integration = next((item for item in integrations if item.id == integration_id), None)
        own = self._operations_lane(integration) if integration else None
        if integration is None or own is None:
            return None
        active = {  # one lane for each channel of a workspace
            (item.workspace_id, lane_parts(lane)[1]): lane
            for item in integrations
            if item.state is Health.ACTIVE and (lane := self._operations_lane(item))
        }
        active_lanes = list(active.values())
        if warning.kind is WarningKind.INTEGRATION_PARKED:
            if integration.state is not Health.PARKED:
                return None
            if active_lanes:
                return _parked_alert(active_lanes, integration.team or integration.name, integration, "error")
            since_then = f"From the time below on, nothing was sent here: {integration.reason}."
            return Alert(  # sent in its own workspace when it posts again
                lanes=[own], since_ms=integration.since_ms, title=f"{integration.name} works again",
                text=f"{since_then} The pending deliveries are sent now.", severity="info",
            )  # fmt: skip
        if warning.kind is WarningKind.TEMPLATE_OFF:
            return Alert(
                lanes=[own], since_ms=await self.warnings.get_time_ms(warning), cause="template_off",
                title=f"The template of subscription {destination} is switched off",
                text=f"It takes too much time or memory. {CORRECT_TEMPLATE}",
            )  # fmt: skip
        lane, status = warning.name, await self.lanes.get_status(warning.name)
        name = status.address.name if status.address else destination
        if warning.kind is WarningKind.LANE_PARKED:
            if own == lane or not status.parked:
                return None
            return _parked_alert([own], name, status)
        # Without an active integration the alert waits in the lane's own workspace.
        lanes = [own] if integration.state is Health.ACTIVE else active_lanes or [own]
        near = status.near_limits.get(LimitKind(warning.kind))
        if near is None or lanes == [lane]:
            return None
        reason, hint = status.reason or status.snoozed, status.hint
        if integration.reason:
            reason, hint = integration.reason, integration.hint
        sentence = f"{reason[:1].upper()}{reason[1:].removesuffix('.')}." if reason else ""
        return Alert(
            lanes=[operations_lane for operations_lane in lanes if operations_lane != lane], since_ms=near.since_ms,
            title=f"{name} falls behind: {near.backlog.text}", cause=f"near_{warning.kind}",
            text=" ".join(filter(None, (near.backlog.consequence, sentence, str(hint)))),
        )  # fmt: skip

    def _operations_lane(self, integration: Integration) -> str | None:
        """Return the lane of an integration's operations channel; None when it has none."""
        channel = self.channels.get(integration.name, self.channels.get(""))
        return lane_name(integration.id, channel) if channel else None


def _parked_alert(
    lanes: Sequence[str], name: str, parked: LaneStatus | Integration, severity: str = "warning"
) -> Alert:
    return Alert(
        lanes=lanes, since_ms=parked.since_ms, title=f"No message reaches {name}: {parked.reason}",
        text=f"{parked.hint} The pending deliveries are then sent.", severity=severity,
    )  # fmt: skip
