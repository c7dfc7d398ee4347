"""Slack's markup as parts: what a reader sees of a text, before anything draws it.

https://docs.slack.dev/messaging/formatting-message-text
"""

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from worker.sandbox import emoji, times


class Style(StrEnum):
    """How a part stands out."""

    BOLD = "*"
    ITALIC = "_"
    STRUCK = "~"
    QUOTE = ">"


@dataclass(frozen=True, slots=True)
class Styled:
    """Parts in one style; a quote stands on lines of its own."""

    style: Style
    inside: "Parts"


@dataclass(frozen=True, slots=True)
class Code:
    """Text in code style; a block of it stands on lines of its own."""

    text: str
    block: bool = False


@dataclass(frozen=True, slots=True)
class Link:
    """Parts that lead to an http, https or mailto address."""

    url: str
    inside: "Parts"


@dataclass(frozen=True, slots=True)
class Mention:
    """A person, a channel or a group by name; `everyone` for `@here` and its like."""

    name: str
    everyone: bool = False


@dataclass(frozen=True, slots=True)
class Moment:
    """A time as the reader sees it, and its fallback."""

    shown: str
    fallback: str


Part = str | Styled | Code | Link | Mention | Moment
Parts = tuple[Part, ...]
Named = Callable[[str], str]

_SPECIAL = re.compile(r"```(?P<block>.+?)```|`(?P<code>[^`\n]+)`|<(?P<angle>[^<>\n]+)>", re.DOTALL)
_RESERVED = re.compile("[\ue000-\ue002]")  # mark the places of finished parts
_PLACE = re.compile("\ue000(\\d+)\ue001")
_BLOCK = re.compile("\n?\ue002(\\d+)\ue001\n?")  # takes the line breaks around it


def _between(sign: str) -> str:
    """Between two signs at the edges of words, on one line."""
    return rf"(?<![\w{sign}])[{sign}](?=\S)([^\n{sign}]+?)(?<=\S)[{sign}](?![\w{sign}])"


_STYLED = re.compile("|".join(map(_between, "*_~")))


def _as_it_is(id_: str) -> str:
    return id_


def parse(text: str, now: datetime, named: Named = _as_it_is) -> Parts:
    """The parts of a mrkdwn text; `named` gives the name of a person or channel by id."""
    kept: list[Part] = []

    def keep(found: re.Match[str]) -> str:
        block, code = found["block"], found["code"]
        if block is not None:
            kept.append(Code(_unescaped(block.removeprefix("\n")), block=True))
        elif code is not None:
            kept.append(Code(_unescaped(code)))
        else:
            kept.append(_angle(found["angle"], now, named))
        return f"{chr(0xE000) if block is None else chr(0xE002)}{len(kept) - 1}\ue001"

    marked = _SPECIAL.sub(keep, _RESERVED.sub("\ufffd", text))
    return tuple(_blocks(emoji.drawn(_unescaped(marked)), kept))


def _unescaped(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _blocks(text: str, kept: list[Part]) -> Iterator[Part]:
    """Code blocks, and the lines between them."""
    for place, piece in enumerate(_BLOCK.split(text)):
        if place % 2:
            yield kept[int(piece)]
        elif piece:
            yield from _lines(piece, kept)


def _lines(text: str, kept: list[Part]) -> Iterator[Part]:
    """Lines that begin with `>` are quoted; a line break beside a quote is the quote's own."""
    for quoted, lines in itertools.groupby(text.split("\n"), lambda line: line.startswith(">")):
        if quoted:
            inside = "\n".join(line.removeprefix(">").strip() for line in lines)
            yield Styled(Style.QUOTE, tuple(_styled(inside, kept)))
        else:
            yield from _styled("\n".join(lines), kept)


def _styled(text: str, kept: list[Part]) -> Iterator[Part]:
    at = 0
    for found in _STYLED.finditer(text):
        yield from _placed(text[at : found.start()], kept)
        yield Styled(Style(found[0][0]), tuple(_styled(found[found.lastindex or 0], kept)))
        at = found.end()
    yield from _placed(text[at:], kept)


def _placed(text: str, kept: list[Part]) -> Iterator[Part]:
    """Text, with the finished parts in their places."""
    for place, piece in enumerate(_PLACE.split(text)):
        if place % 2:
            yield kept[int(piece)]
        elif piece:
            yield piece


def _angle(inner: str, now: datetime, named: Named) -> Part:
    """What stands in angle brackets: a link, a mention, a date."""
    target, _, label = inner.partition("|")
    sign, name = target[:1], target[1:]
    if sign in {"@", "#"}:
        return Mention(sign + _unescaped(label or named(name)))
    if sign == "!":
        return _special(name, _unescaped(label), now)
    if not re.match(r"(?:https?://|mailto:)", target):
        return _unescaped(f"<{inner}>")
    shown = parse(label, now, named) if label else (_unescaped(target.removeprefix("mailto:")),)
    return Link(_unescaped(target), shown)


def _special(name: str, label: str, now: datetime) -> Part:
    if name.startswith("date^"):
        return _date(name, label, now)
    if name.startswith("subteam^"):
        return Mention(label or "@group")
    return Mention(f"@{name}", everyone=True)


def _date(name: str, label: str, now: datetime) -> Part:
    """`date^seconds^form` and perhaps an address; the label where that is no time."""
    _, at_s, form, url = (*name.split("^"), "", "", "")[:4]
    try:
        shown = times.formatted(times.local(int(at_s)), form, now) or label
    except (ValueError, OverflowError, OSError):
        shown = label
    moment = Moment(shown, label)
    return Link(_unescaped(url), (moment,)) if re.match(r"https?://", url) else moment
