"""Quiet hours: by the clock on the wall, also on the two nights a year when that is set anew."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from worker.domain.quiet import in_words, quiet_hours

STOCKHOLM = ZoneInfo("Europe/Stockholm")


def ms(written: str, zone: ZoneInfo = STOCKHOLM, fold: int = 0) -> int:
    return int(datetime.fromisoformat(written).replace(tzinfo=zone, fold=fold).timestamp() * 1000)


def until(hours: str, now_ms: int) -> str:
    """When they end, in UTC; nothing when it is not quiet."""
    end_ms = quiet_hours(hours, "Europe/Stockholm").until_ms(now_ms)
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
def test_they_end_at_the_next_such_time_of_day(hours: str, now: str, end: str) -> None:
    assert until(hours, ms(now)) == end


def test_the_night_the_clocks_go_forward_is_an_hour_shorter() -> None:
    assert until("22:00-07:00", ms("2026-03-28T23:00")) == "03-29 05:00:00"
    assert ms("2026-03-29T07:00") - ms("2026-03-28T22:00") == 8 * 3_600_000


def test_the_night_they_go_back_is_an_hour_longer() -> None:
    assert until("22:00-07:00", ms("2026-10-24T23:00")) == "10-25 06:00:00"


def test_an_end_that_the_clocks_jump_over_is_after_the_jump() -> None:
    assert until("22:00-02:30", ms("2026-03-29T01:00")) == "03-29 01:30:00"
    assert until("22:00-02:30", ms("2026-03-29T03:00")) == "", "02:30 is over by the clock on the wall"


def test_an_end_that_comes_twice_is_the_next_of_the_two() -> None:
    assert until("22:00-02:30", ms("2026-10-25T01:00")) == "10-25 00:30:00"
    assert until("22:00-02:30", ms("2026-10-25T02:10", fold=1)) == "10-25 01:30:00"


@pytest.mark.parametrize(
    "written", ["", "22:00", "22-7", "22:00-22:00", "24:00-07:00", "22:60-07:00", "night"]
)
def test_what_are_no_hours_is_answered_with_how_to_write_them(written: str) -> None:
    with pytest.raises(ValueError, match="write 22:00-07:00"):
        quiet_hours(written, "UTC")


def test_hours_are_written_in_one_way() -> None:
    assert str(quiet_hours(" 9:05 – 17:00 ", "UTC")) == "09:05-17:00"


@pytest.mark.parametrize("zone", ["", "Europe/Nowhere", "../etc/passwd", "a\0b", "Europe"])
def test_an_unknown_zone_says_how_to_make_it_known(zone: str) -> None:
    with pytest.raises(ValueError, match=r"knows no time zone .* tzdata"):
        quiet_hours("22:00-07:00", zone)


def test_until_when_is_said_by_the_clocks_there() -> None:
    at_ms = ms("2026-11-25T07:00")
    assert in_words(at_ms, "Europe/Stockholm") == "held: quiet hours until 07:00 (Europe/Stockholm)"
    assert in_words(at_ms, "") == "held: quiet hours until 06:00 (UTC)"
