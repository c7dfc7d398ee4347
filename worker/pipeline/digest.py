"""Digest: several entities in one message, worst first, a line each; what does not fit is counted.

Many of the same name share a line, which names and links the first of them.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from worker.domain.event import Event, Kind
from worker.domain.folding import Folding, Line
from worker.domain.looks import WORDS, gist, headline, look, why
from worker.domain.markup import bold, code, date, line, line_ends, link, units
from worker.domain.message import Block, Colour, Context, Message, Section

LINES_MOST = 40
# Of the 11,000 characters all texts may have together; the rest is for headline, counts and text.
ROOM = 8_000
SECTION = 2_800
GROUPS_MOST = 8
LABELS = 3
FEW = 5  # so many entities are told with their details
MANY = 3  # so many that read the same share a line
NAMED_MOST = 3  # of those that share a line
HALF_A_DAY_S = 43_200.0
TITLE = 120
# Prometheus repeats in them what the title and the sign say.
SAID_ALREADY = ("alertname", "severity")
LATE_NOTE = "🕰 Of these, {:,} could not be told when they happened. They are told late: see their times."
REPEAT_NOTE = "↻ Slack did not confirm an earlier try: some of this may repeat a message you have seen."

Linked = tuple[Line, str]
"""A line of a folding and its address."""


@dataclass(frozen=True, slots=True)
class Writing:
    """How the lines of one digest are written: with how much detail, and which times without their day."""

    detail_most: int
    newest_s: float

    def detail(self, event: Event) -> str:
        """Why it failed; of all else what is said first."""
        told = gist(event)
        return line_ends(told if why(event) else told.partition("\n")[0], self.detail_most)

    def when(self, at_s: float) -> str:
        """A time; its day too, where that may be another one."""
        return date(at_s, "{time}") if self.newest_s - at_s < HALF_A_DAY_S else date(at_s)


def digest(
    folding: Folding, urls: tuple[str, ...], *, may_repeat: bool = False, list_url: str = ""
) -> Message:
    """One message for several entities; `urls` are the links of the lines, in their order."""
    groups = _groups(folding, urls)
    shown = _shown(folding, groups)
    rest = [told for group in groups[len(shown) :] for told, _ in group]
    signs = Counter(look(told.event)[0] for told in folding.lines)
    count = f"{folding.events:,} updates"
    things = f" of {len(folding.lines):,} things" if folding.events > len(folding.lines) else ""
    tally = "  ".join(f"{sign} {number:,} {WORDS[sign]}" for sign, number in signs.items())
    told = " ".join((*folding.mentions, f"*{count}*{things}", f"  {tally}"))
    blocks: list[Block] = list(_sections(shown))
    if rest:
        blocks.append(Section(_more(rest, list_url)))
    if folding.late:
        blocks.append(Context((LATE_NOTE.format(folding.late),)))
    if may_repeat:
        blocks.append(Context((REPEAT_NOTE,)))
    return Message(
        text=_plain(folding, groups, count),
        headline=(Section(told),),
        blocks=tuple(blocks),
        colour=look(folding.lines[0].event)[1] if folding.lines else Colour.QUIET,
    )


def labels(event: Event, most: int) -> list[str]:
    """The labels that say something new."""
    told = [(name, value) for name, value in event.labels.items() if name not in SAID_ALREADY]
    return [code(f"{name}={value}", 80) for name, value in told[:most]]


def _groups(folding: Folding, urls: tuple[str, ...]) -> list[list[Linked]]:
    """Lines that read the same together if they are many, each other one alone; in the order of the worst."""
    alike: dict[tuple[str, str, str], list[Linked]] = {}
    for told, url in zip(folding.lines, urls, strict=True):
        alike.setdefault(_reads(told.event), []).append((told, url))
    groups: list[list[Linked]] = []
    for group in alike.values():
        groups += [group] if len(group) >= MANY else [[one] for one in group]
    return groups


def _reads(event: Event) -> tuple[str, str, str]:
    return look(event)[0], event.entity.type, headline(event)


def _says(event: Event, writing: Writing) -> tuple[str, str]:
    """What a line says without its labels."""
    return headline(event), writing.detail(event)


def _shown(folding: Folding, groups: Sequence[list[Linked]]) -> list[str]:
    """As many lines as there is room for."""
    newest_s = max((told.event.at_s for told in folding.lines), default=0.0)
    writing = Writing(240 if len(folding.lines) <= FEW else 120, newest_s)
    said = Counter(_says(group[0][0].event, writing) for group in groups[:LINES_MOST])
    shown: list[str] = []
    room = ROOM
    for group in groups[:LINES_MOST]:
        told, url = group[0]
        if len(group) > 1:
            text = _together(group, writing)
        else:
            text = _line(told, url, writing, alike=said[_says(told.event, writing)] > 1)
        if units(text) > room:
            break
        shown.append(text)
        room -= units(text) + 1
    return shown


def _line(told: Line, url: str, writing: Writing, *, alike: bool) -> str:
    """One entity; where others read the same, with what tells them apart."""
    event = told.event
    apart = labels(event, LABELS) if alike else ()
    return _written(event, url, apart, writing.detail(event), told.older, writing.when(event.at_s))


def _together(group: Sequence[Linked], writing: Writing) -> str:
    """Many that read the same: how many, the first by name, and from when to when."""
    (told, url), *_ = group
    event = told.event
    named = _names(group)
    detail = " ".join(named) or writing.detail(event)
    if named and len(group) > len(named):
        detail += " …"
    older = sum(told.older for told, _ in group)
    times = [one.event.at_s for one, _ in group]
    minutes = dict.fromkeys(at_s // 60 * 60 for at_s in (min(times), max(times)))
    when = " – ".join(map(writing.when, minutes))
    return _written(event, url, (f"× *{len(group):,}*",), detail, older, when)


def _written(event: Event, url: str, apart: Sequence[str], detail: str, older: int, when: str) -> str:
    """A line: its sign, the headline as a link with what tells it apart, why, and when."""
    title = " ".join((link(url, bold(headline(event), TITLE)), *apart))
    what = " — ".join(filter(None, (title, detail)))
    again = f"(+{older:,} earlier)" if older else ""
    return " ".join(filter(None, (look(event)[0], what, again, "·", when)))


def _names(group: Sequence[Linked]) -> list[str]:
    """The first few by the label in which they differ most, each with its link."""
    values: dict[str, set[str]] = {}
    for told, _ in group:
        for name, value in told.event.labels.items():
            values.setdefault(name, set()).add(value)
    name = max(values, key=lambda one: len(values[one]), default="")
    if not name or len(values[name]) < 2:
        return []
    first = [(told.event.labels.get(name, ""), url) for told, url in group[:NAMED_MOST]]
    return [link(url, shown) for value, url in first if (shown := code(value, 40))]


def _sections(lines: list[str]) -> list[Section]:
    """Lines in as few sections as their limit allows."""
    sections: list[str] = []
    for text in lines:
        if sections and units(sections[-1]) + units(text) < SECTION:
            sections[-1] += "\n" + text
        else:
            sections.append(text)
    return [Section(text) for text in sections]


def _more(rest: Sequence[Line], list_url: str) -> str:
    """What did not fit, with the way to it, counted by name, or where that says too little by kind."""
    groups = Counter(_group(told.event) for told in rest)
    if len(groups) > GROUPS_MOST:
        groups = Counter(f"{look(told.event)[0]} {told.event.kind}" for told in rest)
    named = ", ".join(f"{name} × {number:,}" for name, number in groups.most_common())
    return f"… and {link(list_url, f'*{len(rest):,} more*')}: {named}."


def _group(event: Event) -> str:
    name = event.entity.name if event.kind is Kind.ALERT else event.entity.type
    return f"{look(event)[0]} {line(name, 60) or event.kind}"


def _plain(folding: Folding, groups: Sequence[list[Linked]], count: str) -> str:
    """The notification: the count and the worst few."""
    worst = "; ".join(
        f"{look(group[0][0].event)[0]} {line_ends(headline(group[0][0].event), 100)}"
        + (f" × {len(group):,}" if len(group) > 1 else "")
        for group in groups[:3]
    )
    return " ".join((*folding.mentions, f"{count}: {worst}" + (" …" if len(groups) > 3 else "")))
