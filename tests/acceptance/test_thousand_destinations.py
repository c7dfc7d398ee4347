"""One subscription sends to a thousand channels that its events name: each a lane of its own, paced and accounted."""

import json
from collections import defaultdict
from typing import Any

import pytest
from support.events import cloud_event
from support.installation import Installation, run_installation

TEAMS = 1000
PACE = {"POST_RATE_PER_WORKSPACE": "60000"}


def of_team(number: int, team: str) -> dict[str, Any]:
    details = {"name": f"evt-{number}", "fingerprint": f"f{number}", "labels": {"team": team} if team else {}}
    return cloud_event("alert.firing", f"evt-{number}", details, source="/tests")


@pytest.mark.thorough
@pytest.mark.slow
async def test_a_thousand_destinations_of_one_subscription_are_lanes_of_their_own(tmp_path):
    async with run_installation(tmp_path, **PACE) as installation:
        await check(installation)


async def check(installation: Installation) -> None:
    installation.sandbox.tiers = False  # of the workspace; a channel still takes a message a second
    for number in range(TEAMS):
        installation.workspace.add_channel(f"team-t{number}")
    await installation.connect(rules=[{"destination": "#team-{label:team}", "style": "plain"}])
    await installation.running(installation.ingest(), installation.worker())
    events = [of_team(number, f"T{number}") for number in range(TEAMS)]
    events += [of_team(TEAMS, ""), *(of_team(TEAMS + n, "t0") for n in range(1, 4))]
    await installation.app.stream.publish([json.dumps(event).encode() for event in events])
    balance = await installation.settled(TEAMS + 3, most_s=120)
    assert (balance.accepted, balance.suppressed) == (TEAMS + 4, 1)
    by_channel = defaultdict(set)
    for delivery in await installation.deliveries():
        by_channel[delivery.lane].add(delivery.channel)
    assert sorted(by_channel) == sorted(f"acme/#team-t{number}" for number in range(TEAMS))
    assert all(len(channels) == 1 for channels in by_channel.values())
    posted = {channel.name: len(channel.posts) for channel in installation.workspace.channels.values() if channel.posts}
    assert 1 <= posted.pop("team-t0") <= 4
    assert posted == {f"team-t{number}": 1 for number in range(1, TEAMS)}
    for number in (1, 500, TEAMS - 1):
        assert installation.marks(f"team-t{number}") == [f"evt-{number}"]
    assert set(installation.marks("team-t0")) == {"evt-0", *(f"evt-{TEAMS + n}" for n in range(1, 4))}
    assert installation.sandbox.violations.total() == 0
    story = await installation.asked("explain", f"evt-{TEAMS}")
    assert (story["state"], story["reason"]) == ("suppressed", "label team is empty")
