"""Sessions end when closed, idle or a day old; login attempts wait longer each time."""

import pytest
from support.store import World

from worker.store.sessions import (
    ATTEMPTS_COUNT_MS,
    IDLE_MS,
    KNOWN_S,
    LIFE_MS,
    PASSWORD_LIMIT,
    TOKEN_LIMIT,
    LoginThrottle,
    Sessions,
)


@pytest.fixture
def throttle(world: World) -> LoginThrottle:
    return LoginThrottle(world.server)


@pytest.fixture
def sessions(world: World) -> Sessions:
    return Sessions(world.server)


async def test_only_an_opened_session_is_open(sessions: Sessions):
    await sessions.open("a")
    assert await sessions.is_open("a")
    assert not await sessions.is_open("b")
    await sessions.close("a")
    assert not await sessions.is_open("a")


async def test_using_a_session_extends_it(world: World, sessions: Sessions):
    await sessions.open("a")
    await world.redis.pexpire("t:session:a", 5_000)
    assert await sessions.is_open("a")
    assert await world.redis.pttl("t:session:a") > IDLE_MS - 60_000


async def test_a_session_lasts_at_most_a_day(world: World, sessions: Sessions):
    now_ms = await world.server.now_ms()
    await world.redis.set("t:session:a", now_ms - LIFE_MS + 60_000)
    assert await sessions.is_open("a")
    assert await world.redis.pttl("t:session:a") <= 60_000
    await world.redis.set("t:session:a", now_ms - LIFE_MS)
    assert not await sessions.is_open("a")
    assert not await world.redis.exists("t:session:a")


async def test_login_attempts_wait_twice_as_long_each_after_some_free_ones_up_to_a_limit(
    world: World, throttle: LoginThrottle
):
    waits = []
    for _ in range(PASSWORD_LIMIT.free + 12):
        assert await throttle.book_attempt("x", PASSWORD_LIMIT) == 0
        closed_until_ms = int(await world.redis.hget("t:login:of:x", "until") or 0)
        waits.append(round(max(closed_until_ms - await world.server.now_ms(), 0) / 1000))
        await world.redis.hdel("t:login:of:x", "until")  # as if it had passed
    assert waits[: PASSWORD_LIMIT.free + 3] == [0] * (PASSWORD_LIMIT.free - 1) + [1, 2, 4, 8]
    assert waits[-1] == PASSWORD_LIMIT.max_wait_ms / 1000


async def test_a_login_attempt_that_must_wait_is_not_counted(throttle: LoginThrottle):
    for _ in range(PASSWORD_LIMIT.free):
        await throttle.book_attempt("x", PASSWORD_LIMIT)
    found = [await throttle.book_attempt("x", PASSWORD_LIMIT) for _ in range(5)]
    assert all(0 < wait <= 1 for wait in found)


async def test_every_login_wait_ends(world: World, throttle: LoginThrottle):
    for _ in range(PASSWORD_LIMIT.free):
        await throttle.book_attempt("x", PASSWORD_LIMIT)
    assert 0 < await world.redis.pttl("t:login:of:x") <= ATTEMPTS_COUNT_MS
    assert 0 < await world.redis.pttl("t:login:all") <= ATTEMPTS_COUNT_MS


async def test_login_attempts_from_many_addresses_share_a_limit(world: World, throttle: LoginThrottle):
    found = [await throttle.book_attempt(f"a{number}", PASSWORD_LIMIT) for number in range(PASSWORD_LIMIT.all_free + 1)]
    assert found[:-1] == [0] * PASSWORD_LIMIT.all_free
    assert 0 < found[-1] <= PASSWORD_LIMIT.all_max_wait_ms / 1000


async def test_an_address_that_logged_in_before_is_not_limited_by_other_addresses(throttle: LoginThrottle):
    assert await throttle.book_attempt("mine", PASSWORD_LIMIT) == 0
    await throttle.record_success("mine", PASSWORD_LIMIT)
    for number in range(PASSWORD_LIMIT.all_free + 1):
        await throttle.book_attempt(f"a{number}", PASSWORD_LIMIT)
    assert await throttle.book_attempt("theirs", PASSWORD_LIMIT) > 0
    assert await throttle.book_attempt("mine", PASSWORD_LIMIT) == 0


async def test_the_right_password_resets_the_login_wait_of_its_address(world: World, throttle: LoginThrottle):
    for _ in range(PASSWORD_LIMIT.free - 1):
        await throttle.book_attempt("x", PASSWORD_LIMIT)
    await throttle.record_success("x", PASSWORD_LIMIT)
    assert not await world.redis.exists("t:login:of:x")
    assert 0 < await world.redis.ttl("t:login:known:x") <= KNOWN_S
    assert int(await world.redis.hget("t:login:all", "tries")) == PASSWORD_LIMIT.free - 2


async def test_logins_of_a_known_address_leave_the_attempts_of_all_addresses_as_they_are(
    world: World, throttle: LoginThrottle
):
    await throttle.book_attempt("guesser", PASSWORD_LIMIT)
    for _ in range(5):
        await throttle.book_attempt("mine", PASSWORD_LIMIT)
        await throttle.record_success("mine", PASSWORD_LIMIT)
        assert int(await world.redis.hget("t:login:all", "tries")) == 1
    await world.redis.delete("t:login:all")
    await throttle.record_success("new", PASSWORD_LIMIT)
    assert int(await world.redis.hget("t:login:all", "tries") or 0) == 0


async def test_the_login_wait_of_an_address_is_read_without_an_attempt(throttle: LoginThrottle):
    assert await throttle.wait_s("x", TOKEN_LIMIT) == 0
    for _ in range(TOKEN_LIMIT.free + 2):
        await throttle.book_attempt("x", TOKEN_LIMIT)
    assert 0 < await throttle.wait_s("x", TOKEN_LIMIT) <= TOKEN_LIMIT.max_wait_ms / 1000
    assert await throttle.wait_s("y", TOKEN_LIMIT) == 0
