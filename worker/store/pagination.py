"""Pages of a list that may change between two of them.

A cursor names the last row, not a count of rows: rows that are added or removed meanwhile neither repeat a row nor
skip one. A page takes one script; where matching rows are rare it may be short or empty and still have a `next`.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from worker.domain.delivery import Delivery, State
from worker.domain.errors import UsageError
from worker.domain.event import Severity
from worker.store.redis_client import RedisClient, Value, texts

PAGE_LIMIT = 1_000  # rows of a page
SCRIPT_RECORDS = 5_000  # records one script reads, so that other clients do not wait long
ENTRY_CURSOR = r"\d+-\d+"  # of a stream
DEAD_CURSOR = r"\d+:[0-9A-Za-z-]+"  # of dead letters: time of death and id

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Rows of a list."""

    rows: tuple[Row, ...]
    next: str | None = None  #: The cursor of the next page; None at the end of the list.


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which deliveries a list contains."""

    state: State | None = None
    lanes: tuple[str, ...] | None = None  #: One of these lanes; None for any.
    severities: tuple[Severity, ...] = ()  #: One of these severities of the event; empty for any.
    since_ms: int = 0  #: Queued at this time or later.

    def matches(self, delivery: Delivery) -> bool:
        """Return whether a list contains a delivery."""
        return (
            self.state in (None, delivery.state)
            and (self.lanes is None or delivery.lane in self.lanes)
            and (not self.severities or delivery.severity in self.severities)
            and delivery.created_at_ms >= self.since_ms
        )


async def take_rows(get_page: Callable[[str | None, int], Awaitable[Page[Row]]], limit: int = 0) -> list[Row]:
    """Return the first `limit` rows of a list that is read in pages; all of them for 0."""
    rows, after = list[Row](), None
    while True:
        page = await get_page(after, limit - len(rows) if limit else PAGE_LIMIT)
        rows += page.rows
        if page.next is None or (limit and len(rows) == limit):
            return rows
        after = page.next


def encode_cursor(parts: Sequence[object]) -> str | None:
    """Return the cursor of the row these parts name; None if the first is empty, at the end of the list."""
    return ":".join(map(str, parts)) if parts[0] != "" else None


def decode_cursor(after: str | None, *patterns: str) -> tuple[str, ...]:
    """Return the parts of a cursor, empty ones without a cursor. Raises `UsageError` for one of another list."""
    if after is None:
        return tuple("" for _ in patterns)
    match = re.fullmatch(":".join(f"({pattern})" for pattern in patterns), after)
    if match is None:
        raise UsageError(f"{after[:80]!r} is no cursor of this list. Load the first page, without a cursor.")
    return match.groups()


async def load_index_page(
    server: RedisClient, index: str, cursor: str, after: str | None, limit: int,
    *, conditions: Sequence[str] = (), since_ms: int = 0, with_rejected: bool = False,
) -> tuple[list[str], str | None]:  # fmt: skip
    """Return the ids of a page of an index, newest first, and the next cursor, which matches `cursor`.

    `conditions` are fields of a delivery, each with a value; several values of one field are alternatives. Only
    deliveries queued since `since_ms` are listed, and unreadable entries only `with_rejected`.
    """
    keys, (place,) = server.keys, decode_cursor(after, cursor)
    rejected = keys.rejected("") if with_rejected else ""
    arguments: Sequence[Value] = (place, limit, SCRIPT_RECORDS, keys.delivery(""), rejected, since_ms, *conditions)
    following, *ids = texts(await server.run_script("index_page", (index,), arguments))
    return ids, following or None
