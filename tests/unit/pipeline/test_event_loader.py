"""Stored events, loaded by their reference until their retention ends."""

import json

from support.events import alert
from support.pipeline import Pipeline

from worker import sources
from worker.domain.delivery import event_ref
from worker.pipeline.delivery.event_loader import event_id_of, event_of


async def test_an_event_is_found_by_its_reference(house: Pipeline) -> None:
    await house.publish(alert("disk full", id_="e1"))
    await house.ingest()
    ref = event_ref("/ik", "e1")
    event = await event_of(house.app.events, ref)
    assert event is not None
    assert event.title == "disk full"
    assert await event_id_of(house.app.events, ref) == "e1"


async def test_an_event_that_is_no_longer_stored_has_no_id(house: Pipeline) -> None:
    assert await event_of(house.app.events, event_ref("/ik", "gone")) is None
    assert await event_id_of(house.app.events, event_ref("/ik", "gone")) == ""


async def test_an_event_that_this_version_cannot_parse_has_no_id(house: Pipeline) -> None:
    event = sources.parse(json.dumps(alert("disk full", id_="e1")).encode(), "1-0")
    await house.app.events.save_bodies([(event, b"of another version")])
    ref = event_ref(event.source, event.id)
    assert await house.app.events.body(ref) is not None
    assert await event_of(house.app.events, ref) is None
    assert await event_id_of(house.app.events, ref) == ""
