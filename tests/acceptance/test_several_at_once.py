"""Two workers and two ingests on one installation: nothing twice, too fast, or out of its order."""

import pytest
from installation import Installation, alert, evts

CHANNELS = [f"c{number}" for number in range(5)]
EVENTS = 300


@pytest.mark.slow
async def test_each_event_is_told_once_in_order_at_slacks_pace(one: Installation):
    for name in CHANNELS:
        one.workspace.add_channel(name)
    await one.connect(*(f"#{name}" for name in CHANNELS))
    programs = [one.ingest(), one.ingest(), one.worker(), one.worker()]
    await one.running(*programs)
    await one.load([alert(number, CHANNELS[number % len(CHANNELS)]) for number in range(EVENTS)], over_s=6)
    balance = await one.settled(EVENTS)
    assert balance.repeated == 0
    assert one.sandbox.violations.total() == 0
    for place, name in enumerate(CHANNELS):
        assert sorted(one.marks(name)) == sorted(evts(*range(place, EVENTS, len(CHANNELS))))
        await one.assert_in_order(f"#{name}")
    for program in programs:
        assert await program.stop() == 0
    assert all(worker.lines("attempt") for worker in programs[2:]), "both workers had their share"
