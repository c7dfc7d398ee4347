"""Deliveries and dead letters as they are asked for: a list, or one with all there is to know of it."""

import asyncio
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from worker.asking.rows import event_ids, first
from worker.asking.story import Way, deliveries_of, way_of
from worker.domain.delivery import Delivery
from worker.domain.errors import Missing
from worker.domain.event import Event
from worker.pipeline.reading import event_of
from worker.store.dead_letters import DeadLetter
from worker.store.pages import Where

if TYPE_CHECKING:
    from worker.bootstrap import Services

Examined = tuple[DeadLetter, Event | None, Way | None]


async def matching(
    made: "Services", where: Where, event_id: str | None, most: int
) -> tuple[list[Delivery], bool]:
    """The newest so many that are asked for, or all for 0; and whether there are more."""
    if event_id is None:
        found = await first(partial(made.deliveries.page, where), most and most + 1)
    else:
        found = [
            one
            for one in await of_event(made, event_id)
            if where.state in (None, one.state) and where.lane in (None, one.lane)
        ]
    return (found[:most], len(found) > most) if most else (found, False)


async def events_of(made: "Services", refs: Iterable[str]) -> dict[str, Event | None]:
    """Several events by their references; None for one that is not to be had."""
    wanted = sorted(set(refs))
    found = await asyncio.gather(*(event_of(made.events, ref) for ref in wanted))
    return dict(zip(wanted, found, strict=True))


async def of_event(made: "Services", event_id: str) -> list[Delivery]:
    """Of every event with this id, one a source."""
    events = [await event_of(made.events, record.ref) for record in await made.events.find(event_id)]
    found = [delivery for event in events if event for delivery in await deliveries_of(made, event)]
    return sorted(found, key=lambda one: (one.created_at_ms, one.seq), reverse=True)


async def one_way(made: "Services", delivery_id: str) -> tuple[Way, str]:
    """A delivery with its way, and its event's id; Missing when there is none."""
    found = await made.deliveries.find(delivery_id)
    if found is None:
        raise Missing(
            f"There is no delivery {delivery_id!r} (any more): finished ones are kept for RETENTION_S. "
            "See `ik-slack deliveries list`."
        )
    return await way_of(made, found), (await event_ids(made, [found.event_ref]))[found.event_ref]


async def one_letter(made: "Services", id_: str) -> Examined:
    """A dead letter, its event and its way, both None for an entry nobody could read; Missing without one."""
    letter = await made.dead_letters.find(id_)
    if letter is None:
        why = " any more" if await made.dead_letters.is_kept(id_) else ": see `ik-slack dead-letters list`"
        raise Missing(f"{id_} is not a dead letter{why}.")
    if letter.delivery is None:
        return letter, None, None
    event = await event_of(made.events, letter.delivery.event_ref)
    return letter, event, await way_of(made, letter.delivery)
