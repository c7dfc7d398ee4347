"""The filters of templates: ours make markup, Jinja2's own are those that cannot make much out of little."""

import re
from collections.abc import Callable, Iterable, Mapping

from jinja2.filters import FILTERS as JINJAS

from worker.domain.markup import bold, code, code_block, date, duration, line, link
from worker.domain.markup import cut as cut_text
from worker.domain.template import TemplateFault
from worker.pipeline.filling import SHOWN_MOST, VALUE_MOST, Markup, as_markup, joined, shown_as

CODE_MOST = 1_000
SIZE_MOST = 20_000
"""Characters of a text, or elements of a list, that a template may make."""

OF_JINJA = (
    "abs", "capitalize", "count", "d", "default", "dictsort", "first", "float", "int", "items", "last",
    "length", "list", "lower", "map", "max", "min", "reject", "rejectattr", "reverse", "select", "selectattr",
    "sort", "title", "trim", "unique", "upper",
)  # fmt: skip


def _cut(value: object, limit: int = 80) -> str:
    """At most so many characters."""
    if isinstance(value, Markup):
        raise TemplateFault("`cut` stands before a filter that makes markup, not after it")
    return cut_text(shown_as(value), max(int(limit), 1))


def _bold(value: object) -> Markup:
    return Markup(f"*{value}*" if isinstance(value, Markup) else bold(shown_as(value), VALUE_MOST))


def _code(value: object) -> Markup:
    """On one line."""
    return Markup(code(shown_as(value), CODE_MOST))


def _code_block(value: object) -> Markup:
    return Markup(code_block(shown_as(value), VALUE_MOST))


def _quote(value: object) -> Markup:
    """Every line of it."""
    shown = as_markup(value)
    return Markup("\n".join(f"> {one}" for one in shown.split("\n")) if shown else "")


def _date(value: float | str | None, form: str = "{date_short_pretty} {time}") -> str:
    """In the reader's own zone; `form` is Slack's."""
    if re.search(r"[<>|^\n]", form):
        raise TemplateFault(f"{form!r} is no form of a date")
    return "" if value is None or value == "" else Markup(date(float(value), form))


def _duration(value: float | str | None) -> str:
    return "" if value is None or value == "" else duration(float(value))


def _link(value: object, label: object = None) -> Markup:
    """An address to click at; without one, the label alone."""
    url = shown_as(value).strip()
    shown = line(url, SHOWN_MOST) if label is None else line(shown_as(label), SHOWN_MOST)
    return Markup(link(url, shown))


def _join(values: Iterable[object], between: str = "") -> str:
    parts = list(values)
    sized(sum(len(shown_as(part)) + len(between) for part in parts))
    return joined(parts, between)


def _replace(value: object, old: str, new: str) -> str:
    text = value if isinstance(value, str) else shown_as(value)
    sized(len(text) + text.count(old) * len(new))
    return text.replace(old, new)


def _round(value: float, digits: int = 0) -> float:
    found = round(float(value), max(0, min(int(digits), 9)))
    return found if digits else int(found)


def sized(size: int) -> None:
    """TemplateFault for a text of more characters than a template may make."""
    if size > SIZE_MOST:
        raise TemplateFault(f"it makes a text of more than {SIZE_MOST:,} characters")


OURS: Mapping[str, Callable[..., object]] = {
    "bold": _bold, "code": _code, "code_block": _code_block, "cut": _cut, "date": _date,
    "duration": _duration, "join": _join, "link": _link, "quote": _quote, "replace": _replace,
    "round": _round,
}  # fmt: skip

FILTERS: Mapping[str, Callable[..., object]] = {**{name: JINJAS[name] for name in OF_JINJA}, **OURS}
