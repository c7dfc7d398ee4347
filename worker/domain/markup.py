"""Slack's text markup: cut, then escape, never the other way round.

Source: https://docs.slack.dev/messaging/formatting-message-text
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime

ELLIPSIS = "…"
HEAD_ROWS, TAIL_ROWS = 3, 9  # of a long error: Slack folds away what is much longer
_INVISIBLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
_SURROGATES = re.compile(r"[\ud800-\udfff]")
_CODE = re.compile(r"(?<!`)(?:```[^`]+```|`[^`\n]+`)(?!`)")


def clean(text: str) -> str:
    """Without control and direction characters; lone surrogates become U+FFFD."""
    return _SURROGATES.sub("\ufffd", _INVISIBLE.sub("", text.replace("\r\n", "\n")))


def cut(text: str, limit: int) -> str:
    """At most `limit` characters, the end marked when something was cut off."""
    if len(text) <= limit:
        return text
    return text[: limit - 1].rstrip() + ELLIPSIS if limit > 0 else ""


def cut_middle(text: str, limit: int) -> str:
    """At most `limit` characters, keeping the start and, for errors the telling part, the end."""
    if len(text) <= limit or limit < 12:
        return cut(text, limit)
    head = limit // 3
    return text[:head].rstrip() + " … " + text[len(text) - (limit - head - 3) :].lstrip()


def units(text: str) -> int:
    """A length as the strictest counter would count it: characters beyond the BMP are two."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def escape(text: str, limit: int) -> str:
    """A text of an event as markup that shows it and mentions nobody; at most `limit` units as sent."""
    return _closed(_within(clean(_ends(text, limit)), limit, cut))


def line(text: str, limit: int) -> str:
    """Like `escape`, on one line."""
    return _closed(_within(_flat(text, limit).replace("```", "ʹʹʹ"), limit, cut))


def line_ends(text: str, limit: int) -> str:
    """Like `line`; of a long text the start and the end."""
    return _closed(_within(_flat(text, limit).replace("```", "ʹʹʹ"), limit, cut_middle))


def bold(text: str, limit: int) -> str:
    """One bold line, of a long text the start and the end; stars and back-ticks in it become look-alikes,
    since they would end it.
    """
    inner = _flat(text, limit).replace("*", "∗").replace("`", "ʹ")
    return f"*{_within(inner, limit - 2, cut_middle)}*" if inner else ""


def code(text: str, limit: int) -> str:
    """A text in code style; back-ticks in it become primes, since they cannot be escaped."""
    inner = _within(_flat(text, limit).replace("`", "ʹ"), limit - 2, cut)
    return f"`{inner}`" if inner else ""


def code_block(text: str, limit: int) -> str:
    """Several lines in code style; of many, and of long ones, the start and, above all, the end."""
    rows = clean(_ends(text, limit)).replace("`", "ʹ").strip().split("\n")
    if len(rows) > HEAD_ROWS + TAIL_ROWS + 1:
        rows[HEAD_ROWS:-TAIL_ROWS] = [ELLIPSIS]
    inner = _within("\n".join(rows), limit - 6, cut_middle)
    return f"```{inner}```" if inner else ""


def link(url: str, label: str) -> str:
    """`<url|label>`; the label is markup already. An address Slack cannot link gives the label alone."""
    if not re.fullmatch(r"https?://[^\s<>|\x00-\x1f]{1,2500}", url):
        return label
    return f"<{url.replace('&', '&amp;').replace('`', '%60')}|{label.replace('|', '¦')}>"


def date(at_s: float, form: str = "{date_short_pretty} {time}") -> str:
    """A time in the reader's own zone; the fallback is UTC."""
    try:
        fallback = datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, ValueError, OSError):
        return ""
    return f"<!date^{int(at_s)}^{form}|{fallback}>"


def duration(seconds: float) -> str:
    """A span as people say it: `42 s`, `4 min 12 s`, `3 h 5 min`, `2 d 4 h`."""
    whole = max(int(seconds), 0)
    steps = ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))
    for size, unit, smaller, smaller_unit in steps:
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit}" + (f" {rest} {smaller_unit}" if rest else "")
    return f"{whole} s"


def _closed(text: str) -> str:
    """A text whose code ends where it does: a back-tick left open would swallow what stands behind it."""
    return text.replace("`", "ʹ") if "`" in _CODE.sub("", text) else text


def _flat(text: str, limit: int) -> str:
    return " ".join(clean(_ends(text, limit)).split())


def _ends(text: str, limit: int) -> str:
    """The start and the end of a very long text: nobody will see more, so nothing more is cleaned."""
    most = 8 * max(limit, 0) + 1000
    return text if len(text) <= most else f"{text[: most // 2]} {text[len(text) - most // 2 :]}"


def _entities(text: str) -> str:
    """The three signs as they are written; `str.translate` takes ten times as long."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _within(text: str, limit: int, shorten: Callable[[str, int], str]) -> str:
    """Shortened before it is escaped, so that no entity is ever cut, until the escaped form fits."""
    room = limit = max(limit, 0)
    while units(escaped := _entities(shorten(text, room))) > limit:
        room = min(room, len(text)) - max((units(escaped) - limit) // 5, 1)
    return escaped
