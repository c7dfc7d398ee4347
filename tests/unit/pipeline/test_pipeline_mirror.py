"""The queue of dead letters shows what the store knows, whatever was flushed, lost or replayed meanwhile."""

import json
from typing import Any

import pytest
from pipeline_house import House, alert

from worker.pipeline import mirror as mirror_module
from worker.pipeline.mirror import Mirror
from worker.pipeline.replay import replay
from worker.store.dead_letters import DeadLetter

QUEUE = "ik:celery:dead_letters"


@pytest.fixture
def mirror(house: House) -> Mirror:
    """Publishes as Celery would."""

    async def publish(letters: list[DeadLetter]) -> None:
        for letter in letters:
            await house.redis.lpush(QUEUE, json.dumps({"headers": {"id": f"dead-{letter.id}"}}))

    return Mirror(house.made.dead_letters, house.made.dead_queue, publish, house.hand.monotonic)


async def shown(house: House) -> list[str]:
    """The ids in the queue, oldest first."""
    found = [json.loads(one)["headers"]["id"] for one in await house.redis.lrange(QUEUE, 0, -1)]
    return [id_.removeprefix("dead-") for id_ in reversed(found)]


async def die(house: House, count: int = 1) -> list[str]:
    """Dead letters; all of them, oldest first."""
    for _ in range(count):
        await house.publish(b"{")
        await house.ingest()
        house.pass_time(0.002)
    return (await house.made.dead_letters.ids())[::-1]


async def test_what_is_missing_is_published_oldest_first(house: House, mirror: Mirror) -> None:
    ids = await die(house, 3)
    await mirror.look()
    assert await shown(house) == ids


async def test_nothing_is_shown_twice(house: House, mirror: Mirror) -> None:
    ids = await die(house)
    for _ in range(3):
        assert await mirror.correct()
    assert await shown(house) == ids


async def test_it_looks_only_when_something_changed(house: House, mirror: Mirror) -> None:
    await die(house)
    await mirror.look()
    ids = await die(house)
    await mirror.look()
    assert await shown(house) == ids[:1]  # a moment later is soon enough
    house.pass_time(2)
    await mirror.look()
    assert await shown(house) == ids


async def test_a_flushed_queue_is_filled_again(house: House, mirror: Mirror) -> None:
    ids = await die(house, 2)
    await mirror.look()
    await house.redis.delete(QUEUE)
    house.pass_time(3)
    await mirror.look()
    assert await shown(house) == []
    house.pass_time(60)
    await mirror.look()
    assert await shown(house) == ids


async def test_what_was_replayed_or_is_a_stranger_is_taken_out(house: House, mirror: Mirror) -> None:
    first, second = await die(house, 2)
    await mirror.look()
    letter = await house.made.dead_letters.find(first)
    assert letter is not None
    await house.made.dead_letters.discard(letter)
    await house.redis.lpush(QUEUE, b"not Celery's")
    await mirror.correct()
    assert await shown(house) == [second]


async def test_what_lies_there_twice_is_shown_once(house: House, mirror: Mirror) -> None:
    ids = await die(house)
    await mirror.look()
    await house.redis.lpush(QUEUE, json.dumps({"headers": {"id": f"dead-{ids[0]}"}, "again": True}))
    await mirror.correct()
    assert await shown(house) == ids


async def test_what_is_gone_from_the_store_is_not_published(house: House, mirror: Mirror) -> None:
    await house.redis.zadd("ik:dead", {"1-1": 1})
    assert await mirror.correct()
    assert await shown(house) == []


async def test_many_are_published_a_part_at_a_time(
    house: House, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror_module, "AT_ONCE", 2)
    ids = await die(house, 5)
    for count in (2, 4, 5):
        await mirror.look()
        assert await shown(house) == ids[:count]
        house.pass_time(2)


async def one_dead(house: House) -> str:
    """A delivery that Slack refused, and its lane at rest."""
    house.slack.ends("chat.postMessage", "msg_too_long", "msg_too_long")
    await house.tell(alert())
    [letter] = await house.dead()
    return letter.id


async def again(house: House, id_: str) -> str:
    async def wake(lanes: Any) -> None:
        house.awake.extend(lanes)

    house.awake.clear()
    return await replay(house.made.dead_letters, house.made.stream.stream, wake, id_)


async def test_a_replayed_delivery_is_told(house: House) -> None:
    id_ = await one_dead(house)
    assert await again(house, id_) == f"{id_} is pending again in acme/#ops"
    assert house.awake == ["acme/#ops"]
    house.pass_time(2)
    assert (await house.drain()).posts == 1
    assert (await house.balance()).delivered == 1


async def test_a_replayed_delivery_of_a_parked_lane_wakes_nobody(house: House) -> None:
    id_ = await one_dead(house)
    await house.made.integrations.park("acme", "token_revoked", "reason", "hint", probe_s=60)
    await again(house, id_)
    assert house.awake == []


async def test_a_replayed_entry_goes_back_into_the_stream(house: House) -> None:
    [id_] = await die(house)
    assert await again(house, id_) == f"{id_} is back in the stream"
    await house.ingest()
    assert len(await house.dead()) == 1
    assert (await house.balance()).rejected == 1


async def test_what_is_no_dead_letter_is_not_replayed(house: House) -> None:
    assert await again(house, "nothing") == "nothing is not a dead letter (any more)"


async def test_two_who_replay_the_same_do_it_once(house: House) -> None:
    id_ = await one_dead(house)
    letters = house.made.dead_letters
    letter = await letters.find(id_)
    assert letter is not None
    find = letters.find

    async def found_before(_: str) -> DeadLetter:
        return letter

    letters.find = found_before  # type: ignore[method-assign]
    await again(house, id_)
    assert await again(house, id_) == f"{id_} was replayed by someone else, or its event is no longer kept"
    letters.find = find  # type: ignore[method-assign]
    assert (await house.balance()).pending == 1
