"""What a person must mend parks, says how, and resumes by itself once it is mended; nothing is lost."""

from collections.abc import Callable

import pytest
from installation import Installation, alert, evts, until

from worker.sandbox.state import Workspace


async def lane_parked(one: Installation, lane: str) -> dict[str, str]:
    """Its note, once it waits for a person."""

    async def parked() -> dict[str, str] | None:
        note = await one.made.upkeep.lane_note(lane)
        return note if note["parked"] else None

    note: dict[str, str] = await until(parked, f"{lane} is parked")
    return note


async def integration_parked(one: Installation, code: str) -> None:
    async def parked() -> bool:
        return await one.made.integrations.parked_code("acme") == code

    await until(parked, f"the integration is parked for {code}")


def nothing(workspace: Workspace) -> None: ...


@pytest.mark.parametrize(
    ("before", "mend", "code", "hint"),
    [
        (
            lambda workspace: workspace.add_channel("ops", member=False),
            lambda workspace: workspace.invite("#ops"),
            "not_in_channel",
            "/invite @infrakitchen",
        ),
        (
            lambda workspace: workspace.add_channel("ops", private=True, member=False),
            lambda workspace: workspace.invite("#ops"),
            "channel_not_found",
            "/invite @infrakitchen",
        ),
        (
            lambda workspace: workspace.add_channel("ops", archived=True),
            lambda workspace: workspace.unarchive("#ops"),
            "is_archived",
            "Unarchive #ops",
        ),
        (nothing, lambda workspace: workspace.add_channel("ops"), "channel_not_found", "is a typo"),
    ],
    ids=["not invited", "private and not invited", "archived", "no such channel"],
)
@pytest.mark.slow
async def test_a_lane_parks_with_the_step_that_frees_it_and_resumes_by_itself(
    fast: Installation,
    before: Callable[[Workspace], object],
    mend: Callable[[Workspace], object],
    code: str,
    hint: str,
):
    before(fast.workspace)
    fast.workspace.add_channel("shop")
    await fast.connect("#ops", "#shop")
    fast.ingest(), fast.worker()
    for number in range(10):
        await fast.publish(alert(number), alert(100 + number, "shop"))
    note = await lane_parked(fast, "acme/#ops")
    assert note["parked"] == code
    assert hint in note["hint"]
    await until(lambda: _told(fast, 10), "the other channel is told")
    await fast.publish(*(alert(number) for number in range(10, 20)))
    await until(lambda: _created(fast, 30), "all are in their lanes")
    assert fast.messages("#ops") == []
    (listed,) = await fast.asked("parked", "list")
    assert (listed["lane"], listed["hint"], listed["pending"]) == ("acme/#ops", note["hint"], 20)
    mend(fast.workspace)
    balance = await fast.settled(30, most_s=40)
    assert fast.marks("#ops") == evts(*range(20))
    assert (balance.dead, balance.repeated) == (0, 0)
    assert await fast.made.upkeep.lanes_waiting() == []


async def _created(one: Installation, count: int) -> bool:
    return (await one.balance()).created == count


async def _told(one: Installation, count: int) -> bool:
    balance = await one.balance()
    return balance.delivered + balance.merged >= count


async def test_a_channel_archived_in_mid_load_parks_and_goes_on_in_order(fast: Installation):
    fast.workspace.add_channel("ops")
    await fast.connect("#ops")
    fast.ingest(), fast.worker()
    await fast.publish(alert(1))
    await fast.settled(1)
    fast.workspace.archive("#ops")
    await fast.publish(alert(2))
    assert (await lane_parked(fast, "acme/#ops"))["parked"] == "is_archived"
    await fast.publish(alert(3), alert(4))
    fast.workspace.unarchive("#ops")
    await fast.settled(4)
    assert fast.marks("#ops") == evts(1, 2, 3, 4)


@pytest.mark.slow
async def test_a_revoked_token_parks_the_integration_once_and_all_is_told_when_it_works_again(
    fast: Installation,
):
    channels = [f"c{number}" for number in range(10)]
    for name in channels:
        fast.workspace.add_channel(name)
    await fast.connect(*(f"#{name}" for name in channels))
    fast.ingest()
    worker = fast.worker()
    numbers = iter(range(200))
    for _ in range(10):
        await fast.publish(*(alert(next(numbers), name) for name in channels))
    await until(lambda: _told(fast, 1), "something is told")
    fast.workspace.revoke(fast.workspace.token)
    for _ in range(10):
        await fast.publish(*(alert(next(numbers), name) for name in channels))
    await integration_parked(fast, "token_revoked")
    told = sum(len(fast.messages(name)) for name in channels)
    await until(lambda: _all_waiting(fast, 200), "everything else waits for a person")
    assert sum(len(fast.messages(name)) for name in channels) == told
    assert len(worker.lines("integration parked")) == 1
    fast.workspace.reinstate(fast.workspace.token)
    balance = await fast.settled(200, most_s=40)
    assert (balance.repeated, balance.dead) == (0, 0)
    assert sorted(mark for name in channels for mark in fast.marks(name)) == sorted(evts(*range(200)))
    assert len(worker.lines("integration works again")) == 1


async def _all_waiting(one: Installation, created: int) -> bool:
    balance = await one.balance()
    told = balance.delivered + balance.merged
    return balance.created == created and balance.parked == created - told


@pytest.mark.slow
async def test_a_token_that_is_rotated_frees_what_was_parked_without_a_restart(fast: Installation):
    fast.workspace.add_channel("ops")
    await fast.connect("#ops")
    fast.ingest(), fast.worker()
    fast.workspace.revoke(fast.workspace.token, "account_inactive")
    await fast.publish(alert(1), alert(2))
    await integration_parked(fast, "account_inactive")
    rotated = await fast.cli(
        "integrations", "rotate", "acme", "--token-stdin", given=fast.workspace.add_token()
    )
    assert rotated.code == 0, rotated
    await fast.settled(2)
    assert fast.marks("#ops") == evts(1, 2)


@pytest.mark.slow
async def test_a_missing_scope_parks_naming_it_and_a_reinstall_with_it_resumes(fast: Installation):
    fast.workspace.add_channel("ops")
    await fast.connect("#ops")
    fast.ingest(), fast.worker()
    await fast.publish(alert(1))
    await fast.settled(1)
    held = fast.workspace.tokens[fast.workspace.token]
    granted = held.scopes
    held.scopes = tuple(scope for scope in granted if scope != "chat:write")
    await fast.publish(alert(2))
    await integration_parked(fast, "missing_scope")
    integration = await fast.made.integrations.find("acme")
    assert "`chat:write`" in integration.reason
    assert "add `chat:write` under Bot Token Scopes" in integration.hint
    held.scopes = granted
    await fast.settled(2)
    assert fast.marks("#ops") == evts(1, 2)
