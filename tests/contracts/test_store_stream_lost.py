"""Entries that are removed before ingest reads them are counted, each once, on a real server."""

import random
from collections.abc import AsyncIterator, Sequence

import pytest
from support.store import GROUP, STREAM, World

from worker.domain.event import Kind
from worker.store.events import AcceptedEvent
from worker.store.ledger import take_ledger_snapshot
from worker.store.redis_client import Client


@pytest.fixture
async def store(real: Client) -> AsyncIterator[World]:
    store = World(real)
    await store.stream().create_group()
    yield store
    await store.server.aclose()


async def publish(store: World, count: int) -> list[str]:
    return [(await store.redis.xadd(STREAM, {"event": str(number)})).decode() for number in range(count)]


async def accept(store: World, entry_ids: Sequence[str]) -> None:
    accepted = [AcceptedEvent(f"{id_}.src", id_, Kind.ALERT, False, "no subscription") for id_ in entry_ids]
    await store.events.accept(STREAM, GROUP, accepted)


async def lost(store: World) -> int:
    return (await take_ledger_snapshot(store.server)).balance.lost


async def test_entries_trimmed_before_they_were_read_are_lost_once(store: World) -> None:
    assert await store.stream().count_lost() == 0
    await publish(store, 5)
    await store.redis.xtrim(STREAM, maxlen=2, approximate=False)
    assert await store.stream().count_lost() == 3
    assert await store.stream().count_lost() == 0
    assert await lost(store) == 3


async def test_what_was_removed_before_the_first_start_is_not_lost(store: World) -> None:
    await publish(store, 5)
    await store.redis.xtrim(STREAM, maxlen=2, approximate=False)
    assert await store.stream().count_lost() == 0
    await store.redis.xtrim(STREAM, maxlen=0, approximate=False)
    assert await store.stream().count_lost() == 2


async def test_rejected_entries_and_entries_in_progress_are_not_lost(store: World) -> None:
    stream = store.stream()
    await stream.count_lost()
    await publish(store, 4)
    first, *_ = await stream.read(limit=3, wait_ms=1)
    await store.events.reject(STREAM, GROUP, first.id, first.fields, "unreadable")
    assert await stream.count_lost() == 0
    await store.redis.xtrim(STREAM, maxlen=0, approximate=False)
    assert await stream.count_lost() == 1, "the entry that was not read"


async def test_a_stream_that_begins_anew_keeps_what_was_lost_before(store: World) -> None:
    await store.stream().count_lost()
    await publish(store, 9)
    await store.redis.xtrim(STREAM, maxlen=0, approximate=False)
    assert await store.stream().count_lost() == 9
    await store.redis.delete(STREAM)
    assert await store.stream().count_lost() == 0
    await store.stream().create_group()
    await publish(store, 2)
    assert await store.stream().count_lost() == 0
    await store.redis.xtrim(STREAM, maxlen=0, approximate=False)
    assert await store.stream().count_lost() == 2
    assert await lost(store) == 11


@pytest.mark.parametrize("seed", range(30))
async def test_in_any_order_of_steps_exactly_the_unread_entries_are_lost(store: World, seed: int) -> None:
    chance, stream = random.Random(seed), store.stream()  # a test's choice
    await stream.count_lost()
    unread: list[str] = []
    in_progress: list[str] = []
    expected = 0
    for _ in range(60):
        match chance.randrange(6):
            case 0 | 1:
                unread += await publish(store, chance.randint(1, 5))
            case 2:
                read = [entry.id for entry in await stream.read(limit=chance.randint(1, 6), wait_ms=1)]
                assert read == unread[: len(read)]
                del unread[: len(read)]
                in_progress += read
            case 3:
                await accept(store, in_progress)
                in_progress = []
            case 4:
                await stream.trim()
            case 5:
                keep = chance.randint(0, 6)
                await store.redis.xtrim(STREAM, maxlen=keep, approximate=False)
                expected += max(len(unread) - keep, 0)
                unread = unread[max(len(unread) - keep, 0) :]
        await stream.count_lost()
    await accept(store, in_progress)
    await stream.read(limit=100, wait_ms=1)
    await stream.count_lost()
    assert await lost(store) == expected
