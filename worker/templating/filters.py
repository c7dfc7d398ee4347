"""Filters of templates, and how a value is shown."""

import re
from collections.abc import Callable, Iterable, Mapping

from jinja2.filters import FILTERS as JINJA_FILTERS

from worker.domain.errors import TemplateError
from worker.domain.mrkdwn import bold, clean, code, code_block, cut, date, duration, escape, line, link

#: Delimiters of a mark: characters for private use, which no value may contain.
OPEN, CLOSE = "\ue000", "\ue001"
VALUE_MAX = 3_000
LABEL_MAX = 300


class Markup(str):
    """Text that is Slack markup already; made by a filter, never by an event."""

    __slots__ = ()


class Time(float):
    """Time in Unix seconds, shown in the reader's time zone."""


class TimeSpan(float):
    """Number of seconds, shown as `4 min 12 s`."""

    def __str__(self) -> str:
        return duration(self)


class Labels(dict[str, str]):
    """Labels by name; an absent label is empty."""

    def __missing__(self, name: str) -> str:
        return ""


class EventFields(dict[str, object]):
    """The variable `event`: its field `values` comes before the method of that name."""

    values = property(lambda self: self["values"])  # Jinja2 looks for attributes first


def shown_as(value: object) -> str:
    """Return a value as text: `Markup` if it is markup, else plain text to be escaped."""
    match value:
        case None:
            return ""
        case Markup():
            return value
        case Time():
            return Markup(date(value))
        case dict():
            return shown_as(", ".join(f"{name}={shown_as(item)}" for name, item in value.items()))
        case list() | tuple():
            return shown_as(", ".join(map(shown_as, value)))
        case _:
            return cut(clean(str(value)).replace(OPEN, "").replace(CLOSE, ""), VALUE_MAX)


def as_markup(value: object) -> str:
    """Return a value as Slack markup. Back-ticks of plain text become primes, as they would end code of the author."""
    text = shown_as(value)
    return text if isinstance(text, Markup) else escape(text.replace("`", "ʹ"), VALUE_MAX)


def join(values: Iterable[object], separator: str = "") -> str:
    """Join values to one text. If one of them is markup, the result is markup and the others are escaped."""
    texts = [part if isinstance(part, str) else shown_as(part) for part in (separator, *values)]
    if not any(isinstance(text, Markup) for text in texts):
        return texts[0].join(texts[1:])
    return Markup(as_markup(texts[0]).join(map(as_markup, texts[1:])))


def _cut(value: object, limit: int = 80) -> str:
    if isinstance(value, Markup):
        raise TemplateError("use `cut` before a filter that makes markup, not after it")
    return cut(shown_as(value), max(int(limit), 1))


def _date(value: float | str | None, form: str = "{date_short_pretty} {time}") -> str:
    """Format a time in the reader's time zone; for `form` see Slack's date formatting."""
    if re.search(r"[<>|^\n]", form):
        raise TemplateError(f"{form!r} is not a date format")
    return "" if value is None or value == "" else Markup(date(float(value), form))


def _link(value: object, label: object = None) -> Markup:
    """Link to an address; a value that is no web address gives the label alone."""
    url = shown_as(value).strip()
    return Markup(link(url, line(url if label is None else shown_as(label), LABEL_MAX)))


def _quote(value: object) -> Markup:
    text = as_markup(value)
    return Markup("\n".join(f"> {row}" for row in text.split("\n")) if text else "")


def _round(value: float, digits: int = 0) -> float:
    rounded = round(float(value), max(0, min(int(digits), 9)))
    return rounded if digits else int(rounded)


#: Our own filters, by name.
OURS: Mapping[str, Callable[..., object]] = {
    "bold": lambda value: Markup(f"*{value}*" if isinstance(value, Markup) else bold(shown_as(value), VALUE_MAX)),
    "code": lambda value: Markup(code(shown_as(value), 1_000)),
    "code_block": lambda value: Markup(code_block(shown_as(value), VALUE_MAX)),
    "cut": _cut,
    "date": _date,
    "duration": lambda value: "" if value is None or value == "" else duration(float(value)),
    "join": join,
    "link": _link,
    "quote": _quote,
    "round": _round,
}

_JINJA = (
    "abs", "capitalize", "count", "d", "default", "dictsort", "first", "float", "int", "items", "last",
    "length", "list", "lower", "map", "max", "min", "reject", "rejectattr", "replace", "reverse", "select",
    "selectattr", "sort", "title", "trim", "unique", "upper",
)  # fmt: skip

#: Every filter a template may use, by name.
FILTERS: Mapping[str, Callable[..., object]] = {**{name: JINJA_FILTERS[name] for name in _JINJA}, **OURS}
