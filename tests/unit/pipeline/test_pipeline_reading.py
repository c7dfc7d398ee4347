"""An event of the past, as long as it is kept."""

import json

from pipeline_house import House, alert

from worker import sources
from worker.domain.delivery import event_ref
from worker.pipeline.reading import event_id_of, event_of


async def test_an_event_is_found_by_its_reference(house: House) -> None:
    await house.publish(alert("disk full", id_="e1"))
    await house.ingest()
    ref = event_ref("/ik", "e1")
    event = await event_of(house.made.events, ref)
    assert event is not None
    assert event.title == "disk full"
    assert await event_id_of(house.made.events, ref) == "e1"


async def test_an_event_that_is_no_longer_kept_has_no_name(house: House) -> None:
    assert await event_of(house.made.events, event_ref("/ik", "gone")) is None
    assert await event_id_of(house.made.events, event_ref("/ik", "gone")) == ""


async def test_an_event_that_this_version_cannot_read_has_no_name(house: House) -> None:
    event = sources.read(json.dumps(alert("disk full", id_="e1")).encode(), "1-0")
    await house.made.events.remember([(event, b"of another version")])
    ref = event_ref(event.source, event.id)
    assert await house.made.events.body(ref) is not None
    assert await event_of(house.made.events, ref) is None
    assert await event_id_of(house.made.events, ref) == ""
