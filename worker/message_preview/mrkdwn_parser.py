"""Parser of Slack's mrkdwn: the parts that a reader sees, before HTML or a terminal draws them.

https://docs.slack.dev/messaging/formatting-message-text
"""

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from importlib.resources import files


class Tag(StrEnum):
    """The elements of a message, by their tags in HTML; quotes and code blocks have lines of their own."""

    BOLD = "strong"
    ITALIC = "em"
    STRIKETHROUGH = "del"
    QUOTE = "blockquote"
    CODE = "code"
    CODE_BLOCK = "pre"
    LINK = "a"
    MENTION = "span"
    TIME = "time"


@dataclass(frozen=True, slots=True)
class Element:
    """Parts of a text that are drawn in their own way."""

    tag: Tag
    inside: "Parts"
    #: The address of a link, `everyone` where a mention notifies all, the fallback text of a time; empty for others.
    detail: str = ""


Part = str | Element
Parts = tuple[Part, ...]
NameOf = Callable[[str], str]

#: Emoji by the short names that Slack gives them: those that messages about infrastructure use.
EMOJI = dict(line.split() for line in files(__package__).joinpath("emoji.txt").read_text("utf-8").splitlines())

_SPECIAL = re.compile(r"```(?P<block>.+?)```|`(?P<code>[^`\n]+)`|<(?P<angle>[^<>\n]+)>", re.DOTALL)
# Three characters of the private-use area mark the places of parsed parts; in a message they are replaced.
_RESERVED = re.compile("[\ue000-\ue002]")
_PLACEHOLDER = re.compile("\ue000(\\d+)\ue001")
_BLOCK_PLACEHOLDER = re.compile("\n?\ue002(\\d+)\ue001\n?")  # takes the line breaks around it
# A text between two style characters at the edges of words, on one line.
_STYLES = {"*": Tag.BOLD, "_": Tag.ITALIC, "~": Tag.STRIKETHROUGH}
_STYLED = re.compile("|".join(rf"(?<![\w{c}])[{c}](?=\S)([^\n{c}]+?)(?<=\S)[{c}](?![\w{c}])" for c in _STYLES))


def parse(text: str, now: datetime, find_name: NameOf = str) -> Parts:
    """Parse a mrkdwn text; `find_name` returns the name of a person or channel by its id."""
    parts: list[Part] = []

    def keep(match: re.Match[str]) -> str:
        if block := match["block"]:
            parts.append(Element(Tag.CODE_BLOCK, (_unescape(block.removeprefix("\n")),)))
        elif code := match["code"]:
            parts.append(Element(Tag.CODE, (_unescape(code),)))
        else:
            parts.append(_parse_angle(match["angle"], now, find_name))
        return f"{chr(0xE002) if block else chr(0xE000)}{len(parts) - 1}\ue001"

    marked = _SPECIAL.sub(keep, _RESERVED.sub("\ufffd", text))
    pieces = _BLOCK_PLACEHOLDER.split(replace_emoji(_unescape(marked)))  # every second is the number of a code block
    return tuple(
        part
        for index, piece in enumerate(pieces)
        for part in ((parts[int(piece)],) if index % 2 else _split_quotes(piece, parts))
    )


def _unescape(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _split_quotes(text: str, parts: list[Part]) -> Iterator[Part]:
    """Yield lines that begin with `>` as quotes; a line break beside a quote belongs to the quote."""
    for is_quoted, lines in itertools.groupby(text.split("\n"), lambda line: line.startswith(">")):
        if is_quoted:
            inside = "\n".join(line.removeprefix(">").strip() for line in lines)
            yield Element(Tag.QUOTE, tuple(_split_styles(inside, parts)))
        else:
            yield from _split_styles("\n".join(lines), parts)


def _split_styles(text: str, parts: list[Part]) -> Iterator[Part]:
    end = 0
    for match in _STYLED.finditer(text):
        yield from _fill_placeholders(text[end : match.start()], parts)
        yield Element(_STYLES[match[0][0]], tuple(_split_styles(match[match.lastindex or 0], parts)))
        end = match.end()
    yield from _fill_placeholders(text[end:], parts)


def _fill_placeholders(text: str, parts: list[Part]) -> Iterator[Part]:
    for index, piece in enumerate(_PLACEHOLDER.split(text)):
        if index % 2:
            yield parts[int(piece)]
        elif piece:
            yield piece


def _parse_angle(inner: str, now: datetime, find_name: NameOf) -> Part:
    """Parse the content of angle brackets: a link, a mention or a date."""
    target, _, label = inner.partition("|")
    char, name = target[:1], target[1:]
    if char in {"@", "#"}:
        return Element(Tag.MENTION, (char + _unescape(label or find_name(name)),))
    if target.startswith("!date^"):
        return _parse_date(name, _unescape(label), now)
    if target.startswith("!subteam^"):
        return Element(Tag.MENTION, (_unescape(label) or "@group",))
    if char == "!":
        return Element(Tag.MENTION, (f"@{name}",), "everyone")
    if not re.match(r"(?:https?://|mailto:)", target):
        return _unescape(f"<{inner}>")
    inside = parse(label, now, find_name) if label else (_unescape(target.removeprefix("mailto:")),)
    return Element(Tag.LINK, inside, _unescape(target))


def _parse_date(name: str, label: str, now: datetime) -> Part:
    """Parse `date^seconds^format` with an optional address; the label replaces a time that cannot be read."""
    _, at_s, date_format, url = (*name.split("^"), "", "", "")[:4]
    try:
        text = format_date(local_time(int(at_s)), date_format, now) or label
    except (ValueError, OverflowError, OSError):
        text = label
    time = Element(Tag.TIME, (text,), label)
    return Element(Tag.LINK, (time,), _unescape(url)) if re.match(r"https?://", url) else time


def local_time(at_s: float) -> datetime:
    """Return a Unix time in this machine's zone."""
    return datetime.fromtimestamp(at_s, UTC).astimezone()


def time_of_day(at: datetime, *, with_seconds: bool = False) -> str:
    """Return a time such as `9:05 AM`."""
    seconds = f":{at.second:02d}" if with_seconds else ""
    return f"{at.hour % 12 or 12}:{at.minute:02d}{seconds} {'AM' if at.hour < 12 else 'PM'}"


def day_label(at: datetime, now: datetime) -> str:
    """Return the label of a day between messages: `Today`, `Yesterday`, `Monday, November 23rd`."""
    return _near_day(at, now) or f"{at:%A}, {at:%B} {_ordinal(at.day)}"


def format_date(at: datetime, date_format: str, now: datetime) -> str:
    """Fill in the format of a `<!date^…>`; unknown placeholders stay.

    https://docs.slack.dev/messaging/formatting-message-text#date-formatting
    """
    values = {
        "date_num": f"{at:%Y-%m-%d}", "date_slash": f"{at:%m/%d/%Y}", "date_short": f"{at:%b} {at.day}, {at.year}",
        "date": f"{at:%B} {_ordinal(at.day)}, {at.year}",
        "date_long": f"{at:%A}, {at:%B} {_ordinal(at.day)}, {at.year}", "time": time_of_day(at),
        "time_secs": time_of_day(at, with_seconds=True), "ago": _ago((now - at).total_seconds()),
    }  # fmt: skip
    values |= {f"{name}_pretty": _near_day(at, now) or values[name] for name in ("date", "date_short", "date_long")}
    return re.sub(r"\{(\w+)\}", lambda match: values.get(match[1], match[0]), date_format)


def _near_day(at: datetime, now: datetime) -> str:
    return {-1: "Tomorrow", 0: "Today", 1: "Yesterday"}.get((now.date() - at.date()).days, "")


def _ordinal(number: int) -> str:
    endings = {1: "st", 2: "nd", 3: "rd"}
    return f"{number}{'th' if 11 <= number <= 13 else endings.get(number % 10, 'th')}"


def _ago(seconds: float) -> str:
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if abs(seconds) >= size:
            count = int(abs(seconds) // size)
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


def replace_emoji(text: str) -> str:
    """Replace `:short_names:` by their emoji; unknown names stay."""
    return re.sub(r":([a-z0-9_+-]+):", lambda match: EMOJI.get(match[1], match[0]), text)
