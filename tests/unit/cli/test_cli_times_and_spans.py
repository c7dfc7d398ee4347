"""Times and spans: parsed, or rejected with examples."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from worker.services.formatting import format_stored_time, parse_span_ms, parse_time_ms

NOW_MS = int(datetime(2026, 11, 24, 19, 30, tzinfo=UTC).timestamp() * 1000)


@pytest.fixture
def in_stockholm() -> Iterator[None]:
    """Set the local time zone to Stockholm."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "Europe/Stockholm")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("30m", 1800), ("2h", 7200), ("3d", 259_200), ("1h30m", 5400), ("1 d 2 H", 93_600), ("90m", 5400)],
)
def test_a_span_is_parsed(written: str, seconds: int) -> None:
    assert parse_span_ms(written) == seconds * 1000


@pytest.mark.parametrize("written", ["", "2", "h", "0m", "-2h", "2 weeks", "1.5h", "9999999m", "4000d", "2h3d"])
def test_an_invalid_span_is_an_error_with_examples(written: str) -> None:
    with pytest.raises(ValueError, match="write 30m, 2h, 3d or 1h30m"):
        parse_span_ms(written)


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
def test_a_time_is_parsed(written: str, utc: str) -> None:
    assert format_stored_time(parse_time_ms(written, NOW_MS)) == utc


@pytest.mark.parametrize(
    "written",
    [
        "", "tomorrow", "25:00", "8", "2026-13-01 08:00", "2026-11-25 8 o'clock",
        "9999-12-31T23:59:59-12:00", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00",
    ],
)  # fmt: skip
def test_an_invalid_time_is_an_error_with_examples(written: str) -> None:
    with pytest.raises(ValueError, match="write '2026-11-25 08:00' or"):
        parse_time_ms(written, NOW_MS)


def test_a_time_of_day_is_invalid_in_a_file() -> None:
    with pytest.raises(ValueError, match="is not a time"):
        parse_time_ms("08:00")


def test_a_missing_time_is_written_as_an_empty_text() -> None:
    assert format_stored_time(0) == ""
