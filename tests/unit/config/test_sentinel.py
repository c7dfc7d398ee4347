"""A sentinel address is read, or refused without repeating it."""

import pytest

from config.sentinel import SentinelAddress, parse_sentinel
from config.settings import Settings, SettingsError


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("sentinel://one/main", SentinelAddress((("one", 26379),), "main")),
        ("sentinel://one:1,two:2/main/5", SentinelAddress((("one", 1), ("two", 2)), "main", 5)),
        ("sentinel://[::1]:1,[::2]/main/", SentinelAddress((("::1", 1), ("::2", 26379)), "main")),
        ("sentinel://:p%40@one/main?x=y", SentinelAddress((("one", 26379),), "main", password="p@")),
        ("sentinel://me:p@one/main", SentinelAddress((("one", 26379),), "main", username="me", password="p")),
    ],
)
def test_an_address_is_read(url: str, address: SentinelAddress) -> None:
    assert parse_sentinel(url) == address


@pytest.mark.parametrize(
    "url",
    [
        "sentinel://one",
        "sentinel:///main",
        "sentinel://one:x/main",
        "sentinel://one/main/x",
        "sentinel://:1/m",
    ],
)
def test_another_form_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match=r"^REDIS_URL: must be written as sentinel://"):
        Settings.load(redis_url=url)


def test_a_password_does_not_show() -> None:
    assert "secret" not in repr(parse_sentinel("sentinel://:secret@one/main"))
