"""Checks of the addresses in the settings. No error quotes an address, which may contain a password."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import unquote, urlsplit

ENCODE = "in a user name or password write # as %23, / as %2F, ? as %3F, [ as %5B, @ as %40 and % as %25"
_HOST = r"(?:\[[0-9A-Fa-f:.%]+\]|[^\s:/?#\[\]@,]+)"
_SERVER = re.compile(rf"{_HOST}?(?::(?P<port>[0-9]{{1,5}}))?(?:/(?P<path>[^\s/?#\[\]]*))?(?:\?[^\s#\[\]?]*)?")
_PAIR = re.compile(r"[A-Za-z_]+=[^&=]*(?:&[A-Za-z_]+=[^&=]*)*")
MAX_PORT = 65_535
SENTINEL_SCHEME = "sentinel://"
SENTINEL_PORT = 26379
SENTINEL_FORM = "sentinel://[user:password@]host:26379,host2:26379/SERVICE[/DB]"
_SENTINEL = re.compile(r"(?:\[([^]]+)\]|([^:]+))(?::(\d*))?")


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, by its own names and addresses; another name may mean any address."""
    try:
        return host.lower().rstrip(".") == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


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


@dataclass(frozen=True, slots=True)
class SentinelAddress:
    """The sentinels of a Redis, the service they monitor, and the login of that service's server."""

    hosts: tuple[tuple[str, int], ...]
    service: str
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)


def parse_sentinel(url: str) -> SentinelAddress:
    """Parse a sentinel address. Raises ValueError with the expected form, never with the address itself."""
    rest = check_login(url)
    if "?" in rest:
        raise ValueError(f"takes no parameters behind a ?, nor TLS: it must be written as {SENTINEL_FORM}")
    login = url.removeprefix(SENTINEL_SCHEME).rpartition("@")[0]
    addresses, _, path = rest.partition("/")
    service, _, db = path.partition("/")
    username, _, password = login.partition(":")
    matches = [_SENTINEL.fullmatch(host) for host in addresses.split(",") if host]
    hosts = tuple((match[1] or match[2], int(match[3] or SENTINEL_PORT)) for match in matches if match)
    if any(not 0 < port <= MAX_PORT for _, port in hosts):
        raise ValueError(f"has a port that is not between 1 and {MAX_PORT}")
    if not hosts or len(hosts) < len(matches) or not service or not (db or "0").isdecimal():
        raise ValueError(f"must be written as {SENTINEL_FORM}")
    return SentinelAddress(
        hosts=hosts,
        service=unquote(service),
        db=int(db or 0),
        username=unquote(username) or None,
        password=unquote(password) or None,
    )
