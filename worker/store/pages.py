"""Pages: a part of a list, and from where it goes on; a list may change between two of them.

A place names what came last, not how many came before: what is new or gone meanwhile neither repeats a row
nor skips one. A page is made in one look at the server, or a few; where rows are rare it may be short of
them, or have none, and still have a `next`.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from worker.domain.delivery import State
from worker.domain.errors import WrongUse

MOST = 1_000  # rows of a page
LOOKED_AT = 2_000  # records one script looks at, so that nobody waits long for the server
LOOKS = 3  # scripts of a page

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Rows, and from where the list goes on; None at its end."""

    rows: tuple[Row, ...]
    next: str | None = None


@dataclass(frozen=True, slots=True)
class Where:
    """Which deliveries are asked for: those in a state, those of a lane, or both; else all."""

    state: State | None = None
    lane: str | None = None


async def every(turn: Callable[[str | None], Awaitable[Page[Row]]]) -> AsyncIterator[Row]:
    """All rows, page after page; `turn` makes the one that follows a place."""
    after: str | None = None
    while True:
        page = await turn(after)
        for row in page.rows:
            yield row
        if page.next is None:
            return
        after = page.next


def place(parts: Sequence[object]) -> str | None:
    """Where a list goes on after what these name; None when it is at its end."""
    return ":".join(map(str, parts)) if parts[0] != "" else None


def read_place(after: str | None, *forms: str) -> tuple[str, ...]:
    """What a place names, by the pattern of each part; WrongUse when it is none of this list."""
    if after is None:
        return tuple("" for _ in forms)
    found = re.fullmatch(":".join(f"({form})" for form in forms), after)
    if found is None:
        raise WrongUse(f"{after[:80]!r} is no place in this list: begin it again without one.")
    return found.groups()
