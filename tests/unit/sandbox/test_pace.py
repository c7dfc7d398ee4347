"""How fast Slack lets things be done."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.sandbox.pace import TOLERANCE_S, Allowance, TooFast


def test_a_second_post_within_the_second_is_refused_with_whole_seconds():
    posts = Allowance(1.0)
    posts.take("C1", 10.0)
    with pytest.raises(TooFast) as refused:
        posts.take("C1", 10.5)
    assert refused.value.retry_after_s == 1


def test_channels_do_not_share_an_allowance():
    posts = Allowance(1.0)
    posts.take("C1", 10.0)
    assert posts.take("C2", 10.0) is False


def test_a_refusal_costs_nothing():
    posts = Allowance(1.0)
    posts.take("C1", 10.0)
    for _ in range(5):
        with pytest.raises(TooFast):
            posts.take("C1", 10.1)
    assert posts.take("C1", 11.0) is False


def test_what_only_the_burst_allows_is_said_to_be():
    posts = Allowance(1.0, burst=3)
    assert [posts.take("C1", 10.0) for _ in range(3)] == [False, True, True]
    with pytest.raises(TooFast):
        posts.take("C1", 10.0)


def test_no_rate_is_no_limit():
    posts = Allowance(0)
    assert not any(posts.take("C1", 10.0) for _ in range(100))


@given(st.lists(st.floats(0, 3), max_size=60))
def test_no_window_ever_holds_more_than_the_rate(gaps):
    posts, now_s, taken = Allowance(1.0), 0.0, []
    for gap in gaps:
        now_s += gap
        try:
            posts.take("C1", now_s)
        except TooFast:
            continue
        taken.append(now_s)
    for first, start in enumerate(taken):
        for last, end in enumerate(taken[first:], first):
            assert last - first <= (end - start) + TOLERANCE_S + 1e-6
