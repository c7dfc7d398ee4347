"""Pages of deliveries, dead letters and parked lanes: each row once and in order, also during changes."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from support.store import GROUP, LANE, STREAM, World

from worker.domain.delivery import State
from worker.domain.errors import UserError
from worker.domain.hints import Hint
from worker.store import pagination
from worker.store.lanes import ParkedLane, ParkedLanes
from worker.store.pagination import DeliveryFilter, Page, take_rows

OTHER = "dev/#builds"


async def read_all_pages(turn: Callable[[str | None], Awaitable[Page[Any]]]) -> list[list[Any]]:
    """Return the rows of every page of a list."""
    found: list[list[Any]] = []
    after: str | None = None
    while True:
        page = await turn(after)
        found.append([getattr(one, "id", None) or one.lane for one in page.rows])
        if page.next is None:
            return found
        assert page.next != after
        after = page.next


async def list_pages(world: World, limit: int = 2, **where: Any) -> list[list[str]]:
    return await read_all_pages(lambda after: world.deliveries.page(DeliveryFilter(**where), after, limit))


async def create_all_states(world: World) -> None:
    """Create deliveries in every state, in two lanes."""
    await world.append("a1", "a2", "a3")
    await world.deliver()
    await world.dead("b1", "b2", lane=OTHER)
    await world.append("c1", lane=OTHER)
    await world.append("c2")
    await world.append("c3", subscription="gone")
    await world.lanes.discard_of_subscription(LANE, "gone")
    await world.append("c4", lane=OTHER)
    for n in (1, 2, 4):
        await world.redis.hincrby(f"t:delivery:c{n}", "born", n)  # else perhaps in the same moment


async def test_deliveries_are_listed_newest_first_page_by_page(world: World):
    await create_all_states(world)
    assert await list_pages(world, 4) == [["c4", "c3", "c2", "c1"], ["b2", "b1", "a3", "a2"], ["a1"]]
    assert await list_pages(world, 9) == [["c4", "c3", "c2", "c1", "b2", "b1", "a3", "a2", "a1"]]
    assert await list_pages(world, 3) == [["c4", "c3", "c2"], ["c1", "b2", "b1"], ["a3", "a2", "a1"]]


async def test_deliveries_are_listed_by_state(world: World):
    await create_all_states(world)
    assert await list_pages(world, state=State.DELIVERED) == [["a1"]]
    assert await list_pages(world, state=State.MERGED) == [["a3", "a2"]]
    assert await list_pages(world, 1, state=State.DEAD) == [["b2"], ["b1"]]
    assert await list_pages(world, state=State.DISCARDED) == [["c3"]]
    assert await list_pages(world, state=State.PENDING) == [["c4", "c2"], ["c1"]]
    assert await list_pages(world, state=State.PARKED) == [[]]
    await world.integrations.park("dev", "x", "y", Hint.of("z"), probe_s=9)
    assert await list_pages(world, state=State.PENDING) == [["c2"]]
    assert await list_pages(world, state=State.PARKED) == [["c4", "c1"]]


async def test_deliveries_are_listed_by_lane(world: World):
    await create_all_states(world)
    assert await list_pages(world, lanes=(LANE,)) == [["c3", "c2"], ["a3", "a2"], ["a1"]]
    assert await list_pages(world, lanes=("ops/#nowhere",)) == [[]]
    assert await list_pages(world, lanes=(LANE,), state=State.MERGED) == [["a3", "a2"]]
    assert await list_pages(world, lanes=(LANE,), state=State.DEAD) == [[]]
    assert await list_pages(world, lanes=(OTHER,), state=State.DEAD) == [["b2", "b1"]]
    assert await list_pages(world, lanes=(OTHER,), state=State.PENDING) == [["c4", "c1"]]
    await world.lanes.park(await world.hold(), "x", "y", Hint.of("z"), probe_s=9, called=False)
    assert await list_pages(world, lanes=(LANE,), state=State.PARKED) == [["c2"]]


async def test_a_replayed_or_discarded_delivery_is_in_one_list_only(world: World):
    await world.dead("a", "b")
    await world.dead_letters.replay(await world.dead_letters.find("a"), STREAM)
    await world.dead_letters.discard(await world.dead_letters.find("b"))
    assert await list_pages(world, state=State.DEAD) == [[]]
    assert await list_pages(world, state=State.PENDING) == [["a"]]
    assert await list_pages(world, state=State.DISCARDED) == [["b"]]


async def test_a_delivery_that_changes_between_two_pages_is_not_repeated_and_skips_no_other(world: World):
    await world.append("a", "b", "c", "d")
    await world.dead("x1", "x2", "x3", lane=OTHER)
    first = await world.deliveries.page(DeliveryFilter(state=State.PENDING), limit=2)
    letters = await world.dead_letters.page(limit=1)
    assert [one.id for one in first.rows] == ["d", "c"]
    assert [one.id for one in letters.rows] == ["x3"]
    await world.append("e")
    await world.deliver(most=1)
    await world.dead_letters.discard(letters.rows[0])
    await world.dead("x4", lane=OTHER)
    second = await world.deliveries.page(DeliveryFilter(state=State.PENDING), first.next, 2)
    assert ([one.id for one in second.rows], second.next) == (["b"], None)
    rest = await world.dead_letters.page("", letters.next, 5)
    assert ([one.id for one in rest.rows], rest.next) == (["x2", "x1"], None)


async def test_deliveries_held_or_being_posted_are_listed_in_their_order(world: World):
    far_ms = await world.server.now_ms() + 10**7
    await world.append("a", "b")
    await world.append("q1", until_ms=far_ms)
    await world.append("q2", subscription="s2", until_ms=far_ms - 1)
    await world.append("q3", until_ms=far_ms)
    await world.append("c")
    await world.append("d")
    await world.take(await world.hold(), 1)
    for limit in (1, 2, 3, 8):
        found = [id_ for page in await list_pages(world, limit, state=State.PENDING) for id_ in page]
        assert found == ["d", "c", "q3", "q2", "q1", "b", "a"], limit


async def test_many_deliveries_created_in_the_same_millisecond_are_listed_once_each(world: World):
    lanes = [f"ops/#c{n}" for n in range(3)]
    for lane in lanes:
        await world.append(*(f"{lane[-1]}x{n}" for n in range(4)), lane=lane)
    for lane in lanes:
        for n in range(4):
            await world.redis.hset(f"t:delivery:{lane[-1]}x{n}", "born", 5)
    found = [id_ for page in await list_pages(world, 5, state=State.PENDING) for id_ in page]
    assert found == [f"{lane[-1]}x{n}" for lane in lanes[::-1] for n in (3, 2, 1, 0)]


async def test_a_page_with_few_matching_rows_is_short_and_has_a_next_page(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(pagination, "SCRIPT_RECORDS", 6)
    await world.append("first")
    await world.deliver()
    await world.append(*(f"w{n}" for n in range(9)))
    assert await list_pages(world, 5, lanes=(LANE,), state=State.DELIVERED) == [[], ["first"]]
    await world.dead(*(f"d{n}" for n in range(9)), lane="ops/#dead")
    assert await list_pages(world, 9, lanes=("ops/#dead",), state=State.DEAD) == [
        ["d8", "d7", "d6", "d5", "d4", "d3"],
        ["d2", "d1", "d0"],
    ]


async def test_a_deleted_record_takes_no_place_in_a_page(world: World):
    await world.append(*"abcd")
    await world.redis.delete("t:delivery:c")
    assert await list_pages(world, 2) == [["d", "b"], ["a"]]
    await world.redis.flushdb()


async def test_dead_letters_are_listed_by_reason_with_unreadable_entries_among_them(world: World):
    await world.dead("a")
    await world.events.reject(STREAM, GROUP, "7-1", {b"x": b"y"}, "no")
    await world.dead("b", "c")
    every = await read_all_pages(lambda after: world.dead_letters.page("", after, 2))
    assert [id_ for page in every for id_ in page] == await world.dead_letters.list_ids()
    refused = await read_all_pages(lambda after: world.dead_letters.page("invalid_blocks", after, 2))
    assert refused == [["c", "b"], ["a"]]
    assert await read_all_pages(lambda after: world.dead_letters.page("unreadable", after, 2)) == [["7-1"]]
    assert await read_all_pages(lambda after: world.dead_letters.page("expired", after, 2)) == [[]]
    assert await list_pages(world, state=State.DEAD) == [["c", "b"], ["a"]]


async def test_many_dead_letters_of_the_same_millisecond_are_listed_once_each(world: World):
    await world.dead(*(f"a{n}" for n in range(9)))
    for limit in (1, 2, 4, 9):
        found = await read_all_pages(lambda after, limit=limit: world.dead_letters.page("", after, limit))
        assert [id_ for page in found for id_ in page] == [f"a{n}" for n in range(8, -1, -1)]


async def test_parked_lanes_are_listed_by_the_time_they_parked(world: World):
    parked = ParkedLanes(world.server)
    assert (await parked.page()).rows == ()
    for n, lane in enumerate(("ops/#c", "ops/#a", "ops/#b")):
        await world.append(f"x{n}", lane=lane)
        await world.lanes.park(await world.hold(lane), "is_archived", "why", Hint.of("step"), probe_s=9, called=False)
        await world.redis.hset(f"t:lane:{lane}", "since", 5 - n // 2)
    await world.redis.hset("t:integrations", "dev", "{}")
    await world.append("y", "z", lane=OTHER)
    await world.append("idle", lane="dev/#idle")
    await world.deliver("dev/#idle")
    await world.append("w", lane="old/#x")
    await world.integrations.park("dev", "token_revoked", "revoked", Hint.of("rotate"), probe_s=9)
    await world.integrations.park("old", "gone", "", Hint.of(""), probe_s=9)
    assert await read_all_pages(lambda after: parked.page(after, 2)) == [
        ["old/#x", "ops/#b"], ["ops/#a", "ops/#c"], [OTHER],
    ]  # fmt: skip
    old, first, *_, last = await parked.list_all()
    assert (old.lane, old.reason, old.since_ms, old.whole_integration) == ("old/#x", "gone", 0, False)
    assert first == ParkedLane("ops/#b", "is_archived", "why", Hint.of("step"), 1, 4)
    assert (last.reason, last.detail, str(last.hint), last.pending) == ("token_revoked", "revoked", "rotate", 2)
    assert (last.whole_integration, last.channel) == (True, "#builds")
    assert last.since_ms > 5


@pytest.mark.parametrize("after", ["x", "1", "1:2", "'; DROP", "5:3:\n"])
async def test_a_cursor_of_another_list_is_rejected(world: World, after: str):
    turns = [
        lambda: world.deliveries.page(DeliveryFilter(), after),
        lambda: world.deliveries.page(DeliveryFilter(state=State.PENDING), after if after != "5:3:\n" else "x"),
        lambda: world.dead_letters.page("", after if after != "1:2" else "::"),
        lambda: ParkedLanes(world.server).page(after if ":" not in after else "x"),
    ]
    for turn in turns:
        with pytest.raises(UserError, match="is no cursor of this list"):
            await turn()


async def test_a_page_is_read_in_few_round_trips(world: World):
    for n in range(30):
        await world.append(*(f"{n}x{m}" for m in range(20)), lane=f"ops/#c{n}")
    await world.dead(*(f"d{n}" for n in range(100)), lane=OTHER)
    looks = [
        lambda: world.deliveries.page(DeliveryFilter()),
        lambda: world.deliveries.page(DeliveryFilter(state=State.PENDING)),
        lambda: world.deliveries.page(DeliveryFilter(state=State.DEAD)),
        lambda: world.deliveries.page(DeliveryFilter(lanes=("ops/#c3",))),
        world.dead_letters.page,
        lambda: world.dead_letters.page("invalid_blocks"),
        ParkedLanes(world.server).page,
    ]
    sent: list[int] = []
    execute = world.server._execute

    async def counted(commands: Any, *, is_transaction: bool) -> list[Any]:
        sent.append(len(commands))
        return await execute(commands, is_transaction=is_transaction)

    world.server._execute = counted  # type: ignore[method-assign]  # the wire, as seen from here
    for look in looks:
        await look()
        sent.clear()
        await look()
        assert len(sent) <= 4, sent
        assert sum(sent) <= 150, sent


async def test_the_first_rows_are_collected_from_several_pages(world: World):
    await world.append("a", "b", "c")
    everything = DeliveryFilter()

    async def page(after: str | None, limit: int) -> Page[Any]:
        return await world.deliveries.page(everything, after, min(limit, 2))

    assert [row.id for row in await take_rows(page, 1)] == ["c"]
    assert [row.id for row in await take_rows(page, 3)] == ["c", "b", "a"]
    assert [row.id for row in await take_rows(page, 0)] == ["c", "b", "a"]
