"""Two workers and two ingests on one installation: nothing twice, too fast, or out of its order."""

import pytest
from support.events import marks, numbered_alert
from support.installation import Installation

CHANNELS = [f"c{number}" for number in range(5)]
EVENTS = 300


@pytest.mark.slow
async def test_with_several_processes_each_event_is_posted_once_in_order_within_the_rate_limit(
    installation: Installation,
):
    for name in CHANNELS:
        installation.workspace.add_channel(name)
    await installation.connect(*(f"#{name}" for name in CHANNELS))
    programs = [installation.ingest(), installation.ingest(), installation.worker(), installation.worker()]
    await installation.running(*programs)
    await installation.load(
        [numbered_alert(number, CHANNELS[number % len(CHANNELS)]) for number in range(EVENTS)], over_s=6
    )
    balance = await installation.settled(EVENTS)
    assert balance.repeated == 0
    assert installation.sandbox.violations.total() == 0
    for place, name in enumerate(CHANNELS):
        assert sorted(installation.marks(name)) == sorted(marks(*range(place, EVENTS, len(CHANNELS))))
        await installation.assert_in_order(f"#{name}")
    for program in programs:
        assert await program.stop() == 0
    assert all(worker.lines("attempt") for worker in programs[2:]), "both workers had their share"
