"""The rate limits of the sandbox."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.sandbox.slack.call import TOLERANCE_S, ApiError, RateLimit


def test_a_second_post_within_a_second_gets_retry_after_in_whole_seconds():
    posts = RateLimit(1.0)
    posts.take("C1", 10.0)
    with pytest.raises(ApiError, match="ratelimited") as refused:
        posts.take("C1", 10.5)
    assert refused.value.retry_after_s == 1


def test_channels_do_not_share_a_rate_limit():
    posts = RateLimit(1.0)
    posts.take("C1", 10.0)
    assert posts.take("C2", 10.0) is False


def test_a_rejected_call_takes_no_slot():
    posts = RateLimit(1.0)
    posts.take("C1", 10.0)
    for _ in range(5):
        with pytest.raises(ApiError, match="ratelimited"):
            posts.take("C1", 10.1)
    assert posts.take("C1", 11.0) is False


def test_a_slot_that_only_the_burst_allowed_is_reported():
    posts = RateLimit(1.0, burst=3)
    assert [posts.take("C1", 10.0) for _ in range(3)] == [False, True, True]
    with pytest.raises(ApiError, match="ratelimited"):
        posts.take("C1", 10.0)


def test_an_interval_of_zero_is_no_limit():
    posts = RateLimit(0)
    assert not any(posts.take("C1", 10.0) for _ in range(100))


@given(st.lists(st.floats(0, 3), max_size=60))
def test_no_window_ever_holds_more_than_the_rate(gaps):
    posts, now_s, taken = RateLimit(1.0), 0.0, []
    for gap in gaps:
        now_s += gap
        try:
            posts.take("C1", now_s)
        except ApiError:
            continue
        taken.append(now_s)
    for first, start in enumerate(taken):
        for last, end in enumerate(taken[first:], first):
            assert last - first <= (end - start) + TOLERANCE_S + 1e-6
