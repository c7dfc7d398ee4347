"""Digest: several entities in one message, worst first, a line each; what does not fit is counted."""

from collections import Counter

from worker.domain.event import Event, Kind
from worker.domain.folding import Folding, Line
from worker.domain.looks import headline, look
from worker.domain.markup import bold, code, date, line, link, units
from worker.domain.message import Block, Colour, Context, Message, Section

LINES_MOST = 40
# Of the 11,000 characters all texts may have together; the rest is for headline, counts and text.
ROOM = 8_000
SECTION = 2_800
GROUPS_MOST = 8
LABELS = 3
FEW = 5  # so many entities are told with their details
REPEAT_NOTE = "↻ Slack did not confirm an earlier try: some of this may repeat a message you have seen."


def digest(folding: Folding, urls: tuple[str, ...], *, may_repeat: bool = False) -> Message:
    """One message for several entities; `urls` are the links of the lines, in their order."""
    shown = _shown(folding, urls)
    rest = folding.lines[len(shown) :]
    signs = Counter(look(told.event)[0] for told in folding.lines)
    count = f"{folding.events:,} updates"
    tally = "  ".join(f"{sign} {number:,}" for sign, number in signs.most_common())
    told = " ".join((*folding.mentions, f"*{count}*", f"  {tally}"))
    blocks: list[Block] = list(_sections(shown))
    if rest:
        blocks.append(Section(_more(rest)))
    if may_repeat:
        blocks.append(Context((REPEAT_NOTE,)))
    return Message(
        text=_plain(folding, count),
        headline=(Section(told),),
        blocks=tuple(blocks),
        colour=look(folding.lines[0].event)[1] if folding.lines else Colour.QUIET,
    )


def _shown(folding: Folding, urls: tuple[str, ...]) -> list[str]:
    """As many lines as there is room for."""
    shown: list[str] = []
    room = ROOM
    detail_most = 500 if len(folding.lines) <= FEW else 120
    first = folding.lines[:LINES_MOST]
    said = Counter(_said(told.event, detail_most) for told in first)
    for told, url in zip(first, urls, strict=False):
        alike = said[_said(told.event, detail_most)] > 1
        text = _line(told, url, detail_most, alike=alike)
        if units(text) > room:
            break
        shown.append(text)
        room -= units(text) + 1
    return shown


def _line(told: Line, url: str, detail_most: int, *, alike: bool) -> str:
    """One entity; where others read the same, with what tells them apart."""
    event = told.event
    title, detail = _said(event, detail_most)
    when = date(event.at_s, "{time}")
    again = f"(+{told.older:,} earlier)" if told.older else ""
    labels = " ".join(code(f"{name}={value}", 60) for name, value in list(event.labels.items())[:LABELS])
    title = link(url, title) if url else title
    what = " — ".join(part for part in (f"{title} {labels}" if alike and labels else title, detail) if part)
    return " ".join(part for part in (look(event)[0], what, again, "·", when) if part)


def _said(event: Event, detail_most: int) -> tuple[str, str]:
    """What a line says of an event: the title, and the detail if there is one."""
    return bold(headline(event), 120), line(event.error or event.text, detail_most)


def _sections(lines: list[str]) -> list[Section]:
    """Lines in as few sections as their limit allows."""
    sections: list[str] = []
    for text in lines:
        if sections and units(sections[-1]) + units(text) < SECTION:
            sections[-1] += "\n" + text
        else:
            sections.append(text)
    return [Section(text) for text in sections]


def _more(rest: tuple[Line, ...]) -> str:
    """What did not fit, counted by name, or where that says too little by kind."""
    groups = Counter(_group(told.event) for told in rest)
    if len(groups) > GROUPS_MOST:
        groups = Counter(f"{look(told.event)[0]} {told.event.kind}" for told in rest)
    named = ", ".join(f"{name} × {number:,}" for name, number in groups.most_common())
    return f"… and *{len(rest):,} more*: {named}."


def _group(event: Event) -> str:
    name = event.entity.name if event.kind is Kind.ALERT else event.entity.type
    return f"{look(event)[0]} {line(name, 60) or event.kind}"


def _plain(folding: Folding, count: str) -> str:
    """The notification: the count and the worst few."""
    worst = "; ".join(
        f"{look(told.event)[0]} {line(headline(told.event), 100)}" for told in folding.lines[:3]
    )
    return " ".join((*folding.mentions, f"{count}: {worst}" + (" …" if len(folding.lines) > 3 else "")))
