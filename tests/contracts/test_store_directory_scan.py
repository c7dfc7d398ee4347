"""Scans of the directory: one worker at a time, page by page, and the result replaces the directory in one step."""

import itertools

import pytest
from support.store import World

from worker.domain.integration import Conversation, ListingCursor

ALERTS = Conversation("C1", "alerts", is_member=True)
OLD = Conversation("C2", "old", is_archived=True, is_private=True)
NEXT = ListingCursor(cursor="next", pages=1)


async def test_one_worker_scans_the_directory_at_a_time(world: World):
    assert await world.directory.claim_scan("ops", "one") == ListingCursor()
    assert await world.directory.claim_scan("ops", "two") is None
    assert await world.directory.claim_scan("dev", "two") == ListingCursor()
    await world.directory.release_scan("ops", "two")
    assert await world.directory.renew_scan("ops", "one")
    await world.directory.release_scan("ops", "one")
    assert await world.directory.claim_scan("ops", "two") == ListingCursor()
    assert not await world.directory.renew_scan("ops", "one")


async def test_a_claim_expires_after_its_worker_died(world: World):
    await world.directory.claim_scan("ops", "one")
    assert 0 < await world.redis.pttl("t:lock:directory:ops") <= 30_000
    await world.redis.delete("t:lock:directory:ops")
    assert not await world.directory.renew_scan("ops", "one")
    assert await world.redis.exists("t:lock:directory:ops") == 0


async def test_the_progress_of_a_scan_is_known_while_its_claim_lasts(world: World):
    await world.directory.claim_scan("ops", "one")
    assert (await world.directory.get_status("ops")).scanned_channels == 0
    assert await world.directory.save_scanned_page("ops", "one", [ALERTS, OLD], NEXT) == 2
    assert (await world.directory.get_status("ops")).scanned_channels == 2
    assert await world.directory.save_scanned_page("ops", "one", [OLD], NEXT) == 2
    await world.directory.release_scan("ops", "one")
    assert (await world.directory.get_status("ops")).scanned_channels is None


async def test_an_unfinished_scan_does_not_change_the_directory(world: World):
    await world.read([ALERTS])
    await world.half_read([OLD])
    assert await world.directory.list_channels("ops") == [ALERTS]
    assert await world.directory.find_by_name("ops", "old") is None
    assert await world.directory.finish_scan("ops", "half")
    assert await world.directory.list_channels("ops") == [OLD]
    assert await world.directory.find_by_name("ops", "alerts") is None
    assert (await world.directory.get_status("ops")).pages == 1


async def test_a_scan_without_channels_leaves_an_empty_directory(world: World):
    await world.read([ALERTS])
    await world.read([])
    assert await world.directory.list_channels("ops") == []
    assert await world.directory.find_by_name("ops", "alerts") is None
    assert (await world.directory.get_status("ops")).age_s is not None


async def test_an_interrupted_scan_continues_at_its_cursor(world: World):
    place = ListingCursor(private=True, cursor="dGVhbTpDMDI=", pages=7)
    await world.half_read([OLD], place)
    await world.directory.release_scan("ops", "half")
    assert await world.directory.claim_scan("ops", "two") == place
    await world.directory.save_scanned_page("ops", "two", [ALERTS], ListingCursor(pages=8))
    assert await world.directory.finish_scan("ops", "two")
    assert await world.directory.list_channels("ops") == [ALERTS, OLD]


async def test_an_interrupted_scan_starts_again_after_a_while_without_its_old_pages(world: World):
    await world.half_read([OLD])
    await world.directory.release_scan("ops", "half")
    assert 0 < await world.redis.pttl("t:directory:ops:reading:place") <= 180_000
    for part in ("names", "channels"):  # never before the place
        assert await world.redis.pttl(f"t:directory:ops:reading:{part}") > 180_000
    await world.redis.delete("t:directory:ops:reading:place")  # its time is up
    await world.read([ALERTS])
    assert await world.directory.list_channels("ops") == [ALERTS]
    assert await world.directory.find_by_name("ops", "old") is None


async def test_the_directory_does_not_expire(world: World):
    await world.read([ALERTS])
    assert await world.redis.ttl("t:directory:ops:channels") == -1
    assert await world.redis.ttl("t:directory:ops:names") == -1
    assert await world.redis.keys("t:directory:ops:reading:*") == []


async def test_a_worker_that_lost_its_claim_saves_no_page_and_finishes_no_scan(world: World):
    await world.half_read([OLD])
    await world.redis.set("t:lock:directory:ops", "another")
    assert await world.directory.save_scanned_page("ops", "half", [ALERTS], NEXT) is None
    assert not await world.directory.finish_scan("ops", "half")
    assert await world.directory.list_channels("ops") == []
    assert await world.redis.hlen("t:directory:ops:reading:channels") == 1


async def test_a_scan_step_done_twice_changes_nothing(world: World):
    await world.directory.claim_scan("ops", "one")
    for _ in range(2):
        assert await world.directory.save_scanned_page("ops", "one", [ALERTS], NEXT) == 1
    for _ in range(2):
        assert await world.directory.finish_scan("ops", "one")
    assert await world.directory.list_channels("ops") == [ALERTS]
    assert (await world.directory.get_status("ops")).pages == 1


SHARED = (
    Conversation("C1", "shared", is_member=True),
    Conversation("C2", "shared", is_member=True, is_archived=True),
    Conversation("C3", "shared"),
    Conversation("C4", "shared", is_archived=True),
)


@pytest.mark.parametrize("order", list(itertools.permutations(SHARED)))
async def test_a_name_of_several_channels_finds_the_one_the_bot_can_post_to(
    world: World, order: tuple[Conversation, ...]
):
    await world.read(order[:1], order[1:])
    assert await world.directory.find_by_name("ops", "shared") == SHARED[0]
    assert len(await world.directory.list_channels("ops")) == 4


async def test_a_channel_listed_twice_has_its_later_state(world: World):
    await world.read([SHARED[0]], [Conversation("C1", "shared", is_archived=True)])
    assert await world.directory.find_by_name("ops", "shared") == Conversation("C1", "shared", is_archived=True)


async def test_a_scan_of_twenty_thousand_channels_is_saved(large_world: World):
    many = [Conversation(f"C{n:08}", f"channel-{n}", is_member=n % 2 == 0) for n in range(20_000)]
    await large_world.read(*(many[start : start + 999] for start in range(0, 20_000, 999)))
    assert await large_world.directory.find_by_name("ops", "channel-19999") == many[-1]
    assert len(await large_world.directory.list_channels("ops")) == 20_000
