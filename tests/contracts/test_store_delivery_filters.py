"""Filters of deliveries by lanes, severity and time, and the history of one delivery."""

from itertools import product

import pytest
from support.store import LANE, RECEIPT, World

from worker.domain.delivery import Address, Change, Delivery, State
from worker.domain.event import Severity
from worker.store.installation import Processes
from worker.store.lanes import LeaseDenied, NewDelivery
from worker.store.ledger import take_ledger_snapshot
from worker.store.pagination import DeliveryFilter, take_rows

OTHER, THIRD = "ops/#build", "dev/#alerts"
LANES = (LANE, OTHER, THIRD)


async def create(world: World, lane: str, severity: Severity) -> str:
    """Append a delivery and return its id."""
    id_ = f"{LANES.index(lane)}{severity.name}"
    await world.redis.hset(f"t:event:{id_}", "src", b"j{}")
    await world.lanes.append(lane, [NewDelivery(id_, f"{id_}.src", "s1", 7, severity=severity)])
    return id_


async def list_ids(world: World, where: DeliveryFilter, limit: int = 2) -> set[str]:
    """Return the ids on all pages, which contain each once."""

    async def get_page(after: str | None, _limit: int) -> object:
        return await world.deliveries.page(where, after, limit)

    ids = [delivery.id for delivery in await take_rows(get_page)]
    assert len(set(ids)) == len(ids)
    return set(ids)


@pytest.mark.parametrize("state", [None, State.PENDING, State.DELIVERED, State.DEAD])
@pytest.mark.parametrize("lanes", [None, (LANE,), (LANE, THIRD), ()])
@pytest.mark.parametrize("severities", [(), (Severity.CRITICAL,), (Severity.ERROR, Severity.INFO)])
async def test_a_list_contains_exactly_what_matches(
    world: World, state: State | None, lanes: tuple[str, ...] | None, severities: tuple[Severity, ...]
):
    ids = [await create(world, lane, severity) for lane, severity in product(LANES, Severity)]
    if state is State.DELIVERED:
        for lane in LANES:
            held = await world.hold(lane)
            for _ in Severity:
                [id_] = await world.take(held, 1)
                await world.lanes.settle(held, RECEIPT, id_)
    if state is State.DEAD:
        for lane in LANES:
            held = await world.hold(lane)
            await world.take(held)
            await world.lanes.dead_letter(held, "invalid_blocks", "no")
            await world.lanes.release(held)
    where = DeliveryFilter(state, lanes, severities)
    everything = await world.deliveries.find_many(ids)
    assert await list_ids(world, where) == {delivery.id for delivery in everything if where.matches(delivery)}
    if lanes != ():
        assert await list_ids(world, where), "the case is not empty"


@pytest.mark.parametrize("state", [None, State.PENDING, State.DEAD])
async def test_a_list_begins_at_a_time(world: World, state: State | None):
    for id_ in "abc":
        if state is State.DEAD:
            await world.dead(id_)
        else:
            await world.append(id_)
    now_ms = await world.server.now_ms()
    await world.redis.hset("t:delivery:a", "born", now_ms - 60_000)
    assert await list_ids(world, DeliveryFilter(state, since_ms=now_ms - 30_000)) == {"b", "c"}
    assert await list_ids(world, DeliveryFilter(state, since_ms=now_ms - 90_000)) == {"a", "b", "c"}
    assert await list_ids(world, DeliveryFilter(state, since_ms=now_ms + 90_000)) == set()


async def test_a_page_of_rare_pending_deliveries_ends_after_some_records(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("worker.store.pagination.SCRIPT_RECORDS", 3)
    await create(world, LANE, Severity.CRITICAL)
    await world.append(*(f"x{n}" for n in range(7)))
    where = DeliveryFilter(State.PENDING, severities=(Severity.CRITICAL,))
    first = await world.deliveries.page(where)
    assert first.rows == ()
    assert first.next
    assert await list_ids(world, where) == {"0CRITICAL"}


async def find(world: World, id_: str) -> Delivery:
    delivery = await world.deliveries.find(id_)
    assert delivery
    return delivery


async def test_the_history_keeps_every_queueing_death_and_replay_with_who(world: World):
    await world.dead("a")
    queued_ms = (await find(world, "a")).created_at_ms
    for who in ("console, session 1 (::1)", ""):
        letter = await world.dead_letters.find("a")
        assert letter
        await world.dead_letters.replay(letter, "events", who)
        held = await world.hold()
        await world.take(held)
        await world.lanes.dead_letter(held, "msg too long", "no")
        await world.lanes.release(held)
    steps = (await find(world, "a")).history
    assert [(step.change, step.who, step.reason) for step in steps] == [
        (Change.QUEUED, "", ""),
        (Change.DIED, "", "invalid_blocks"),
        (Change.REPLAYED, "console, session 1 (::1)", ""),
        (Change.DIED, "", "msg_too_long"),
        (Change.REPLAYED, "", ""),
        (Change.DIED, "", "msg too long"),
    ]
    assert steps[0].at_ms == queued_ms
    assert [step.at_ms for step in steps] == sorted(step.at_ms for step in steps)


async def test_a_discard_keeps_who_and_the_time_of_the_death(world: World):
    await world.dead("a")
    died_ms = (await find(world, "a")).finished_at_ms
    letter = await world.dead_letters.find("a")
    assert letter
    assert await world.dead_letters.discard(letter, "command, ada")
    _, death, discard = (await find(world, "a")).history
    assert (death.change, death.at_ms) == (Change.DIED, died_ms)
    assert (discard.change, discard.who, discard.reason) == (Change.DISCARDED, "command, ada", "")


async def test_a_removed_subscription_is_the_reason_of_a_discard(world: World):
    await world.append("a")
    await world.lanes.discard_of_subscription(LANE, "s1")
    assert (await find(world, "a")).history[-1].reason == "subscription_removed"


async def test_a_delivery_of_an_earlier_version_has_no_severity(world: World):
    await world.append("a")
    await world.redis.hdel("t:delivery:a", "severity")
    assert (await find(world, "a")).severity is None


async def test_a_lane_that_waits_out_a_failure_can_be_tried_now(world: World):
    await world.append("a")
    held = await world.hold()
    await world.take(held)
    await world.lanes.release(held, wait_s=600, failed=True, reason="Slack is away")
    [count] = (await take_ledger_snapshot(world.server)).lanes
    assert (count.failure, count.held) == ("Slack is away", 0)
    assert isinstance(await world.lanes.acquire(LANE, "h2"), LeaseDenied)
    resumed = await world.lanes.resume(LANE, permanently=False)
    assert (resumed.was_parked, resumed.was_snoozed) == (False, True)
    assert await world.take(await world.hold()) == ["a"]
    again = await world.lanes.resume(LANE, permanently=False)
    assert (again.was_parked, again.was_snoozed, again.wake) == (False, False, False)


async def test_a_lane_that_waits_for_a_slot_has_no_failure(world: World):
    await world.append("a")
    await world.lanes.release(await world.hold(), wait_s=600, reason="waits for a slot")
    assert (await take_ledger_snapshot(world.server)).lanes[0].failure == ""


async def test_deliveries_held_in_quiet_hours_are_counted_apart(world: World):
    await world.append("a", until_ms=await world.server.now_ms() + 60_000)
    await world.append("b")
    [count] = (await take_ledger_snapshot(world.server)).lanes
    assert (count.pending, count.held) == (2, 1)


async def test_lanes_are_listed_with_the_addresses_that_are_known(world: World):
    await world.append("a")
    await world.append("b", lane=OTHER)
    await world.lanes.pin_address(OTHER, Address("C1", "#builds"))
    names = await world.lanes.list_names()
    assert names == [LANE, OTHER]
    assert await world.lanes.find_addresses(names) == {OTHER: Address("C1", "#builds")}


async def test_a_process_whose_key_ring_shares_no_key_is_another_installation(world: World):
    own, rotated, other, without = (Processes(world.server, ring) for ring in ("a b", "b c", "d", ""))
    for process in (own, rotated, without):
        await process.record_heartbeat("worker", "one")
    assert not await own.has_other_installation()
    await other.record_heartbeat("worker", "two")
    assert await own.has_other_installation()
    assert not await without.has_other_installation()
