"""Warn: what parks or comes near a limit is told once in the operations channel, with the step to take.

A warning is an event of our own in that channel's lane: accounted, paced and folded like any other. It is
kept before it is accepted, as the stream keeps what others publish: what was begun comes to its end, although
what it is about may go on before. It is never about the lane it would be told in, and no other follows until
something was told again where it was about, or less than half of that waits.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from worker import sources
from worker.domain.delivery import delivery_id, event_ref, lane_name, lane_parts
from worker.domain.event import Event
from worker.domain.integration import Health, Integration
from worker.domain.pressure import Limit, Near
from worker.domain.subscription import operations_id
from worker.pipeline.accept import Acceptor, Routed, Router
from worker.publish import encode
from worker.store.held import Entry
from worker.store.integrations import Integrations
from worker.store.server import Unavailable
from worker.store.upkeep import Upkeep

log = logging.getLogger("worker.sweep")

SOURCE = "infrakitchen-slack"
NO_STREAM = ""  # a warning was never an entry of one: there is nothing to acknowledge
AT_ONCE = 50
BEGUN = "event:"  # in front of a warning as it is kept, beside `lane:` and its like


@dataclass(frozen=True, slots=True)
class Notice:
    """What is told of one thing that parked, or is near a limit; its id is the same when it is told again."""

    lanes: Sequence[str]
    what: str
    since_ms: int
    title: str
    text: str
    severity: str
    about: str = "parked"

    @property
    def body(self) -> bytes:
        """As an event."""
        happened = datetime.fromtimestamp(self.since_ms / 1000, UTC)
        data = {"title": self.title, "message": self.text, "severity": self.severity}
        return encode(
            {
                "specversion": "1.0",
                "id": f"{self.about}:{self.what}:{self.since_ms}",
                "source": SOURCE,
                "type": f"{SOURCE}.{self.about}",
                "time": happened.isoformat(timespec="milliseconds"),
                "data": {**data, "entity": {"name": self.what}},
            }
        )

    @property
    def begun(self) -> str:
        """As it is kept until it is accepted."""
        return BEGUN + json.dumps([self.lanes, self.since_ms, self.body.decode()])


@dataclass(slots=True)
class Warner:
    """Turns what happened into warnings.

    `channels` holds each integration's operations channel by its name; the empty name stands for all others.
    """

    upkeep: Upkeep
    integrations: Integrations
    acceptor: Acceptor
    channels: Mapping[str, str]

    async def look(self) -> Sequence[str]:
        """Warn of what happened since the last look, and end what was begun before: the lanes to wake."""
        awake: list[str] = []
        waiting = await self.upkeep.warnings(most=AT_ONCE)
        everyone = {one.id: one for one in await self.integrations.all()} if waiting and self.channels else {}
        for what in waiting:
            try:
                awake += await self._warn(what, everyone)
            except Unavailable:
                raise
            except Exception:  # a fault of ours must not stop all warnings after it, nor the sweep
                log.exception("a fault of this program")
                await self.upkeep.warned(what)
        return awake

    async def _warn(self, what: str, everyone: Mapping[str, Integration]) -> Sequence[str]:
        begun = what if what.startswith(BEGUN) else await self._begin(what, everyone)
        awake = await self._tell(begun) if begun else ()
        await self.upkeep.warned(begun or what)
        return awake

    async def _begin(self, what: str, everyone: Mapping[str, Integration]) -> str:
        """What is told of this one, kept before it is told; nothing where nobody is to be told."""
        sort, _, name = what.partition(":")
        notice = await self._notice(sort, name, everyone) if self.channels else None
        if notice is None:
            return ""
        await self.upkeep.begin_warning(what, notice.begun, notice.since_ms)
        return notice.begun

    async def _notice(self, sort: str, name: str, everyone: Mapping[str, Integration]) -> Notice | None:
        match sort:
            case "lane":
                return await self._of_lane(name, everyone)
            case Limit.LENGTH | Limit.AGE:
                return await self._of_limit(name, Limit(sort), everyone)
            case _:
                return self._of_integration(name, everyone)

    async def _of_lane(self, lane: str, everyone: Mapping[str, Integration]) -> Notice | None:
        note = await self.upkeep.lane_note(lane)
        id_, destination = lane_parts(lane)
        where = self._lane(everyone.get(id_))
        if not note["parked"] or where is None or where == lane:
            return None
        title = f"Nothing reaches {note['name'] or destination}: {note['reason']}"
        text = f"{note['hint']} What waits is told then."
        return Notice([where], lane, int(note["since"]), title, text, "warning")

    async def _of_limit(self, lane: str, limit: Limit, everyone: Mapping[str, Integration]) -> Notice | None:
        """Told where that works; while nothing works, where it is told first once something does."""
        note = await self.upkeep.lane_note(lane)
        id_, destination = lane_parts(lane)
        one = everyone.get(id_)
        own = self._lane(one)
        if not (noted := note[f"near_{limit}"]) or one is None or own is None:
            return None
        since_ms, reached, most = map(int, noted.split())
        near = Near(lane, limit, reached, most)
        title = f"{note['name'] or destination} falls behind: {near.words}"
        why = (one.reason, one.hint) if one.reason else (note["reason"] or note["snoozed"], note["hint"])
        text = " ".join(filter(None, (near.then, sentence(why[0]), why[1])))
        places = [own] if one.state is Health.ACTIVE else self._places(everyone) or [own]
        others = [where for where in places if where != lane]
        return Notice(others, lane, since_ms, title, text, "warning", f"near_{limit}") if others else None

    def _of_integration(self, id_: str, everyone: Mapping[str, Integration]) -> Notice | None:
        """Told in the other workspaces; where there is none, in its own once that works again."""
        one = everyone.get(id_)
        own = self._lane(one)
        if one is None or own is None or one.state is not Health.PARKED:
            return None
        title = f"Nothing reaches {one.team or one.name}: {one.reason}"
        text = f"{one.hint} Everything for it waits, and is told then."
        if places := self._places(everyone):
            return Notice(places, id_, one.since_ms, title, text, "error")
        title = f"{one.name} works again"
        text = f"From the time below on, nothing was told here: {one.reason}. What waited is told now."
        return Notice([own], id_, one.since_ms, title, text, "info")

    def _places(self, everyone: Mapping[str, Integration]) -> list[str]:
        """Where warnings are told in the workspaces that work, once in each channel."""
        places = {
            (one.workspace, lane_parts(lane)[1]): lane
            for one in everyone.values()
            if one.state is Health.ACTIVE and (lane := self._lane(one))
        }
        return list(places.values())

    def _lane(self, integration: Integration | None) -> str | None:
        """Where warnings of an integration are told, if anywhere."""
        if integration is None:
            return None
        channel = self.channels.get(integration.name, self.channels.get(""))
        return lane_name(integration.id, channel) if channel else None

    async def _tell(self, begun: str) -> Sequence[str]:
        """Into the lanes, as ingest does it."""
        lanes, since_ms, body = json.loads(begun.removeprefix(BEGUN))
        event = sources.read(body.encode(), f"{since_ms}-0")

        async def routing() -> Router:
            return lambda event: Routed([(lane, _entry(event, lane)) for lane in lanes])

        return await self.acceptor.accept([(event, body.encode())], routing(), stream=NO_STREAM, group="")


def _entry(event: Event, lane: str) -> Entry:
    subscription = operations_id(lane_parts(lane)[0])
    id_ = delivery_id(event.source, event.id, subscription)
    return Entry(id_, event_ref(event.source, event.id), subscription, event.accepted_at_ms)


def sentence(reason: str) -> str:
    """A reason as it is kept, as a sentence of its own."""
    return f"{reason[:1].upper()}{reason[1:].removesuffix('.')}." if reason else ""
