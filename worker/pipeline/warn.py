"""Warn: what parks is told once in the operations channel, with the step that frees it.

A warning is an event of our own in that channel's lane: accounted, paced and folded like any other, and the
same when it is made again after a crash. It is never about the lane it would be told in, and no other follows
until something was told again where it was about.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from worker import sources
from worker.domain.delivery import delivery_id, event_ref, lane_name, lane_parts
from worker.domain.integration import Health, Integration
from worker.domain.subscription import operations_id
from worker.publish import encode
from worker.store.events import Accepted, Events
from worker.store.held import Entry
from worker.store.integrations import Integrations
from worker.store.lanes import Lanes
from worker.store.upkeep import Upkeep

SOURCE = "infrakitchen-slack"
NO_STREAM = ""  # a warning was never an entry of one: there is nothing to acknowledge
AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class Parking:
    """What is told of one thing that parked; its id is the same when it is told again."""

    what: str
    since_ms: int
    title: str
    text: str
    severity: str

    @property
    def body(self) -> bytes:
        """As an event."""
        happened = datetime.fromtimestamp(self.since_ms / 1000, UTC)
        data = {"title": self.title, "message": self.text, "severity": self.severity}
        return encode(
            {
                "specversion": "1.0",
                "id": f"parked:{self.what}:{self.since_ms}",
                "source": SOURCE,
                "type": f"{SOURCE}.parked",
                "time": happened.isoformat(timespec="milliseconds"),
                "data": {**data, "entity": {"name": self.what}},
            }
        )


@dataclass(slots=True)
class Warner:
    """Turns parkings into warnings.

    `channels` holds each integration's operations channel by its name; the empty name stands for all others.
    """

    upkeep: Upkeep
    integrations: Integrations
    events: Events
    lanes: Lanes
    channels: Mapping[str, str]

    async def look(self) -> Sequence[str]:
        """Warn of what parked since the last look: the lanes to wake."""
        awake: list[str] = []
        waiting = await self.upkeep.warnings(most=AT_ONCE)
        everyone = {one.id: one for one in await self.integrations.all()} if waiting and self.channels else {}
        for what in waiting:
            if self.channels:
                sort, _, name = what.partition(":")
                saying = self._of_lane if sort == "lane" else self._of_integration
                for lane, warning in await saying(name, everyone):
                    awake += await self._tell(lane, warning)
            await self.upkeep.warned(what)
        return awake

    async def _of_lane(self, lane: str, everyone: Mapping[str, Integration]) -> Sequence[tuple[str, Parking]]:
        note = await self.upkeep.lane_note(lane)
        id_, destination = lane_parts(lane)
        where = self._lane(everyone.get(id_))
        if not note["parked"] or where is None or where == lane:
            return ()
        title = f"Nothing reaches {note['name'] or destination}: {note['reason']}"
        text = f"{note['hint']} What waits is told then."
        return [(where, Parking(lane, int(note["since"]), title, text, "warning"))]

    async def _of_integration(
        self, id_: str, everyone: Mapping[str, Integration]
    ) -> Sequence[tuple[str, Parking]]:
        """Told in the other workspaces; where there is none, in its own once that works again."""
        one = everyone.get(id_)
        own = self._lane(one)
        if one is None or own is None or one.state is not Health.PARKED:
            return ()
        places = {
            (other.workspace, lane_parts(lane)[1]): lane
            for other in everyone.values()
            if other.state is Health.ACTIVE and (lane := self._lane(other))
        }
        title = f"Nothing reaches {one.team or one.name}: {one.reason}"
        text = f"{one.hint} Everything for it waits, and is told then."
        now = Parking(id_, one.since_ms, title, text, "error")
        title = f"{one.name} works again"
        text = f"From the time below on, nothing was told here: {one.reason}. What waited is told now."
        then = Parking(id_, one.since_ms, title, text, "info")
        return [(lane, now) for lane in places.values()] or [(own, then)]

    def _lane(self, integration: Integration | None) -> str | None:
        """Where warnings of an integration are told, if anywhere."""
        if integration is None:
            return None
        channel = self.channels.get(integration.name, self.channels.get(""))
        return lane_name(integration.id, channel) if channel else None

    async def _tell(self, lane: str, warning: Parking) -> Sequence[str]:
        """Into its lane, in the steps and the order of ingest."""
        body = warning.body
        event = sources.read(body, f"{warning.since_ms}-0")
        ref = event_ref(event.source, event.id)
        await self.events.remember([(event, body)])
        subscription = operations_id(lane_parts(lane)[0])
        id_ = delivery_id(event.source, event.id, subscription)
        _, _, wake = await self.lanes.append(lane, [Entry(id_, ref, subscription, event.accepted_at_ms)])
        await self.events.accept(NO_STREAM, "", [Accepted(ref, event.entry_id, event.kind, is_repeat=False)])
        return [lane] if wake else ()
