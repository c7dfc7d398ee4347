"""Slack's text markup (mrkdwn): texts of events are cut first and escaped then, never the other way round.

Source: https://docs.slack.dev/messaging/formatting-message-text
"""

import html
import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import quote

ELLIPSIS = "…"
HEAD_ROWS, TAIL_ROWS = 3, 9  # of a long error; Slack folds away what is much longer
ADDRESS_MAX = 3_000  # characters of a link's address, as sent: the text of a block has no more
TAG_MAX = 10_000  # characters of a link with its label
MARKS_MAX = 4  # combining marks on one letter: no language needs more
SURROGATES = re.compile(r"[\ud800-\udfff]")  #: Halves of characters: no text that can be sent has them alone.
_CODE = re.compile(r"(?<!`)(?:```[^`]+```|`[^`\n]+`)(?!`)")
_FENCE = "```"
#: Parts of an atom: marks, joiners, and what modifies an emoji. Only the commonest: `_boundary` knows all.
_EXTENDERS = (
    "\u0300-\u036f\u064b-\u065f\u093a-\u094f\u200c\u20d0-\u20ff\ufe00-\ufe0f\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f"
)
_ATOM = re.compile(rf"```|`[^`\n]+`|<[^<>]*>|&(?:amp|lt|gt);|.(?:[{_EXTENDERS}]|\u200d[^\x00-\x7f])*", re.DOTALL)
_LABEL = re.compile(r"<http[^<>|]*\|([^<>]*)>")

#: What Slack would read as an emoji (`foo.rb:100:in`, but not 10:02:03) or as a style (`~5 min~`); code and addresses,
#: in which it reads neither, come first. https://docs.slack.dev/messaging/formatting-message-text
_RESTYLED = re.compile(
    r"```[^`]+```|`[^`\n]+`|https?://\S+"
    r"|(?P<restyled>:(?!\d\d:)[\w+'-]+:|(?<![^\W_])(?P<mark>[*_~])(?=\S)[^\n]+?(?P=mark)(?![^\W_]))"
)
#: What is before a word, and behind it.
_WORD_START = re.compile(r"[\s(\[{<\"']")
_WORD_END = re.compile(r"[.:!?]*(?:[\s)\]}>\"',;]|\Z)")
_LOOK_ALIKES = {":": "∶", "*": "∗", "_": "ˍ", "~": "∼"}

_PLAIN_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_TERMINAL = re.compile(r"[\x08\r\x1b\x90\x98\x9b\x9d-\x9f]")
#: Sequences of ECMA-48, whole or broken off. In wrongly decoded UTF-8 the 8-bit introducers follow other characters
#: above 7F, and are no introducers. https://ecma-international.org/publications-and-standards/standards/ecma-48/
_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b(?=[0-?])|(?<![\x80-\xff])\x9b)[0-?]*[ -/]*[@-~]?"  # CSI: colours, cursor
    r"|(?:\x1b\]|(?<![\x80-\xff])\x9d(?=[0-9]))[^\x00-\x1f\x7f\x9c]*(?:\x07|\x1b\\|\x9c)?"  # OSC: titles, links
    r"|\x1b[PX^_](?:[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)|[^\n]*)"  # DCS, SOS, PM, APC
    r"|(?<![\x80-\xff])[\x90\x98\x9e\x9f][^\x00-\x1f\x7f\x90\x98\x9c\x9e\x9f]*\x9c"
    r"|\x1b[ -/]+[0-~]?|\x1b[0-~]"  # character sets, and all others
)
_LINE_START = re.compile(r"(?:\x1b\[|(?<![\x80-\xff])\x9b)[01]?G")
#: Characters that are not seen or change the direction of others.
_INVISIBLE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]"
)
_FILLERS = re.compile("[\u115f\u1160\u2800\u3164\uffa0]")
#: Hidden letters; the first group, the flag of a region, stays.
_TAGS = re.compile(r"(\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{1,6}\U000e007f)|[\U000e0000-\U000e007f]")
#: ZWJ and ZWNJ join emoji, and letters of Persian and Hindi; anywhere else they hide.
_STRAY_JOINERS = re.compile(r"(?:^|(?<=[\x00-\x7f\s\u200c\u200d]))[\u200c\u200d]+")
_MANY_MARKS = re.compile(r"[^\x00-\x7f\w\s]{5,}")
_RARE = re.compile("[\u200c\u200d\U000e0000-\U000e007f]")
_JOINERS = "\u200c\u200d"

_ADDRESS = re.compile(r"(https?)://([^\s/?#<>|\\^`{}\"\x00-\x1f\x7f]+)((?:[/?#].*)?)", re.IGNORECASE | re.DOTALL)
_UNSAFE = re.compile(r"[^\x21-\x7e\w]|[<>|`\"\\^{}]")


def clean(text: str) -> str:
    """Return what a text shows on a terminal: no unseen or turning characters, lone surrogates or heaps of marks."""
    if text.isascii() and not _PLAIN_CONTROL.search(text):
        return text
    text = _INVISIBLE.sub("", strip_terminal(text))
    if text.isascii():
        return text
    text = _FILLERS.sub(" ", SURROGATES.sub("\ufffd", text))
    if _RARE.search(text):
        text = _STRAY_JOINERS.sub("", _TAGS.sub(r"\1", text))
    return _MANY_MARKS.sub(_thin_marks, text)


def strip_terminal(text: str) -> str:
    """Remove the control sequences of terminals; of a line that was written over, return the last state."""
    if not _TERMINAL.search(text):
        return text
    text = _SEQUENCE.sub("", _LINE_START.sub("\r", text)).replace("\r\n", "\n")
    if "\r" not in text and "\b" not in text:
        return text
    return "\n".join(map(_last_state, text.split("\n")))


def _last_state(row: str) -> str:
    state = next((part for part in reversed(row.split("\r")) if part.strip(" \t\b")), "")
    if "\b" not in state:
        return state
    shown: list[str] = []
    for char in state:
        if char != "\b":
            shown.append(char)
        elif shown:
            shown.pop()
    return "".join(shown)


def _thin_marks(match: re.Match[str]) -> str:
    kept, marks = [], 0
    for char in match[0]:
        if unicodedata.category(char)[0] == "M":
            marks += 1
        elif char not in _JOINERS:
            marks = 0
        if marks <= MARKS_MAX:
            kept.append(char)
    return "".join(kept)


def cut(text: str, limit: int) -> str:
    """Cut a text to `limit` characters, with an ellipsis at its end."""
    if len(text) <= limit:
        return text
    return text[: _boundary(text, limit - 1)].rstrip() + ELLIPSIS if limit > 0 else ""


def cut_middle(text: str, limit: int) -> str:
    """Cut a text to `limit` characters, but keep its start and its end, which says most in errors."""
    if len(text) <= limit or limit < 12:
        return cut(text, limit)
    head = limit // 3
    tail = _boundary(text, len(text) - (limit - head - 3), step=1)
    return text[: _boundary(text, head)].rstrip() + " … " + text[tail:].lstrip()


def _boundary(text: str, at: int, step: int = -1) -> int:
    """Return `at`, or the next place before it (with `step` 1, after it) that splits no letter or emoji."""
    for place in range(at, at + 40 * step, step):
        if not (0 < place < len(text) and _is_inside(text, place)):
            return place
    return at


def _is_inside(text: str, place: int) -> bool:
    """Return whether a place is inside what a reader takes for one character."""
    char = text[place]
    if char < "\u0300" and text[place - 1] != "\u200d":
        return False
    if "\U0001f1e6" <= char <= "\U0001f1ff":  # half of a flag
        before = text[max(place - 40, 0) : place]
        return (len(before) - len(before.rstrip("".join(map(chr, range(0x1F1E6, 0x1F200)))))) % 2 == 1
    is_modifier = "\U0001f3fb" <= char <= "\U0001f3ff" or "\U000e0020" <= char <= "\U000e007f" or char in _JOINERS
    return is_modifier or text[place - 1] == "\u200d" or unicodedata.category(char)[0] == "M"


def characters(text: str) -> int:
    """Return a length in characters; those beyond the BMP are two, as JavaScript counts them."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def units(text: str) -> int:
    """Return a length as the strictest counter counts it: in bytes of UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def escape(text: str, limit: int) -> str:
    """Return markup of at most `limit` units that mentions no one; a template may give its values a style."""
    return _fit(clean(_limit_input(text, limit)), limit, lambda text, room: _close_code(cut(text, room)))


def plain(text: str, limit: int) -> str:
    """Escape a text so that it is shown as written: it holds no emoji or style but code."""
    return _fit(clean(_limit_input(text, limit)), limit, lambda text, room: _as_written(cut(text, room)))


def line(text: str, limit: int, shorten: Callable[[str, int], str] = cut) -> str:
    """Escape a text as one line that is shown as written."""
    one_line = _flatten(text, limit).replace(_FENCE, "ʹʹʹ")
    return _fit(one_line, limit, lambda text, room: _as_written(shorten(text, room)))


def line_ends(text: str, limit: int) -> str:
    """Escape a text as one line; of a long one, keep the start and the end."""
    return line(text, limit, cut_middle)


def bold(text: str, limit: int) -> str:
    """Escape a text as one bold line; look-alikes replace what would end it or be read as another style."""
    inner = _flatten(text, limit).replace("*", "∗").replace("`", "ʹ")
    for _ in range(2):  # an emoji may be inside a style
        inner = _RESTYLED.sub(_look_alike, inner)
    return f"*{_fit(inner, limit - 2, cut_middle)}*" if inner else ""


def code(text: str, limit: int) -> str:
    """Escape a text in code style; primes replace back-ticks, which cannot be escaped."""
    inner = _fit(_flatten(text, limit).replace("`", "ʹ"), limit - 2, cut)
    return f"`{inner}`" if inner else ""


def code_block(text: str, limit: int) -> str:
    """Escape several lines in code style; of many or long ones, keep the start and above all the end."""
    rows = clean(_limit_input(text, limit)).replace("`", "ʹ").strip().split("\n")
    if len(rows) > HEAD_ROWS + TAIL_ROWS + 1:
        rows[HEAD_ROWS:-TAIL_ROWS] = [ELLIPSIS]
    inner = _fit("\n".join(rows), limit - 6, cut_middle)
    return f"{_FENCE}{inner}{_FENCE}" if inner else ""


def link(url: str, label: str) -> str:
    """Return `<url|label>`, whose label is markup already; the label alone if Slack cannot link the address."""
    address = normalize_url(url).replace("&", "&amp;")
    return f"<{address}|{label.replace('|', '¦')}>" if 0 < len(address) <= ADDRESS_MAX else label


def normalize_url(url: str) -> str:
    """Return a web address as Slack links it, percent-encoded where needed; empty for other and too long texts."""
    match = _ADDRESS.fullmatch(re.sub(r"[\t\r\n]", "", url.strip())) if len(url) <= 2 * ADDRESS_MAX else None
    if not match:
        return ""
    scheme, *parts = match.groups()
    encoded = (_UNSAFE.sub(lambda unsafe: quote(unsafe[0], safe="", errors="replace"), part) for part in parts)
    address = f"{scheme.lower()}://{''.join(encoded)}"
    return address if len(address) <= ADDRESS_MAX else ""


def date(at_s: float, form: str = "{date_short_pretty} {time}") -> str:
    """Return a time that Slack shows in the reader's time zone; the fallback is UTC."""
    try:
        fallback = datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, ValueError, OSError):
        return ""
    return f"<!date^{int(at_s)}^{form}|{fallback}>"


def duration(seconds: float) -> str:
    """Return a duration in words: `42 s`, `4 min 12 s`, `3 h 5 min`, `2 d 4 h`."""
    whole = max(int(seconds), 0)
    for size, unit, smaller, smaller_unit in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit}" + (f" {rest} {smaller_unit}" if rest else "")
    return f"{whole} s"


def _close_code(text: str) -> str:
    """Replace the back-ticks of code that does not end: it would swallow the text behind it."""
    return text.replace("`", "ʹ") if "`" in _CODE.sub("", text) else text


def _as_written(text: str) -> str:
    """Put in code style the words that Slack would read as an emoji or a style: they can be copied unchanged.

    Beside code and addresses, look-alikes replace the characters that begin the style.
    """
    parts, end = list[str](), 0
    text = _close_code(text)
    for match in _RESTYLED.finditer(text):
        if not match["restyled"] or match.start() < end:
            continue
        start = match.start() - len(_WORD_START.split(text[end : match.start()])[-1])
        stop = match.end() + len(_WORD_END.split(text[match.end() :], maxsplit=1)[0])
        words = text[start:stop]
        if "`" in words or "://" in words:
            parts += text[end : match.start()], _look_alike(match)
            end = match.end()
        else:
            parts += text[end:start], f"`{words}`"
            end = stop
    return "".join(parts) + text[end:]


def _look_alike(match: re.Match[str]) -> str:
    mark = match["mark"] or ":"
    return match[0].replace(mark, _LOOK_ALIKES[mark]) if match["restyled"] else match[0]


def _flatten(text: str, limit: int) -> str:
    return " ".join(clean(_limit_input(text, limit)).split())


def _limit_input(text: str, limit: int) -> str:
    """Return the start and the end of a very long text, so that the rest costs no time."""
    longest = 8 * max(limit, 0) + 1000
    if len(text) <= longest:
        return text
    text = strip_terminal(text)  # before it is cut, so that no sequence is cut in two
    return text if len(text) <= longest else f"{text[: longest // 2]} {text[len(text) - longest // 2 :]}"


def _fit(text: str, limit: int, shorten: Callable[[str, int], str]) -> str:
    """Shorten a text until it fits when it is escaped, so that no entity is ever cut."""
    room = limit = max(limit, 0)
    # A short text may have three bytes a character, as Chinese has: it is nowhere near a limit of Slack's.
    bytes_max = max(limit, min(3 * limit, 600))
    while True:
        escaped = html.escape(shorten(text, room), quote=False)
        excess = max(characters(escaped) - limit, units(escaped) - bytes_max)
        if excess <= 0:
            return escaped
        room = min(room, len(text)) - max(excess // 5, 1)


def cut_markup(text: str, limit: int) -> str:
    """Cut markup to `limit` units, but never inside a tag or an entity, with an ellipsis at its end."""
    if units(text) <= limit:
        return text
    return _break(text[: limit + TAG_MAX], limit - units(ELLIPSIS))[0].rstrip() + ELLIPSIS


def split_markup(text: str, limit: int) -> list[str]:
    """Split markup into pieces of at most `limit` units, between lines where that is possible."""
    found = [""]
    for row in text.split("\n"):
        for part in _break(row, limit):
            if units(found[-1]) + units(part) < limit:
                found[-1] += f"\n{part}"
            else:
                found.append(part)
    return [piece.strip("\n") for piece in found if piece.strip()]


def close_code_blocks(split: list[str]) -> list[str]:
    """Close a code block that is split between pieces at the end of each, and open it again in the next."""
    is_open, closed = False, []
    for piece in split:
        whole = f"{_FENCE}{piece}" if is_open else piece
        is_open = whole.count(_FENCE) % 2 == 1
        closed.append(f"{whole}{_FENCE}" if is_open else whole)
    return closed


def _break(text: str, limit: int) -> list[str]:
    """Split a text into parts of at most `limit` units, with whole tags and entities; a longer link is its label."""
    if units(text) <= limit:
        return [text]
    parts, room = [""], limit
    for atom in _ATOM.findall(text):
        shown = atom if units(atom) <= limit else _LABEL.sub(r"\1", atom)
        if units(shown) > limit:
            shown = ELLIPSIS
        if units(shown) > room:
            parts.append("")
            room = limit
        parts[-1] += shown
        room -= units(shown)
    return parts
