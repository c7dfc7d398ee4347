"""The queue of dead letters in Flower follows the store, whatever was flushed, lost or replayed."""

import json

import pytest
from support.events import alert
from support.pipeline import Pipeline

from worker.domain.hints import Hint
from worker.services.dead_letters import BulkOutcome, replay_one
from worker.store.dead_letters import DeadLetter, FlowerSync

QUEUE = "ik:celery:dead_letters"


@pytest.fixture
def flower_sync(house: Pipeline) -> FlowerSync:
    """Return a sync that publishes as Celery does."""

    async def publish(letters: list[DeadLetter]) -> None:
        for letter in letters:
            await house.redis.lpush(QUEUE, json.dumps({"headers": {"id": f"dead-{letter.id}"}}))

    app = house.app
    return FlowerSync(
        dead_letters=app.dead_letters, queue=app.flower_queue, publish=publish, clock=house.hand.monotonic
    )


async def list_queue_ids(house: Pipeline) -> list[str]:
    """Return the ids in the queue, oldest first."""
    found = [json.loads(one)["headers"]["id"] for one in await house.redis.lrange(QUEUE, 0, -1)]
    return [id_.removeprefix("dead-") for id_ in reversed(found)]


async def create_dead_letters(house: Pipeline, count: int = 1) -> list[str]:
    """Create dead letters and return all ids, oldest first."""
    for _ in range(count):
        await house.publish(b"{")
        await house.ingest()
        house.pass_time(0.002)
    return (await house.app.dead_letters.list_ids())[::-1]


async def test_missing_dead_letters_are_published_oldest_first(house: Pipeline, flower_sync: FlowerSync) -> None:
    ids = await create_dead_letters(house, 3)
    await flower_sync.run()
    assert await list_queue_ids(house) == ids


async def test_no_dead_letter_is_published_twice(house: Pipeline, flower_sync: FlowerSync) -> None:
    ids = await create_dead_letters(house)
    for _ in range(3):
        assert await flower_sync.correct_queue()
    assert await list_queue_ids(house) == ids


async def test_the_queue_is_compared_only_after_a_change(house: Pipeline, flower_sync: FlowerSync) -> None:
    await create_dead_letters(house)
    await flower_sync.run()
    ids = await create_dead_letters(house)
    await flower_sync.run()
    assert await list_queue_ids(house) == ids[:1]  # a moment later is soon enough
    house.pass_time(2)
    await flower_sync.run()
    assert await list_queue_ids(house) == ids


async def test_a_flushed_queue_is_filled_again(house: Pipeline, flower_sync: FlowerSync) -> None:
    ids = await create_dead_letters(house, 2)
    await flower_sync.run()
    await house.redis.delete(QUEUE)
    house.pass_time(3)
    await flower_sync.run()
    assert await list_queue_ids(house) == []
    house.pass_time(60)
    await flower_sync.run()
    assert await list_queue_ids(house) == ids


async def test_replayed_dead_letters_and_foreign_messages_are_removed(house: Pipeline, flower_sync: FlowerSync) -> None:
    first, second = await create_dead_letters(house, 2)
    await flower_sync.run()
    letter = await house.app.dead_letters.find(first)
    assert letter is not None
    await house.app.dead_letters.discard(letter)
    await house.redis.lpush(QUEUE, b"not Celery's")
    await flower_sync.correct_queue()
    assert await list_queue_ids(house) == [second]


async def test_a_duplicate_message_is_removed(house: Pipeline, flower_sync: FlowerSync) -> None:
    ids = await create_dead_letters(house)
    await flower_sync.run()
    await house.redis.lpush(QUEUE, json.dumps({"headers": {"id": f"dead-{ids[0]}"}, "again": True}))
    await flower_sync.correct_queue()
    assert await list_queue_ids(house) == ids


async def test_a_dead_letter_without_its_record_is_not_published(house: Pipeline, flower_sync: FlowerSync) -> None:
    await house.redis.zadd("ik:dead", {"1-1": 1})
    assert await flower_sync.correct_queue()
    assert await list_queue_ids(house) == []


async def test_many_dead_letters_are_published_in_batches(
    house: Pipeline, flower_sync: FlowerSync, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.store.dead_letters.FLOWER_BATCH", 2)
    ids = await create_dead_letters(house, 5)
    for count in (2, 4, 5):
        await flower_sync.run()
        assert await list_queue_ids(house) == ids[:count]
        house.pass_time(2)


async def create_rejected_delivery(house: Pipeline) -> str:
    """Create a delivery that Slack rejected, in a lane that is otherwise empty."""
    house.slack.ends("chat.postMessage", "msg_too_long", "msg_too_long")
    await house.deliver(alert())
    [letter] = await house.dead()
    return letter.id


async def again(house: Pipeline, id_: str) -> BulkOutcome:
    house.awake.clear()
    return (await replay_one(house.app, id_)).outcome


async def test_a_replayed_delivery_is_posted(house: Pipeline) -> None:
    id_ = await create_rejected_delivery(house)
    assert await again(house, id_) is BulkOutcome.DONE
    assert house.awake == ["acme/#ops"]
    house.pass_time(2)
    assert (await house.drain()).posts == 1
    assert (await house.balance()).delivered == 1


async def test_a_replayed_delivery_of_a_parked_lane_wakes_no_lane(house: Pipeline) -> None:
    id_ = await create_rejected_delivery(house)
    await house.app.integrations.park("acme", "token_revoked", "reason", Hint.of("hint"), probe_s=60)
    await again(house, id_)
    assert house.awake == []


async def test_a_replayed_entry_goes_back_into_the_stream(house: Pipeline) -> None:
    [id_] = await create_dead_letters(house)
    assert await again(house, id_) is BulkOutcome.DONE
    await house.ingest()
    assert len(await house.dead()) == 1
    assert (await house.balance()).rejected == 1


async def test_an_id_that_is_not_a_dead_letter_is_not_replayed(house: Pipeline) -> None:
    assert await again(house, "nothing") is BulkOutcome.UNKNOWN


async def test_two_replays_of_one_dead_letter_replay_it_once(house: Pipeline) -> None:
    id_ = await create_rejected_delivery(house)
    letters = house.app.dead_letters
    letter = await letters.find(id_)
    assert letter is not None
    find = letters.find

    async def found_before(_: str) -> DeadLetter:
        letters.find = find  # type: ignore[method-assign]
        return letter

    await again(house, id_)
    letters.find = found_before  # type: ignore[method-assign]
    assert await again(house, id_) is BulkOutcome.ALREADY_DONE
    assert (await house.balance()).pending == 1
