"""Dead letters: deliveries and unreadable entries, replayed or discarded by a person."""

import asyncio

import pytest
from store_world import GROUP, LANE, STREAM, World

from worker.domain.delivery import Death
from worker.domain.errors import Problem
from worker.store import dead_letters
from worker.store.dead_letters import DeadLetter
from worker.store.dead_queue import DeadQueue

ODD = {b"event": bytes(range(256)), b"": b"", b"\xff\xfe": b"\r\n"}


async def rejected(world: World, fields: dict[bytes, bytes]) -> DeadLetter:
    await world.stream().join()
    entry_id = (await world.redis.xadd(STREAM, fields)).decode()
    (entry,) = await world.stream().read(most=1, wait_ms=1)
    await world.events.reject(STREAM, GROUP, entry.id, entry.fields, "no JSON")
    found = await world.dead_letters.find(entry_id)
    assert found is not None
    return found


async def test_dead_letters_are_listed_newest_first(world: World):
    await world.dead("a")
    for name in ("t:dead", "t:dead:of:invalid_blocks"):
        await world.redis.zadd(name, {"a": 1})
    letter = await rejected(world, ODD)
    assert await world.dead_letters.ids() == [letter.id, "a"]
    assert [one.id for one in await world.dead_letters.all()] == [letter.id, "a"]
    assert [one.id for one in await world.dead_letters.all(reason="unreadable")] == [letter.id]
    (refused,) = await world.dead_letters.all(reason="invalid_blocks")
    assert (refused.id, refused.detail, refused.delivery.lane, refused.raw) == ("a", "no", LANE, None)
    assert refused.died_at_ms == refused.delivery.finished_at_ms


async def test_what_is_not_dead_is_no_dead_letter(world: World):
    await world.append("a")
    assert await world.dead_letters.find("a") is None
    assert await world.dead_letters.find("nothing") is None
    assert await world.dead_letters.find("1-1") is None


async def test_a_replayed_delivery_waits_again(world: World):
    await world.dead("a")
    letter = await world.dead_letters.find("a")
    assert await world.dead_letters.replay(letter, STREAM) == (True, True)
    assert await world.dead_letters.replay(letter, STREAM) == (False, False)
    assert await world.dead_letters.find("a") is None
    assert await world.tell() == ["a"]


async def test_a_discarded_delivery_is_accounted_for(world: World):
    await world.dead("a")
    letter = await world.dead_letters.find("a")
    assert await world.dead_letters.discard(letter) is True
    assert await world.dead_letters.discard(letter) is False
    assert (await world.balance()).discarded == 1


async def test_a_replayed_entry_comes_back_byte_for_byte_at_the_end_of_the_stream(world: World):
    letter = await rejected(world, ODD)
    assert await world.dead_letters.replay(letter, STREAM) == (True, False)
    assert await world.dead_letters.replay(letter, STREAM) == (False, False)
    (entry,) = await world.stream().read(most=10, wait_ms=1)
    assert entry.fields == ODD
    assert entry.id != letter.id
    assert await world.dead_letters.ids() == []
    assert (await world.balance()).rejected == 0


async def test_a_discarded_entry_stays_counted_and_does_not_come_back(world: World):
    letter = await rejected(world, ODD)
    assert await world.dead_letters.discard(letter) is True
    assert await world.dead_letters.discard(letter) is False
    assert await world.stream().read(most=10, wait_ms=1) == []
    assert (await world.balance()).rejected == 1
    assert await world.dead_letters.find(letter.id) is None
    assert await world.events.reject(STREAM, GROUP, letter.id, ODD, "no JSON") is False


async def test_an_entry_that_was_deleted_has_nothing_to_replay(world: World):
    await world.events.reject(STREAM, GROUP, "1-1", {}, "no fields")
    letter = await world.dead_letters.find("1-1")
    assert await world.dead_letters.replay(letter, STREAM) == (False, False)
    assert await world.dead_letters.ids() == ["1-1"]
    assert await world.dead_letters.discard(letter) is True


async def test_an_entry_with_thousands_of_fields_is_replayed_or_says_why_not(world: World):
    large = {str(n).encode(): b"x" for n in range(3_500)}
    letter = await rejected(world, large)
    assert await world.dead_letters.replay(letter, STREAM) == (True, False)
    await world.stream().read(most=1, wait_ms=1)
    too_large = await rejected(world, {**large, b"one more": b"x"})
    with pytest.raises(Problem, match="3501 fields, too many to put back"):
        await world.dead_letters.replay(too_large, STREAM)
    assert await world.dead_letters.ids() == [too_large.id]


async def test_every_change_of_the_list_is_noticed(world: World):
    seen = [await world.dead_letters.changes()]
    await world.dead("a", "b")
    seen.append(await world.dead_letters.changes())
    await world.dead_letters.replay(await world.dead_letters.find("a"), STREAM)
    seen.append(await world.dead_letters.changes())
    await world.dead_letters.discard(await world.dead_letters.find("b"))
    seen.append(await world.dead_letters.changes())
    letter = await rejected(world, ODD)
    seen.append(await world.dead_letters.changes())
    await world.dead_letters.discard(letter)
    seen.append(await world.dead_letters.changes())
    assert seen == sorted(set(seen))


async def test_dead_letters_are_counted_by_reason(world: World):
    assert await world.dead_letters.reasons() == {}
    await world.dead("a", "b")
    await world.append("c", subscription="gone")
    await world.events.reject(STREAM, GROUP, "7-1", {b"x": b"y"}, "no")
    assert await world.dead_letters.reasons() == {"invalid_blocks": 2, "unreadable": 1}
    for letter in await world.dead_letters.all():
        await world.dead_letters.replay(letter, STREAM)
    assert await world.dead_letters.reasons() == {}
    assert await world.redis.smembers("t:dead:reasons") == set()


async def test_dead_letters_no_longer_kept_leave_the_lists(world: World):
    await world.dead("a", "b")
    for name in ("t:dead", "t:dead:of:invalid_blocks"):
        await world.redis.zadd(name, {"a": 1})
    await world.redis.delete("t:delivery:a")
    assert [one.id for one in await world.dead_letters.all()] == ["b"]
    assert await world.dead_letters.forget_old(1_000) == 1
    assert await world.dead_letters.forget_old(1_000) == 0
    assert await world.dead_letters.ids() == ["b"]
    assert await world.dead_letters.reasons() == {"invalid_blocks": 1}
    await world.redis.flushdb()


async def test_dead_letters_of_an_older_version_are_listed_by_reason_too(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(dead_letters, "LISTED_AT_ONCE", 2)
    await world.dead("a", "b", "c")
    letter = await rejected(world, ODD)
    await world.redis.delete("t:dead:reasons", "t:dead:of:invalid_blocks", "t:dead:of:unreadable")
    assert await world.dead_letters.reasons() == {}
    assert await world.dead_letters.forget_old(0) == 0
    assert await world.dead_letters.reasons() == {"invalid_blocks": 3, "unreadable": 1}
    assert [one.id for one in await world.dead_letters.all(reason="unreadable")] == [letter.id]
    died_at_ms = (await world.dead_letters.find("a")).died_at_ms
    assert await world.redis.zscore("t:dead:of:invalid_blocks", "a") == died_at_ms


async def test_the_queue_shows_which_dead_letters_lie_in_it(world: World):
    queue = DeadQueue(world.server, "dead_letters")
    assert (await queue.ids(), await queue.length()) == ({}, 0)
    a, again, other = (f'{{"headers": {{"id": "{id_}"}}}}' for id_ in ("dead-a", "dead-a", "other"))
    odd = (b"\xff", b"[]", b"{}", b'{"headers": 1}')
    for message in (a, other, *odd):
        await world.redis.rpush("dead_letters", message)
    await world.redis.rpush("dead_letters", again + " ")
    assert await queue.ids() == {
        "a": [a.encode(), again.encode() + b" "],
        "other": [other.encode()],
        "": list(odd),
    }
    await queue.remove([a.encode(), odd[0]])
    assert await queue.length() == 5
    await queue.remove([])
    assert set(await queue.ids()) == {"a", "other", ""}


async def test_two_who_replay_the_same_at_once_put_it_back_once(world: World):
    """From two processes, each with a connection of its own."""
    others = [World(world.redis) for _ in range(4)]
    await world.dead(*(f"d{n}" for n in range(20)))
    letters = await world.dead_letters.all()
    answers = await asyncio.gather(
        *(one.dead_letters.replay(letter, STREAM) for letter in letters for one in others)
    )
    assert sum(was_dead for was_dead, _ in answers) == 20
    assert sorted(await world.listed(LANE, "pending")) == sorted(letter.id for letter in letters)
    entry = await rejected(world, ODD)
    answers = await asyncio.gather(*(one.dead_letters.replay(entry, STREAM) for one in others))
    assert sum(was_dead for was_dead, _ in answers) == 1
    assert len(await world.stream().read(most=9, wait_ms=1)) == 1


async def test_a_replayed_delivery_remembers_when_and_why_it_died(world: World):
    await world.dead("a")
    letter = await world.dead_letters.find("a")
    await world.dead_letters.replay(letter, STREAM)
    assert (await world.deliveries.find("a")).deaths == (Death(letter.died_at_ms, "invalid_blocks"),)
    held = await world.hold()
    await world.take(held)
    await world.lanes.bury(held, "a b", "no")
    await world.lanes.release(held)
    again = await world.dead_letters.find("a")
    await world.dead_letters.replay(again, STREAM)
    await world.tell()
    deaths = (await world.deliveries.find("a")).deaths
    assert [(one.at_ms, one.reason) for one in deaths] == [
        (letter.died_at_ms, "invalid_blocks"),
        (again.died_at_ms, "a_b"),
    ]


async def missed(world: World, *ids: str, subscription: str = "s1", most: int = 9) -> None:
    """They waited for a person, too long."""
    await world.append(*ids, subscription=subscription)
    await world.lanes.park(await world.hold(), "is_archived", "y", "z", probe_s=9, called=False)
    assert await expire(world, most) == len(ids)


async def expire(world: World, missed_most: int = 9) -> int:
    far_ms = await world.server.now_ms() + 10**9
    return await world.lanes.expire(LANE, far_ms, "waited", running=False, missed_most=missed_most)


async def test_what_expired_waiting_for_a_person_is_replayed_once_when_something_is_told(world: World):
    await missed(world, "a", "b", "c", most=2)
    assert await world.dead_letters.lanes_that_missed() == []  # nobody knows yet that it works
    await world.append("new")
    assert await world.tell() == ["new"]
    assert await world.dead_letters.lanes_that_missed() == [LANE]
    assert await world.dead_letters.replay_missed(LANE) == (2, True)
    assert await world.dead_letters.replay_missed(LANE) == (0, False)
    assert await world.dead_letters.lanes_that_missed() == []
    assert await world.tell() == ["b", "c"]
    assert await world.dead_letters.lanes_that_missed() == []


async def test_what_was_too_old_to_be_replayed_once_is_not_the_next_time_either(world: World):
    await missed(world, "a", "b", most=1)
    assert await world.dead_letters.replay_missed(LANE) == (1, True)
    assert await expire(world) == 1  # b again: not a second time
    await missed(world, "c")
    await world.append("new")
    await world.tell()
    assert await world.dead_letters.replay_missed(LANE) == (1, True)
    assert await world.tell() == ["c"]
    assert [await world.state(id_) for id_ in "ab"] == ["dead", "dead"]


async def test_what_a_person_saw_to_meanwhile_is_not_replayed_by_itself(world: World):
    await missed(world, "a", "b", "c")
    await missed(world, "d", subscription="gone")
    await world.redis.delete("t:event:c")
    await world.dead_letters.discard(await world.dead_letters.find("a"))
    await world.dead_letters.replay(await world.dead_letters.find("b"), STREAM)
    await expire(world)
    assert await world.lanes.forget(LANE, "gone") == 0
    assert await world.dead_letters.replay_missed(LANE) == (0, False)
    assert [await world.state(id_) for id_ in "abcd"] == ["discarded", "dead", "dead", "dead"]


async def test_what_expired_for_another_reason_is_not_replayed_by_itself(world: World):
    far_ms = await world.server.now_ms() + 10**9
    await world.append("a")
    await world.lanes.expire(LANE, far_ms, "waited", running=True)
    await world.dead("b")
    await world.append("c", lane="ops/#other")
    await world.lanes.expire("ops/#other", far_ms, "waited", running=False)
    await world.append("d")
    await world.tell()
    assert await world.dead_letters.lanes_that_missed() == []
    assert await world.dead_letters.replay_missed(LANE) == (0, False)
