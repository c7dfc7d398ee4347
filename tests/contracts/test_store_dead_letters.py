"""Dead letters: deliveries and unreadable entries, replayed or discarded by a person."""

import asyncio

import pytest
from support.store import GROUP, LANE, STREAM, World

from worker.domain.errors import UserError
from worker.domain.hints import Hint
from worker.store import dead_letters
from worker.store.dead_letters import FULL_SYNC_EVERY_S, SYNC_EVERY_S, DeadLetter, FlowerQueue, FlowerSync
from worker.store.lanes import ReplayResult

ODD = {b"event": bytes(range(256)), b"": b"", b"\xff\xfe": b"\r\n"}


async def rejected(world: World, fields: dict[bytes, bytes]) -> DeadLetter:
    await world.stream().create_group()
    entry_id = (await world.redis.xadd(STREAM, fields)).decode()
    (entry,) = await world.stream().read(limit=1, wait_ms=1)
    await world.events.reject(STREAM, GROUP, entry.id, entry.fields, "no JSON")
    found = await world.dead_letters.find(entry_id)
    assert found is not None
    return found


async def test_dead_letters_are_listed_newest_first(world: World):
    await world.dead("a")
    for name in ("t:dead", "t:dead:of:invalid_blocks"):
        await world.redis.zadd(name, {"a": 1})
    letter = await rejected(world, ODD)
    assert await world.dead_letters.list_ids() == [letter.id, "a"]
    assert [one.id for one in await world.dead_letters.list_all()] == [letter.id, "a"]
    assert [one.id for one in await world.dead_letters.list_all(reason="unreadable")] == [letter.id]
    (refused,) = await world.dead_letters.list_all(reason="invalid_blocks")
    assert (refused.id, refused.detail, refused.delivery.lane, refused.raw) == ("a", "no", LANE, None)
    assert refused.died_at_ms == refused.delivery.finished_at_ms


async def test_a_delivery_in_another_state_is_not_a_dead_letter(world: World):
    await world.append("a")
    assert await world.dead_letters.find("a") is None
    assert await world.dead_letters.find("nothing") is None
    assert await world.dead_letters.find("1-1") is None


async def test_a_replayed_delivery_is_pending_again(world: World):
    await world.dead("a")
    letter = await world.dead_letters.find("a")
    assert await world.dead_letters.replay(letter, STREAM) == ReplayResult(1, True)
    assert await world.dead_letters.replay(letter, STREAM) == ReplayResult(0, False)
    assert await world.dead_letters.find("a") is None
    assert await world.deliver() == ["a"]


async def test_a_discarded_delivery_is_counted_in_the_ledger(world: World):
    await world.dead("a")
    letter = await world.dead_letters.find("a")
    assert await world.dead_letters.discard(letter) is True
    assert await world.dead_letters.discard(letter) is False
    assert (await world.balance()).discarded == 1


async def test_a_replayed_entry_is_appended_unchanged_to_the_stream(world: World):
    letter = await rejected(world, ODD)
    assert await world.dead_letters.replay(letter, STREAM) == ReplayResult(1, False)
    assert await world.dead_letters.replay(letter, STREAM) == ReplayResult(0, False)
    (entry,) = await world.stream().read(limit=10, wait_ms=1)
    assert entry.fields == ODD
    assert entry.id != letter.id
    assert await world.dead_letters.list_ids() == []
    assert (await world.balance()).rejected == 0


async def test_a_discarded_entry_stays_counted_and_cannot_be_replayed(world: World):
    letter = await rejected(world, ODD)
    assert await world.dead_letters.discard(letter) is True
    assert await world.dead_letters.discard(letter) is False
    assert await world.stream().read(limit=10, wait_ms=1) == []
    assert (await world.balance()).rejected == 1
    assert await world.dead_letters.find(letter.id) is None
    assert await world.events.reject(STREAM, GROUP, letter.id, ODD, "no JSON") is False


async def test_a_deleted_entry_cannot_be_replayed(world: World):
    await world.events.reject(STREAM, GROUP, "1-1", {}, "no fields")
    letter = await world.dead_letters.find("1-1")
    assert await world.dead_letters.replay(letter, STREAM) == ReplayResult(0, False)
    assert await world.dead_letters.list_ids() == ["1-1"]
    assert await world.dead_letters.discard(letter) is True


async def test_an_entry_with_too_many_fields_is_not_replayed_and_has_an_error(world: World):
    large = {str(n).encode(): b"x" for n in range(3_500)}
    letter = await rejected(world, large)
    assert await world.dead_letters.replay(letter, STREAM) == ReplayResult(1, False)
    await world.stream().read(limit=1, wait_ms=1)
    too_large = await rejected(world, {**large, b"one more": b"x"})
    with pytest.raises(UserError, match="3501 fields, too many to put back"):
        await world.dead_letters.replay(too_large, STREAM)
    assert await world.dead_letters.list_ids() == [too_large.id]


async def test_every_change_of_the_dead_letters_changes_their_version(world: World):
    seen = [await world.dead_letters.get_change_count()]
    await world.dead("a", "b")
    seen.append(await world.dead_letters.get_change_count())
    await world.dead_letters.replay(await world.dead_letters.find("a"), STREAM)
    seen.append(await world.dead_letters.get_change_count())
    await world.dead_letters.discard(await world.dead_letters.find("b"))
    seen.append(await world.dead_letters.get_change_count())
    letter = await rejected(world, ODD)
    seen.append(await world.dead_letters.get_change_count())
    await world.dead_letters.discard(letter)
    seen.append(await world.dead_letters.get_change_count())
    assert seen == sorted(set(seen))


async def test_dead_letters_are_counted_by_reason(world: World):
    assert await world.dead_letters.count_by_reason() == {}
    await world.dead("a", "b")
    await world.append("c", subscription="gone")
    await world.events.reject(STREAM, GROUP, "7-1", {b"x": b"y"}, "no")
    assert await world.dead_letters.count_by_reason() == {"invalid_blocks": 2, "unreadable": 1}
    for letter in await world.dead_letters.list_all():
        await world.dead_letters.replay(letter, STREAM)
    assert await world.dead_letters.count_by_reason() == {}


async def test_dead_letters_past_retention_leave_the_lists(world: World):
    await world.dead("a", "b")
    for name in ("t:dead", "t:dead:of:invalid_blocks"):
        await world.redis.zadd(name, {"a": 1})
    await world.redis.delete("t:delivery:a")
    assert [one.id for one in await world.dead_letters.list_all()] == ["b"]
    assert await world.dead_letters.remove_old(1_000) == 1
    assert await world.dead_letters.remove_old(1_000) == 0
    assert await world.dead_letters.list_ids() == ["b"]
    assert await world.dead_letters.count_by_reason() == {"invalid_blocks": 1}
    await world.redis.flushdb()


async def test_the_ids_of_dead_letters_in_flowers_queue_are_read(world: World):
    queue = FlowerQueue(world.server, "dead_letters")
    assert await queue.list_messages() == {}
    a, again, other = (f'{{"headers": {{"id": "{id_}"}}}}' for id_ in ("dead-a", "dead-a", "other"))
    odd = (b"\xff", b"[]", b"{}", b'{"headers": 1}')
    for message in (a, other, *odd):
        await world.redis.rpush("dead_letters", message)
    await world.redis.rpush("dead_letters", again + " ")
    assert await queue.list_messages() == {
        "a": [a.encode(), again.encode() + b" "],
        "other": [other.encode()],
        "": list(odd),
    }
    await queue.remove([a.encode(), odd[0]])
    assert sum(map(len, (await queue.list_messages()).values())) == 5
    await queue.remove([])
    assert set(await queue.list_messages()) == {"a", "other", ""}


async def test_flowers_queue_gets_missing_dead_letters_and_loses_wrong_ones(world: World):
    now_s, queue = 100.0, FlowerQueue(world.server, "dead_letters")

    async def publish(letters: list[DeadLetter]) -> None:
        for letter in letters:
            await world.redis.rpush("dead_letters", f'{{"headers": {{"id": "dead-{letter.id}"}}}}')

    sync = FlowerSync(dead_letters=world.dead_letters, queue=queue, publish=publish, clock=lambda: now_s)
    await world.dead("a", "b")
    await world.redis.rpush("dead_letters", '{"headers": {"id": "dead-gone"}}')
    await sync.run()
    assert list(await queue.list_messages()) == ["a", "b"]
    await world.dead("c")
    await sync.run()  # it was compared a moment ago
    assert list(await queue.list_messages()) == ["a", "b"]
    now_s += SYNC_EVERY_S
    await sync.run()
    assert list(await queue.list_messages()) == ["a", "b", "c"]
    await world.redis.delete("dead_letters")
    now_s += SYNC_EVERY_S
    await sync.run()  # no dead letter changed
    assert await queue.list_messages() == {}
    now_s += FULL_SYNC_EVERY_S
    await sync.run()
    assert list(await queue.list_messages()) == ["a", "b", "c"]
    assert await sync.correct_queue()  # nothing is missing
    assert list(await queue.list_messages()) == ["a", "b", "c"]


async def test_flowers_queue_is_filled_in_batches(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(dead_letters, "FLOWER_BATCH", 1)
    published: list[str] = []

    async def publish(letters: list[DeadLetter]) -> None:
        published.extend(letter.id for letter in letters)

    queue = FlowerQueue(world.server, "dead_letters")
    sync = FlowerSync(dead_letters=world.dead_letters, queue=queue, publish=publish, clock=lambda: len(published) * 10)
    await world.dead("a", "b")
    await sync.run()
    await sync.run()  # the first left some out, so the next run compares again
    assert published == ["a", "a"]


async def test_two_concurrent_replays_of_a_dead_letter_replay_it_once(world: World):
    """Two processes, each with its own connection, replay the same dead letter."""
    others = [World(world.redis) for _ in range(4)]
    await world.dead(*(f"d{n}" for n in range(20)))
    letters = await world.dead_letters.list_all()
    answers = await asyncio.gather(*(one.dead_letters.replay(letter, STREAM) for letter in letters for one in others))
    assert sum(answer.replayed for answer in answers) == 20
    assert sorted(await world.listed(LANE, "pending")) == sorted(letter.id for letter in letters)
    entry = await rejected(world, ODD)
    answers = await asyncio.gather(*(one.dead_letters.replay(entry, STREAM) for one in others))
    assert sum(answer.replayed for answer in answers) == 1
    assert len(await world.stream().read(limit=9, wait_ms=1)) == 1


async def deaths(world: World) -> list[tuple[int, str]]:
    """Return when and why the delivery `a` died."""
    return [(death.at_ms, death.reason) for death in (await world.deliveries.find("a")).deaths]


async def test_a_replayed_delivery_keeps_the_time_and_reason_of_its_death(world: World):
    await world.dead("a")
    letter = await world.dead_letters.find("a")
    await world.dead_letters.replay(letter, STREAM)
    assert await deaths(world) == [(letter.died_at_ms, "invalid_blocks")]
    held = await world.hold()
    await world.take(held)
    await world.lanes.dead_letter(held, "a b", "no")
    await world.lanes.release(held)
    again = await world.dead_letters.find("a")
    await world.dead_letters.replay(again, STREAM)
    await world.deliver()
    assert await deaths(world) == [(letter.died_at_ms, "invalid_blocks"), (again.died_at_ms, "a_b")]


async def expire_while_parked(world: World, *ids: str, subscription: str = "s1", most: int = 9) -> None:
    """Let deliveries expire in a parked lane."""
    await world.append(*ids, subscription=subscription)
    await world.lanes.park(await world.hold(), "is_archived", "y", Hint.of("z"), probe_s=9, called=False)
    assert await expire(world, most) == len(ids)


async def expire(world: World, missed_most: int = 9) -> int:
    far_ms = await world.server.now_ms() + 10**9
    return await world.lanes.expire(LANE, far_ms, "waited", running=False, expired_limit=missed_most)


async def test_deliveries_that_expired_while_parked_are_replayed_once_when_the_lane_delivers(world: World):
    await expire_while_parked(world, "a", "b", "c", most=2)
    assert await world.dead_letters.list_lanes_to_replay() == []  # the lane has not delivered yet
    await world.append("new")
    assert await world.deliver() == ["new"]
    assert await world.dead_letters.list_lanes_to_replay() == [LANE]
    assert await world.dead_letters.replay_expired(LANE) == ReplayResult(2, True)
    assert await world.dead_letters.replay_expired(LANE) == ReplayResult(0, False)
    assert await world.dead_letters.list_lanes_to_replay() == []
    assert await world.deliver() == ["b", "c"]
    assert await world.dead_letters.list_lanes_to_replay() == []


async def test_a_delivery_too_old_for_an_automatic_replay_is_never_replayed_automatically(world: World):
    await expire_while_parked(world, "a", "b", most=1)
    assert await world.dead_letters.replay_expired(LANE) == ReplayResult(1, True)
    assert await expire(world) == 1  # b again: not a second time
    await expire_while_parked(world, "c")
    await world.append("new")
    await world.deliver()
    assert await world.dead_letters.replay_expired(LANE) == ReplayResult(1, True)
    assert await world.deliver() == ["c"]
    assert [await world.state(id_) for id_ in "ab"] == ["dead", "dead"]


async def test_dead_letters_that_a_person_handled_are_not_replayed_automatically(world: World):
    await expire_while_parked(world, "a", "b", "c")
    await expire_while_parked(world, "d", subscription="gone")
    await world.redis.delete("t:event:c")
    await world.dead_letters.discard(await world.dead_letters.find("a"))
    await world.dead_letters.replay(await world.dead_letters.find("b"), STREAM)
    await expire(world)
    assert await world.lanes.discard_of_subscription(LANE, "gone") == 0
    assert await world.dead_letters.replay_expired(LANE) == ReplayResult(0, False)
    assert [await world.state(id_) for id_ in "abcd"] == ["discarded", "dead", "dead", "dead"]


async def test_deliveries_that_expired_for_another_reason_are_not_replayed_automatically(world: World):
    far_ms = await world.server.now_ms() + 10**9
    await world.append("a")
    await world.lanes.expire(LANE, far_ms, "waited", running=True)
    await world.dead("b")
    await world.append("c", lane="ops/#other")
    await world.lanes.expire("ops/#other", far_ms, "waited", running=False)
    await world.append("d")
    await world.deliver()
    assert await world.dead_letters.list_lanes_to_replay() == []
    assert await world.dead_letters.replay_expired(LANE) == ReplayResult(0, False)
