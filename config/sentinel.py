"""`sentinel://[user:password@]host:26379,host2:26379/SERVICE[/DB]`: one address for a watched Redis."""

from dataclasses import dataclass, field
from urllib.parse import unquote

SCHEME = "sentinel://"
DEFAULT_PORT = 26379
FORM = "sentinel://[user:password@]host:26379,host2:26379/SERVICE[/DB]"


@dataclass(frozen=True, slots=True)
class SentinelAddress:
    """The sentinels to ask, the service they watch, and how to log in to that service's server."""

    hosts: tuple[tuple[str, int], ...]
    service: str
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)


def parse_sentinel(url: str) -> SentinelAddress:
    """The parts of such an address; raises ValueError saying how it is written, never repeating it."""
    login, _, rest = url.removeprefix(SCHEME).rpartition("@")
    where, _, path = rest.partition("?")[0].partition("/")
    service, _, db = path.partition("/")
    username, _, password = login.partition(":")
    hosts = tuple(_host(host) for host in where.split(",") if host)
    if not hosts or not service or not (db or "0").isdecimal():
        raise ValueError(f"must be written as {FORM}")
    return SentinelAddress(
        hosts=hosts,
        service=unquote(service),
        db=int(db or 0),
        username=unquote(username) or None,
        password=unquote(password) or None,
    )


def _host(written: str) -> tuple[str, int]:
    """`host`, `host:port` or `[address]:port`."""
    name, colon, port = written.rpartition(":")
    if not colon or written.endswith("]"):
        name, port = written, ""
    if not name or not (port or "0").isdecimal():
        raise ValueError(f"must be written as {FORM}")
    return name.strip("[]"), int(port or DEFAULT_PORT)
