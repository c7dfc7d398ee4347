"""Telemetry: what is counted stays until it is written down, and nobody's text becomes a label."""

import pytest

from worker.telemetry import BUCKETS, OVER, SERIES_MOST, Counters


def test_what_was_taken_is_there_again_when_it_could_not_be_written_down() -> None:
    counters = Counters()
    counters.count("parkings", "lane", "is_archived")
    counters.measure("post", (0.25, 0.5))
    taken = counters.taken()
    assert (counters.counts, counters.sums) == ({}, {})
    counters.count("parkings", "lane", "is_archived")
    counters.give_back(taken)
    assert counters.counts["parkings", "lane", "is_archived"] == 2
    assert counters.sums == {"post": 0.75}


@pytest.mark.parametrize(
    ("value", "bound"),
    [(-3.0, "0.005"), (0.0, "0.005"), (0.005, "0.005"), (0.0051, "0.01"), (15.0, "15.0"), (15.1, OVER)],
)
def test_a_measurement_falls_into_the_bucket_whose_bound_it_does_not_exceed(value: float, bound: str) -> None:
    counters = Counters()
    counters.measure("post", [value])
    assert counters.counts == {("post", bound): 1}


def test_clocks_that_disagree_measure_nothing_below_zero() -> None:
    counters = Counters()
    counters.measure("event_to_post", [-5.0, 1.0])
    assert counters.sums == {"event_to_post": 1.0}


@pytest.mark.parametrize("label", ["", "a b", "a|b", 'x"}', "é", "x" * 65, "a\nb"])
def test_a_label_that_is_no_short_plain_word_counts_as_other(label: str) -> None:
    counters = Counters()
    counters.count("parkings", "lane", label)
    assert counters.counts == {("parkings", "lane", "other"): 1}


def test_more_words_than_anybody_needs_count_as_other() -> None:
    counters = Counters()
    for number in range(SERIES_MOST + 10):
        counters.count("parkings", "lane", f"code_{number}")
    assert len(counters.counts) == SERIES_MOST + 1
    assert counters.counts["parkings", "other", "other"] == 10


def test_the_bounds_of_buckets_rise() -> None:
    assert all(list(bounds) == sorted(set(bounds)) for bounds in BUCKETS.values())
