"""Sessions: open until closed, unused for long, or a day old; and tries of a password, ever further apart."""

import pytest
from store_world import World

from worker.store.sessions import (
    IDLE_MS,
    KNOWN_S,
    LONGEST_MS,
    OF_ALL,
    OF_AN_ADDRESS,
    TRIES_COUNT_MS,
    Sessions,
)


@pytest.fixture
def sessions(world: World) -> Sessions:
    return Sessions(world.server)


async def test_only_what_was_opened_is_a_session(sessions: Sessions):
    await sessions.open("a")
    assert await sessions.is_open("a")
    assert not await sessions.is_open("b")
    await sessions.close("a")
    assert not await sessions.is_open("a")


async def test_looking_keeps_it_open_for_longer(world: World, sessions: Sessions):
    await sessions.open("a")
    await world.redis.pexpire("t:session:a", 5_000)
    assert await sessions.is_open("a")
    assert await world.redis.pttl("t:session:a") > IDLE_MS - 60_000


async def test_but_never_for_longer_than_a_day_in_all(world: World, sessions: Sessions):
    now_ms = await world.server.now_ms()
    await world.redis.set("t:session:a", now_ms - LONGEST_MS + 60_000)
    assert await sessions.is_open("a")
    assert await world.redis.pttl("t:session:a") <= 60_000
    await world.redis.set("t:session:a", now_ms - LONGEST_MS)
    assert not await sessions.is_open("a")
    assert not await world.redis.exists("t:session:a")


async def test_some_tries_are_free_and_then_each_waits_twice_as_long_up_to_a_limit(
    world: World, sessions: Sessions
):
    waits = []
    for _ in range(OF_AN_ADDRESS.free + 12):
        assert await sessions.may_try("x") == 0
        closed_until_ms = int(await world.redis.hget("t:login:of:x", "until") or 0)
        waits.append(round(max(closed_until_ms - await world.server.now_ms(), 0) / 1000))
        await world.redis.hdel("t:login:of:x", "until")  # as if it had passed
    assert waits[: OF_AN_ADDRESS.free + 3] == [0] * (OF_AN_ADDRESS.free - 1) + [1, 2, 4, 8]
    assert waits[-1] == OF_AN_ADDRESS.longest_ms / 1000


async def test_a_try_that_has_to_wait_is_not_counted(sessions: Sessions):
    for _ in range(OF_AN_ADDRESS.free):
        await sessions.may_try("x")
    found = [await sessions.may_try("x") for _ in range(5)]
    assert all(0 < wait <= 1 for wait in found)


async def test_no_wait_is_for_good(world: World, sessions: Sessions):
    for _ in range(OF_AN_ADDRESS.free):
        await sessions.may_try("x")
    assert 0 < await world.redis.pttl("t:login:of:x") <= TRIES_COUNT_MS
    assert 0 < await world.redis.pttl("t:login:all") <= TRIES_COUNT_MS


async def test_tries_from_many_addresses_wait_for_each_other(world: World, sessions: Sessions):
    found = [await sessions.may_try(f"a{number}") for number in range(OF_ALL.free + 1)]
    assert found[:-1] == [0] * OF_ALL.free
    assert 0 < found[-1] <= OF_ALL.longest_ms / 1000


async def test_who_has_logged_in_before_is_not_kept_out_by_strangers(sessions: Sessions):
    assert await sessions.may_try("mine") == 0
    await sessions.was_right("mine")
    for number in range(OF_ALL.free + 1):
        await sessions.may_try(f"a{number}")
    assert await sessions.may_try("theirs") > 0
    assert await sessions.may_try("mine") == 0


async def test_the_right_password_makes_all_tries_of_its_address_free_again(world: World, sessions: Sessions):
    for _ in range(OF_AN_ADDRESS.free - 1):
        await sessions.may_try("x")
    await sessions.was_right("x")
    assert not await world.redis.exists("t:login:of:x")
    assert 0 < await world.redis.ttl("t:login:known:x") <= KNOWN_S
    assert int(await world.redis.hget("t:login:all", "tries")) == OF_AN_ADDRESS.free - 2
