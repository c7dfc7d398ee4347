"""Markup in pieces: cut between lines where that can be, and nowhere inside a tag, an entity or code."""

import re

from worker.domain.markup import ELLIPSIS, units

_ATOM = re.compile(r"```|`[^`\n]+`|<[^<>]*>|&(?:amp|lt|gt);|.", re.DOTALL)
_FENCE = "```"


def shortened(text: str, limit: int) -> str:
    """Markup of at most `limit` units, cut nowhere inside a tag or an entity, the end marked."""
    return text if units(text) <= limit else _broken(text, limit - 1)[0].rstrip() + ELLIPSIS


def pieces(text: str, limit: int) -> list[str]:
    """Markup in pieces, cut between lines where that can be; what is code in one goes on in the next."""
    found = [""]
    for one in text.split("\n"):
        for part in _broken(one, limit):
            if units(found[-1]) + units(part) < limit:
                found[-1] += f"\n{part}"
            else:
                found.append(part)
    return [piece.strip("\n") for piece in found if piece.strip()]


def fenced(some: list[str]) -> list[str]:
    """Pieces of markup that each end the code they begin."""
    is_open, closed = False, []
    for piece in some:
        whole = f"{_FENCE}{piece}" if is_open else piece
        is_open = whole.count(_FENCE) % 2 == 1
        closed.append(f"{whole}{_FENCE}" if is_open else whole)
    return closed


def _broken(text: str, limit: int) -> list[str]:
    """A text in parts of at most `limit` units, with whole tags and entities; a longer tag is left out."""
    if units(text) <= limit:
        return [text]
    found, room = [""], limit
    for atom in _ATOM.findall(text):
        shown = atom if units(atom) <= limit else ELLIPSIS
        if units(shown) > room:
            found.append("")
            room = limit
        found[-1] += shown
        room -= units(shown)
    return found
