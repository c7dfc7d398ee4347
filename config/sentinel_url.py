"""The address of a Redis behind sentinels: `sentinel://[user:password@]host:26379,host2:26379/SERVICE[/DB]`."""

import re
from dataclasses import dataclass, field
from urllib.parse import unquote

from config.addresses import MAX_PORT, check_login

SCHEME = "sentinel://"
DEFAULT_PORT = 26379
FORM = "sentinel://[user:password@]host:26379,host2:26379/SERVICE[/DB]"
HOST = re.compile(r"(?:\[([^]]+)\]|([^:]+))(?::(\d*))?")


@dataclass(frozen=True, slots=True)
class SentinelAddress:
    """The sentinels, the service they monitor, and the login of that service's server."""

    hosts: tuple[tuple[str, int], ...]
    service: str
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)


def parse_sentinel(url: str) -> SentinelAddress:
    """Parse a sentinel address. Raises ValueError with the expected form, never with the address itself."""
    rest = check_login(url)
    if "?" in rest:
        raise ValueError(f"takes no parameters behind a ?, nor TLS: it must be written as {FORM}")
    login = url.removeprefix(SCHEME).rpartition("@")[0]
    addresses, _, path = rest.partition("/")
    service, _, db = path.partition("/")
    username, _, password = login.partition(":")
    matches = [HOST.fullmatch(host) for host in addresses.split(",") if host]
    hosts = tuple((match[1] or match[2], int(match[3] or DEFAULT_PORT)) for match in matches if match)
    if any(not 0 < port <= MAX_PORT for _, port in hosts):
        raise ValueError(f"has a port that is not between 1 and {MAX_PORT}")
    if not hosts or len(hosts) < len(matches) or not service or not (db or "0").isdecimal():
        raise ValueError(f"must be written as {FORM}")
    return SentinelAddress(
        hosts=hosts,
        service=unquote(service),
        db=int(db or 0),
        username=unquote(username) or None,
        password=unquote(password) or None,
    )
