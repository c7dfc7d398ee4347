"""A message: rendered blocks and fallback text, without an address. All its text is escaped markup."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Colour(StrEnum):
    """The bar beside a message, by state."""

    GOOD = "#2eb67d"
    BUSY = "#36c5f0"
    WARNING = "#ecb22e"
    DANGER = "#e01e5a"
    QUIET = "#8d8d8d"


@dataclass(frozen=True, slots=True)
class Section:
    """A paragraph of markup, at most 3,000 characters; `fields` are up to ten short pairs in two columns."""

    text: str = ""
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Context:
    """A small grey line; up to ten texts."""

    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Divider:
    """A thin rule between parts."""


@dataclass(frozen=True, slots=True)
class Given:
    """A block a person's template wrote, as Slack takes it; its texts show an event's words escaped."""

    plain: Mapping[str, object]


Block = Section | Context | Divider | Given


@dataclass(frozen=True, slots=True)
class Message:
    """What is posted: `text` is the notification and the plain form, `headline` stands above the bar.

    `blocks` stand beside the coloured bar. Every limit of Slack's is kept by whoever builds it
    (`pipeline/render.py`): all texts together stay under 11,000 characters.
    """

    text: str
    headline: tuple[Block, ...]
    blocks: tuple[Block, ...] = ()
    colour: Colour = Colour.QUIET
