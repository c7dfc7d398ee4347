"""Times and spans: read as people write them, or answered with how to."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from worker.asking.moments import moment_ms, span_ms, written_moment

NOW_MS = int(datetime(2026, 11, 24, 19, 30, tzinfo=UTC).timestamp() * 1000)


@pytest.fixture
def in_stockholm() -> Iterator[None]:
    """This machine's clock is a Swedish one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "Europe/Stockholm")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("30m", 1800), ("2h", 7200), ("3d", 259_200), ("1h30m", 5400), ("1 d 2 H", 93_600), ("90m", 5400)],
)
def test_spans(written: str, seconds: int) -> None:
    assert span_ms(written) == seconds * 1000


@pytest.mark.parametrize(
    "written", ["", "2", "h", "0m", "-2h", "2 weeks", "1.5h", "9999999m", "4000d", "2h3d"]
)
def test_what_is_no_span_is_answered_with_how_to_write_one(written: str) -> None:
    with pytest.raises(ValueError, match="write 30m, 2h, 3d or 1h30m"):
        span_ms(written)


@pytest.mark.usefixtures("in_stockholm")
@pytest.mark.parametrize(
    ("written", "utc"),
    [
        ("2026-11-25 08:00", "2026-11-25T07:00:00Z"),
        ("2026-11-25T08:00+05:00", "2026-11-25T03:00:00Z"),
        ("2026-11-25T08:00:00Z", "2026-11-25T08:00:00Z"),
        ("2026-07-01 08:00", "2026-07-01T06:00:00Z"),
        ("2026-11-25", "2026-11-24T23:00:00Z"),
        ("08:00", "2026-11-25T07:00:00Z"),
        ("21:00", "2026-11-24T20:00:00Z"),
        ("20:30", "2026-11-25T19:30:00Z"),
    ],
)
def test_moments(written: str, utc: str) -> None:
    assert written_moment(moment_ms(written, NOW_MS)) == utc


@pytest.mark.parametrize(
    "written",
    [
        "", "tomorrow", "25:00", "8", "2026-13-01 08:00", "2026-11-25 8 o'clock",
        "9999-12-31T23:59:59-12:00", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00",
    ],
)  # fmt: skip
def test_what_is_no_time_is_answered_with_how_to_write_one(written: str) -> None:
    with pytest.raises(ValueError, match="write '2026-11-25 08:00' or"):
        moment_ms(written, NOW_MS)


def test_in_a_file_a_time_of_day_says_too_little() -> None:
    with pytest.raises(ValueError, match="is no time"):
        moment_ms("08:00")


def test_no_moment_is_written_as_nothing() -> None:
    assert written_moment(0) == ""
