"""A sentinel address is parsed, or rejected without repeating it."""

import pytest

from config.addresses import SentinelAddress, parse_sentinel
from config.settings import Settings, SettingsError


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("sentinel://one/main", SentinelAddress((("one", 26379),), "main")),
        ("sentinel://one:1,two:2/main/5", SentinelAddress((("one", 1), ("two", 2)), "main", 5)),
        ("sentinel://[::1]:1,[::2]/main/", SentinelAddress((("::1", 1), ("::2", 26379)), "main")),
        ("sentinel://:p%40@one/main", SentinelAddress((("one", 26379),), "main", password="p@")),
        ("sentinel://me:p@one/main", SentinelAddress((("one", 26379),), "main", username="me", password="p")),
    ],
)
def test_a_sentinel_address_is_parsed(url: str, address: SentinelAddress) -> None:
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
def test_an_invalid_sentinel_address_is_rejected(url: str) -> None:
    with pytest.raises(SettingsError, match=r"^REDIS_URL: must be written as sentinel://"):
        Settings.load(redis_url=url)


@pytest.mark.parametrize("url", ["sentinel://one/main?ssl=true", "sentinel://:a#b@one/m", "sentinel://one:70000/m"])
def test_what_a_sentinel_address_cannot_hold_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match=r"^REDIS_URL: (takes no parameters|has a character|has a port)"):
        Settings.load(redis_url=url)


def test_the_repr_of_a_sentinel_address_has_no_password() -> None:
    assert "secret" not in repr(parse_sentinel("sentinel://:secret@one/main"))
