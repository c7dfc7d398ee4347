"""Filling: what a template wrote, a mark for each value, becomes markup or blocks with the values in place.

A template writes marks, not values: so an event's words can neither end a JSON string nor begin a tag. All
that is outside of the marks is the author's own, and trusted.
"""

import json
import re
from collections.abc import Mapping
from typing import NoReturn

from worker.domain.markup import clean, cut, date, duration, escape, line, link
from worker.domain.template import TemplateFault

OPEN, CLOSE = "\ue000", "\ue001"  # private use: they mean nothing to anybody
VALUE_MOST = 3_000
WRITTEN_MOST = 40_000  # characters, JSON's own among them
SHOWN_MOST = 300
_MARK = re.compile(f"{OPEN}([0-9]+){CLOSE}")
_TAG = re.compile(r"<([^<>]*)>")
_BLOCKS = re.compile(r"\s*(?:\[\s*\{|\{\s*\"|\[\s*\]\s*\Z)")
_ADDRESSES = frozenset(("url", "image_url"))

Plain = dict[str, object]


class Markup(str):
    """A text that is markup already: made by a filter, never by an event."""

    __slots__ = ()


class Moment(float):
    """A time in Unix seconds; shown in the reader's own zone."""


class Span(float):
    """So many seconds; shown as people say it."""


class Values:
    """What stands for the marks of one rendering."""

    def __init__(self) -> None:
        self._held: list[str] = []
        self.size = 0

    def mark(self, value: object) -> str:
        """What a template writes for a value; numbers as they are, so that JSON may have them."""
        if isinstance(value, int | float) and not isinstance(value, Moment | Span):
            return json.dumps(value)
        shown = shown_as(value)
        self.size += len(shown)
        self._held.append(shown)
        return f"{OPEN}{len(self._held) - 1}{CLOSE}"

    def markup(self, written: str) -> str:
        """A text with its values in place: escaped, and in no tag but a link's."""
        return self._escaped(_TAG.sub(self._tag, written))

    def plain(self, written: str) -> str:
        """A text with its values as they are, for what is no markup."""
        return _MARK.sub(lambda mark: self._held[int(mark[1])], written)

    def blocks(self, written: str) -> tuple[Plain, ...]:
        """The blocks in JSON that a template wrote; TemplateFault when there are none."""
        try:
            found = json.loads(written, parse_constant=_refuse)
        except json.JSONDecodeError as error:
            raise TemplateFault(
                f"the JSON it writes is wrong at its line {error.lineno} column {error.colno}: {error.msg}"
            ) from None
        except (ValueError, RecursionError):
            raise TemplateFault("the JSON it writes has a number or depth that cannot be read") from None
        if isinstance(found, dict):
            found = found.get("blocks") if "blocks" in found else [found]
        if not isinstance(found, list) or not found or not all(isinstance(one, dict) for one in found):
            raise TemplateFault("the JSON it writes is no block and no list of blocks")
        return tuple(self._object(one) for one in found)

    def _object(self, found: Mapping[str, object]) -> Plain:
        filled = {self.plain(name): self._part(name, value) for name, value in found.items()}
        if filled.get("type") == "mrkdwn":
            filled["verbatim"] = True  # else Slack would find mentions in an event's plain words
        return filled

    def _part(self, name: str, value: object) -> object:
        match value:
            case str() if name == "text":
                return self.markup(value)
            case str():
                shown = self.plain(value)
                return shown.strip() if name in _ADDRESSES else shown
            case dict():
                return self._object(value)
            case list():
                return [self._part(name, one) for one in value]
            case _:
                return value

    def _escaped(self, written: str) -> str:
        return _MARK.sub(lambda mark: _shown(self._held[int(mark[1])]), written)

    def _tag(self, tag: re.Match[str]) -> str:
        """A tag as the author wrote it; with values in it, only a link stays one.

        `<!{{ x }}>` or `<{{ x }}>` would let an event mention whom it likes.
        """
        if not _MARK.search(tag[1]):
            return tag[0]
        address, _, label = tag[1].partition("|")
        if not address.startswith((OPEN, "https://", "http://")):
            return f"&lt;{self._escaped(tag[1])}&gt;"
        url = self.plain(address).replace("&amp;", "&")
        shown = _TAG.sub(lambda inner: inner[1].rpartition("|")[2], self._escaped(label))
        return link(url, " ".join(shown.split()) or line(url, SHOWN_MOST))


def shown_as(value: object) -> str:
    """A value as people read it."""
    match value:
        case None:
            return ""
        case Markup():
            return value
        case Moment():
            return Markup(date(value))
        case Span():
            return duration(value)
        case dict():
            return shown_as(", ".join(f"{name}={shown_as(one)}" for name, one in value.items()))
        case list() | tuple():
            return shown_as(", ".join(map(shown_as, value)))
        case _:
            return cut(clean(str(value)).replace(OPEN, "").replace(CLOSE, ""), VALUE_MOST)


def joined(parts: list[object], between: str = "") -> str:
    """Texts one after the other; where one is markup all is, and the others are escaped."""
    texts = [part if isinstance(part, str) else shown_as(part) for part in (between, *parts)]
    if not any(isinstance(text, Markup) for text in texts):
        return texts[0].join(texts[1:])
    return Markup(as_markup(texts[0]).join(map(as_markup, texts[1:])))


def as_markup(value: object) -> str:
    """A value as markup that shows it."""
    return _shown(shown_as(value))


def _shown(value: str) -> str:
    """Markup as it is, a text escaped; its back-ticks become primes: they would end what the author began."""
    return value if isinstance(value, Markup) else escape(value.replace("`", "ʹ"), VALUE_MOST)


def are_blocks(written: str) -> bool:
    """Whether a template writes blocks: judged by its own text, since a mark is no bracket."""
    return bool(_BLOCKS.match(written))


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)
