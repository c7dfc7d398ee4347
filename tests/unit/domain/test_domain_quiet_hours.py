"""Quiet hours by local time, also in the nights when the clocks change."""

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest

from worker.domain.quiet_hours import format_quiet_reason, parse_times, quiet_hours_end_ms

STOCKHOLM = ZoneInfo("Europe/Stockholm")


def ms(written: str, zone: ZoneInfo = STOCKHOLM, fold: int = 0) -> int:
    return int(datetime.fromisoformat(written).replace(tzinfo=zone, fold=fold).timestamp() * 1000)


def until(hours: str, now_ms: int) -> str:
    """Return the end of the quiet hours in UTC, empty outside of them."""
    end_ms = quiet_hours_end_ms(hours, "Europe/Stockholm", now_ms)
    return f"{datetime.fromtimestamp(end_ms / 1000, UTC):%m-%d %H:%M:%S}" if end_ms else ""


@pytest.mark.parametrize(
    ("hours", "now", "end"),
    [
        ("22:00-07:00", "2026-11-24T21:59:59.999", ""),
        ("22:00-07:00", "2026-11-24T22:00", "11-25 06:00:00"),
        ("22:00-07:00", "2026-11-24T23:59", "11-25 06:00:00"),
        ("22:00-07:00", "2026-11-25T00:00", "11-25 06:00:00"),
        ("22:00-07:00", "2026-11-25T06:59:59.999", "11-25 06:00:00"),
        ("22:00-07:00", "2026-11-25T07:00", ""),
        ("12:30-13:15", "2026-11-25T12:29", ""),
        ("12:30-13:15", "2026-11-25T12:30", "11-25 12:15:00"),
        ("12:30-13:15", "2026-11-25T13:15", ""),
        ("22:00-00:00", "2026-12-31T23:00", "12-31 23:00:00"),
        ("00:00-06:00", "2026-07-01T00:00", "07-01 04:00:00"),
    ],
)
def test_quiet_hours_end_at_the_next_occurrence_of_the_end(hours: str, now: str, end: str) -> None:
    assert until(hours, ms(now)) == end


def test_quiet_hours_are_an_hour_shorter_when_the_clocks_go_forward() -> None:
    assert until("22:00-07:00", ms("2026-03-28T23:00")) == "03-29 05:00:00"
    assert ms("2026-03-29T07:00") - ms("2026-03-28T22:00") == 8 * 3_600_000


def test_quiet_hours_are_an_hour_longer_when_the_clocks_go_back() -> None:
    assert until("22:00-07:00", ms("2026-10-24T23:00")) == "10-25 06:00:00"


def test_a_skipped_end_moves_to_the_end_of_the_gap() -> None:
    assert until("22:00-02:30", ms("2026-03-29T01:00")) == "03-29 01:30:00"
    assert until("22:00-02:30", ms("2026-03-29T03:00")) == "", "02:30 is over by the clock on the wall"


def test_an_ambiguous_end_is_its_next_occurrence() -> None:
    assert until("22:00-02:30", ms("2026-10-25T01:00")) == "10-25 00:30:00"
    assert until("22:00-02:30", ms("2026-10-25T02:10", fold=1)) == "10-25 01:30:00"


@pytest.mark.parametrize("written", ["", "22:00", "22-7", "22:00-22:00", "24:00-07:00", "22:60-07:00", "night"])
def test_a_text_that_is_not_a_period_is_rejected_with_an_example(written: str) -> None:
    with pytest.raises(ValueError, match="write 22:00-07:00"):
        quiet_hours_end_ms(written, "UTC", 0)


def test_spaces_and_missing_zeros_are_accepted() -> None:
    assert parse_times(" 9:05 – 17:00 ") == (time(9, 5), time(17))


@pytest.mark.parametrize("zone", ["", "Europe/Nowhere", "../etc/passwd", "a\0b", "Europe"])
def test_an_unknown_time_zone_is_rejected_with_the_fix(zone: str) -> None:
    with pytest.raises(ValueError, match=r"does not know the time zone .* tzdata"):
        quiet_hours_end_ms("22:00-07:00", zone, 0)


def test_the_reason_has_the_end_in_the_subscriptions_time_zone() -> None:
    at_ms = ms("2026-11-25T07:00")
    assert format_quiet_reason(at_ms, "Europe/Stockholm") == "held: quiet hours until 07:00 (Europe/Stockholm)"
    assert format_quiet_reason(at_ms, "") == "held: quiet hours until 06:00 (UTC)"
