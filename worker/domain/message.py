"""A message: rendered blocks and fallback text, without an address. All its text is escaped markup."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

#: Bytes of the texts of all blocks together. Slack documents no limit; a message of 10,800 bytes was refused.
TEXTS_MAX = 10_500


class Colour(StrEnum):
    """Colours of the bar beside a message."""

    GOOD = "#2eb67d"
    BUSY = "#36c5f0"
    WARNING = "#ecb22e"
    DANGER = "#e01e5a"
    QUIET = "#8d8d8d"


@dataclass(frozen=True, slots=True)
class Section:
    """A paragraph of markup, at most 3,000 characters."""

    text: str


@dataclass(frozen=True, slots=True)
class Context:
    """Small grey text, at most 3,000 characters."""

    text: str


@dataclass(frozen=True, slots=True)
class Given:
    """A Slack block that a template wrote; the texts of the event in it are escaped."""

    plain: Mapping[str, object]


Block = Section | Context | Given


@dataclass(frozen=True, slots=True)
class Message:
    """A message within Slack's limits: all its texts together have up to TEXTS_MAX bytes."""

    text: str  #: The notification, and the whole message in plain form.
    headline: tuple[Block, ...]  #: The blocks above the coloured bar.
    blocks: tuple[Block, ...] = ()  #: The blocks beside the bar.
    colour: Colour = Colour.QUIET
