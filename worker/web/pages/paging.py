"""Paging: where a list's next and previous pages are, as addresses that can be kept and sent to others.

A list goes on from a place, not from a number; the places of the pages before go along in the address, so
that there is a way back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from fastapi import Request

MOST_BACK = 12  # an address has to stay short enough for every proxy


@dataclass(frozen=True, slots=True)
class Paging:
    """Addresses; empty where there is no such page."""

    newest: str
    previous: str
    next: str


def after(request: Request) -> str | None:
    """From where the page that is asked for goes on; None for the first."""
    return request.query_params.get("after") or None


def paging(request: Request, asked: Mapping[str, str], following: str | None) -> Paging:
    """As of a page; `asked` are the filters, which every one of its pages keeps."""
    here, back = after(request), request.query_params.getlist("back")[-MOST_BACK:]
    path, kept = request.scope["path"], {name: value for name, value in asked.items() if value}
    newest, previous, next_ = _address(path, kept), "", ""
    if here is not None:
        previous = _address(path, {**kept, "after": back[-1]}, back[:-1]) if back else newest
    if following is not None:
        next_ = _address(path, {**kept, "after": following}, [*back, here] if here is not None else [])
    return Paging(newest if here is not None else "", previous, next_)


def _address(path: str, fields: Mapping[str, str], back: Sequence[str] = ()) -> str:
    found = urlencode([*fields.items(), *(("back", place) for place in back)])
    return f"{path}?{found}" if found else path
