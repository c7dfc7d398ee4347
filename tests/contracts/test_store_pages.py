"""Pages of deliveries, dead letters and parked lanes: each row once, in order, whatever changes meanwhile."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from store_world import GROUP, LANE, STREAM, World

from worker.domain.delivery import State
from worker.domain.errors import Problem
from worker.store.pages import Page, Where
from worker.store.parked import ParkedLane, ParkedLanes

OTHER = "dev/#builds"


async def turned(turn: Callable[[str | None], Awaitable[Page[Any]]]) -> list[list[Any]]:
    """Every page's rows, until the list is at its end."""
    found: list[list[Any]] = []
    after: str | None = None
    while True:
        page = await turn(after)
        found.append([getattr(one, "id", None) or one.lane for one in page.rows])
        if page.next is None:
            return found
        assert page.next != after
        after = page.next


async def listed(world: World, limit: int = 2, **where: Any) -> list[list[str]]:
    return await turned(lambda after: world.deliveries.page(Where(**where), after, limit))


async def lived(world: World) -> None:
    """Deliveries in every state, in two lanes."""
    await world.append("a1", "a2", "a3")
    await world.tell()
    await world.dead("b1", "b2", lane=OTHER)
    await world.append("c1", lane=OTHER)
    await world.append("c2")
    await world.append("c3", subscription="gone")
    await world.lanes.forget(LANE, "gone")
    await world.append("c4", lane=OTHER)
    for n in (1, 2, 4):
        await world.redis.hincrby(f"t:delivery:c{n}", "born", n)  # else perhaps in the same moment


async def test_all_are_listed_newest_first_a_page_at_a_time(world: World):
    await lived(world)
    assert await listed(world, 4) == [["c4", "c3", "c2", "c1"], ["b2", "b1", "a3", "a2"], ["a1"]]
    assert await listed(world, 9) == [["c4", "c3", "c2", "c1", "b2", "b1", "a3", "a2", "a1"]]
    assert await listed(world, 3) == [["c4", "c3", "c2"], ["c1", "b2", "b1"], ["a3", "a2", "a1"]]


async def test_those_in_a_state_are_listed(world: World):
    await lived(world)
    assert await listed(world, state=State.DELIVERED) == [["a1"]]
    assert await listed(world, state=State.MERGED) == [["a3", "a2"]]
    assert await listed(world, 1, state=State.DEAD) == [["b2"], ["b1"]]
    assert await listed(world, state=State.DISCARDED) == [["c3"]]
    assert await listed(world, state=State.PENDING) == [["c4", "c2"], ["c1"]]
    assert await listed(world, state=State.PARKED) == [[]]
    await world.integrations.park("dev", "x", "y", "z", probe_s=9)
    assert await listed(world, state=State.PENDING) == [["c2"]]
    assert await listed(world, state=State.PARKED) == [["c4", "c1"]]


async def test_those_of_a_lane_are_listed(world: World):
    await lived(world)
    assert await listed(world, lane=LANE) == [["c3", "c2"], ["a3", "a2"], ["a1"]]
    assert await listed(world, lane="ops/#nowhere") == [[]]
    assert await listed(world, lane=LANE, state=State.MERGED) == [["a3", "a2"]]
    assert await listed(world, lane=LANE, state=State.DEAD) == [[]]
    assert await listed(world, lane=OTHER, state=State.DEAD) == [["b2", "b1"]]
    assert await listed(world, lane=OTHER, state=State.PENDING) == [["c4", "c1"]]
    await world.lanes.park(await world.hold(), "x", "y", "z", probe_s=9, called=False)
    assert await listed(world, lane=LANE, state=State.PARKED) == [["c2"]]


async def test_a_delivery_replayed_or_discarded_is_in_one_list_only(world: World):
    await world.dead("a", "b")
    await world.dead_letters.replay(await world.dead_letters.find("a"), STREAM)
    await world.dead_letters.discard(await world.dead_letters.find("b"))
    assert await listed(world, state=State.DEAD) == [[]]
    assert await listed(world, state=State.PENDING) == [["a"]]
    assert await listed(world, state=State.DISCARDED) == [["b"]]


async def test_what_comes_or_goes_between_two_pages_repeats_and_skips_nothing(world: World):
    await world.append("a", "b", "c", "d")
    await world.dead("x1", "x2", "x3", lane=OTHER)
    first = await world.deliveries.page(Where(state=State.PENDING), limit=2)
    letters = await world.dead_letters.page(limit=1)
    assert [one.id for one in first.rows] == ["d", "c"]
    assert [one.id for one in letters.rows] == ["x3"]
    await world.append("e")
    await world.tell(most=1)
    await world.dead_letters.discard(letters.rows[0])
    await world.dead("x4", lane=OTHER)
    second = await world.deliveries.page(Where(state=State.PENDING), first.next, 2)
    assert ([one.id for one in second.rows], second.next) == (["b"], None)
    rest = await world.dead_letters.page("", letters.next, 5)
    assert ([one.id for one in rest.rows], rest.next) == (["x2", "x1"], None)


async def test_what_is_held_in_quiet_hours_or_being_posted_waits_in_its_place(world: World):
    far_ms = await world.server.now_ms() + 10**7
    await world.append("a", "b")
    await world.append("q1", until_ms=far_ms)
    await world.append("q2", subscription="s2", until_ms=far_ms - 1)
    await world.append("q3", until_ms=far_ms)
    await world.append("c")
    await world.append("d")
    await world.take(await world.hold(), 1)
    for limit in (1, 2, 3, 8):
        found = [id_ for page in await listed(world, limit, state=State.PENDING) for id_ in page]
        assert found == ["d", "c", "q3", "q2", "q1", "b", "a"], limit


async def test_many_made_in_the_same_moment_are_each_listed_once(world: World):
    lanes = [f"ops/#c{n}" for n in range(3)]
    for lane in lanes:
        await world.append(*(f"{lane[-1]}x{n}" for n in range(4)), lane=lane)
    for lane in lanes:
        for n in range(4):
            await world.redis.hset(f"t:delivery:{lane[-1]}x{n}", "born", 5)
    found = [id_ for page in await listed(world, 5, state=State.PENDING) for id_ in page]
    assert found == [f"{lane[-1]}x{n}" for lane in lanes[::-1] for n in (3, 2, 1, 0)]


async def test_where_rows_are_rare_a_page_may_be_short_and_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    from worker.store import deliveries

    monkeypatch.setattr(deliveries, "LOOKED_AT", 2)
    await world.append("first")
    await world.tell()
    await world.append(*(f"w{n}" for n in range(9)))
    assert await listed(world, 5, lane=LANE, state=State.DELIVERED) == [[], ["first"]]
    await world.dead(*(f"d{n}" for n in range(9)), lane="ops/#dead")
    assert await listed(world, 9, lane="ops/#dead", state=State.DEAD) == [
        ["d8", "d7", "d6", "d5", "d4", "d3"],
        ["d2", "d1", "d0"],
    ]


async def test_the_dead_of_a_lane_are_looked_for_where_fewer_lie(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    from worker.store import deliveries

    monkeypatch.setattr(deliveries, "LOOKED_AT", 1)
    await world.dead("x", lane=OTHER)
    await world.dead(*(f"d{n}" for n in range(7)))
    assert await listed(world, 5, lane=OTHER, state=State.DEAD) == [["x"]]
    await world.append(*(f"w{n}" for n in range(9)), lane=OTHER)
    assert await listed(world, 5, lane=OTHER, state=State.DEAD) == [[], [], ["x"]]


async def test_a_record_that_is_gone_takes_no_room(world: World):
    await world.append(*"abcd")
    await world.redis.delete("t:delivery:c")
    assert await listed(world, 2) == [["d", "b"], ["a"]]
    await world.redis.flushdb()


async def test_dead_letters_are_listed_by_reason_an_entry_among_them(world: World):
    await world.dead("a")
    await world.events.reject(STREAM, GROUP, "7-1", {b"x": b"y"}, "no")
    await world.dead("b", "c")
    every = await turned(lambda after: world.dead_letters.page("", after, 2))
    assert [id_ for page in every for id_ in page] == await world.dead_letters.ids()
    refused = await turned(lambda after: world.dead_letters.page("invalid_blocks", after, 2))
    assert refused == [["c", "b"], ["a"]]
    assert await turned(lambda after: world.dead_letters.page("unreadable", after, 2)) == [["7-1"]]
    assert await turned(lambda after: world.dead_letters.page("expired", after, 2)) == [[]]
    assert await listed(world, state=State.DEAD) == [["c", "b"], ["a"]]


async def test_many_that_died_in_the_same_moment_are_each_listed_once(world: World):
    await world.dead(*(f"a{n}" for n in range(9)))
    for limit in (1, 2, 4, 9):
        found = await turned(lambda after, limit=limit: world.dead_letters.page("", after, limit))
        assert [id_ for page in found for id_ in page] == [f"a{n}" for n in range(8, -1, -1)]


async def test_parked_lanes_are_listed_the_longest_waiting_first(world: World):
    parked = ParkedLanes(world.server)
    assert (await parked.page()).rows == ()
    for n, lane in enumerate(("ops/#c", "ops/#a", "ops/#b")):
        await world.append(f"x{n}", lane=lane)
        await world.lanes.park(await world.hold(lane), "is_archived", "why", "step", probe_s=9, called=False)
        await world.redis.hset(f"t:lane:{lane}", "since", 5 - n // 2)
    await world.redis.hset("t:integrations", "dev", "{}")
    await world.append("y", "z", lane=OTHER)
    await world.append("idle", lane="dev/#idle")
    await world.tell("dev/#idle")
    await world.append("w", lane="old/#x")
    await world.integrations.park("dev", "token_revoked", "revoked", "rotate", probe_s=9)
    await world.integrations.park("old", "gone", "", "", probe_s=9)
    assert await turned(lambda after: parked.page(after, 2)) == [
        ["old/#x", "ops/#b"], ["ops/#a", "ops/#c"], [OTHER],
    ]  # fmt: skip
    old, first, *_, last = await parked.all()
    assert (old.lane, old.reason, old.since_ms, old.whole_integration) == ("old/#x", "gone", 0, False)
    assert first == ParkedLane("ops/#b", "is_archived", "why", "step", 1, 4)
    assert (last.reason, last.detail, last.hint, last.pending) == ("token_revoked", "revoked", "rotate", 2)
    assert (last.whole_integration, last.channel) == (True, "#builds")
    assert last.since_ms > 5


@pytest.mark.parametrize("after", ["x", "1", "1:2", "'; DROP", "5:3:\n"])
async def test_a_place_of_another_list_is_refused(world: World, after: str):
    turns = [
        lambda: world.deliveries.page(Where(), after),
        lambda: world.deliveries.page(Where(state=State.PENDING), after if after != "5:3:\n" else "x"),
        lambda: world.dead_letters.page("", after if after != "1:2" else "::"),
        lambda: ParkedLanes(world.server).page(after if ":" not in after else "x"),
    ]
    for turn in turns:
        with pytest.raises(Problem, match="is no place in this list"):
            await turn()


async def test_a_page_is_made_in_few_round_trips(world: World):
    for n in range(30):
        await world.append(*(f"{n}x{m}" for m in range(20)), lane=f"ops/#c{n}")
    await world.dead(*(f"d{n}" for n in range(100)), lane=OTHER)
    looks = [
        lambda: world.deliveries.page(Where()),
        lambda: world.deliveries.page(Where(state=State.PENDING)),
        lambda: world.deliveries.page(Where(state=State.DEAD)),
        lambda: world.deliveries.page(Where(lane="ops/#c3")),
        world.dead_letters.page,
        lambda: world.dead_letters.page("invalid_blocks"),
        ParkedLanes(world.server).page,
    ]
    sent: list[int] = []
    execute = world.server._execute

    async def counted(commands: Any, *, as_one: bool) -> list[Any]:
        sent.append(len(commands))
        return await execute(commands, as_one=as_one)

    world.server._execute = counted  # type: ignore[method-assign]  # the wire, as seen from here
    for look in looks:
        await look()
        sent.clear()
        await look()
        assert len(sent) <= 4, sent
        assert sum(sent) <= 150, sent
