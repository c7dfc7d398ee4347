"""Checks of the addresses in the settings. No error quotes an address, which may contain a password."""

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

ENCODE = "in a user name or password write # as %23, / as %2F, ? as %3F, [ as %5B, @ as %40 and % as %25"
_HOST = r"(?:\[[0-9A-Fa-f:.%]+\]|[^\s:/?#\[\]@,]+)"
_SERVER = re.compile(rf"{_HOST}?(?::(?P<port>[0-9]{{1,5}}))?(?:/(?P<path>[^\s/?#\[\]]*))?(?:\?[^\s#\[\]?]*)?")
_PAIR = re.compile(r"[A-Za-z_]+=[^&=]*(?:&[A-Za-z_]+=[^&=]*)*")
MAX_PORT = 65_535


def check_login(address: str) -> str:
    """Return an address without scheme and login; raise ValueError when the login has unencoded characters."""
    login, _, rest = address.partition("://")[2].rpartition("@")
    if re.search(r"[\s#/?\[\]]", login):
        raise ValueError(f"has a character in its login that must be encoded: {ENCODE}")
    return rest


def check_server_address(address: str, schemes: Sequence[str], form: str, path: str) -> str:
    """Return an address like `redis://…`; raise ValueError when it has another form.

    `path` is a regular expression of what may come between the last `/` and the parameters.
    """
    if not address.startswith(tuple(schemes)):
        raise ValueError(f"must start with {', '.join(schemes)}")
    match = _SERVER.fullmatch(check_login(address))
    if match is None or not re.fullmatch(path, match["path"] or ""):
        raise ValueError(f"must be written as {form}; {ENCODE}")
    if match["port"] and not 0 < int(match["port"]) <= MAX_PORT:
        raise ValueError(f"has a port that is not between 1 and {MAX_PORT}")
    query = address.partition("?")[2]
    if query and not _PAIR.fullmatch(query):
        raise ValueError(f"must have its parameters written as ?name=value&name=value; {ENCODE}")
    return address


def check_web_address(address: str) -> str:
    """Return an address of the web without its last slashes; raise ValueError when it is none."""
    if not address.startswith(("https://", "http://")):
        raise ValueError("must start with https:// or http://")
    if re.search(r"[\s#?\\]", address) or "@" in address.partition("://")[2].partition("/")[2]:
        raise ValueError(f"must have no #, ?, space, and no @ after the host; {ENCODE}")
    try:
        parts = urlsplit(address)
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError:  # half of an IPv6 address, or a port that is not a number
        has_host = False
    if not has_host:
        raise ValueError("must name a host and at most a port, such as https://example.com:8443")
    return address.rstrip("/")
