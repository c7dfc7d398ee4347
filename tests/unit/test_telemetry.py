"""Counters keep their counts until these are saved, and no text of an event becomes a label."""

import pytest

from worker.telemetry import BUCKETS, MAX_SERIES, OVER, Counters


def test_restored_counts_are_added_to_new_ones() -> None:
    counters = Counters()
    counters.increment("parkings", "lane", "is_archived")
    counters.observe("post", (0.25, 0.5))
    taken = counters.take()
    assert (counters.counts, counters.sums) == ({}, {})
    counters.increment("parkings", "lane", "is_archived")
    counters.restore(taken)
    assert counters.counts["parkings", "lane", "is_archived"] == 2
    assert counters.sums == {"post": 0.75}


@pytest.mark.parametrize(
    ("value", "bound"),
    [(-3.0, "0.005"), (0.0, "0.005"), (0.005, "0.005"), (0.0051, "0.01"), (15.0, "15.0"), (15.1, OVER)],
)
def test_an_observation_counts_in_the_first_bucket_whose_bound_it_does_not_exceed(value: float, bound: str) -> None:
    counters = Counters()
    counters.observe("post", [value])
    assert counters.counts == {("post", bound): 1}


def test_a_negative_observation_counts_as_zero() -> None:
    counters = Counters()
    counters.observe("event_to_post", [-5.0, 1.0])
    assert counters.sums == {"event_to_post": 1.0}


@pytest.mark.parametrize("label", ["", "a b", "a|b", 'x"}', "é", "x" * 65, "a\nb"])
def test_a_label_that_is_not_a_short_plain_word_counts_as_other(label: str) -> None:
    counters = Counters()
    counters.increment("parkings", "lane", label)
    assert counters.counts == {("parkings", "lane", "other"): 1}


def test_series_beyond_the_maximum_count_as_other() -> None:
    counters = Counters()
    for number in range(MAX_SERIES + 10):
        counters.increment("parkings", "lane", f"code_{number}")
    assert len(counters.counts) == MAX_SERIES + 1
    assert counters.counts["parkings", "other", "other"] == 10


def test_the_bounds_of_buckets_are_sorted() -> None:
    assert all(list(bounds) == sorted(set(bounds)) for bounds in BUCKETS.values())
