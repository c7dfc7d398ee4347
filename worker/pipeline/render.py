"""Render: what is told together becomes a message; of one entity here, of several in `digest.py`."""

from collections.abc import Sequence
from urllib.parse import quote

from worker.domain.event import Event, Kind
from worker.domain.folding import Folding, Line
from worker.domain.looks import gist, headline, look, why
from worker.domain.markup import (
    bold,
    clean,
    code,
    code_block,
    cut,
    date,
    duration,
    escape,
    line,
    line_ends,
    link,
    units,
)
from worker.domain.message import Block, Context, Message, Section
from worker.pipeline.digest import digest, labels
from worker.pipeline.progress import progress

TITLE, TEXT, ERROR, ADDRESS, GIST = 200, 1000, 1000, 1000, 600
LABELS = 5
ID, LONG_ID, SHORT_ID = 40, 20, 9  # a long id is short where the link has all of it
DOT = "  ·  "
REPEAT_NOTE = "↻ Slack did not confirm an earlier try: this may repeat a message you have seen."


def message_of(
    folding: Folding, infrakitchen_url: str, *, may_repeat: bool = False, list_url: str = ""
) -> Message:
    """What is posted of one entity, or of several together; `list_url` leads to all of these."""
    if len(folding.lines) == 1:
        return render(folding, infrakitchen_url=infrakitchen_url, may_repeat=may_repeat)
    urls = tuple(event_url(told.event, infrakitchen_url) for told in folding.lines)
    return digest(folding, urls, may_repeat=may_repeat, list_url=list_url)


def render(folding: Folding, *, infrakitchen_url: str = "", may_repeat: bool = False) -> Message:
    """The message of one entity: what, how bad, since when, where to click."""
    told = folding.lines[0]
    url = event_url(told.event, infrakitchen_url)
    blocks = [*_body(told.event), _small_print(told, url, infrakitchen_url)]
    return _message(folding, url, blocks, may_repeat=may_repeat)


def reply(folding: Folding, *, may_repeat: bool = False) -> Message:
    """What a card's thread tells, so that someone is told: what happened now, why, and after how long."""
    event = folding.lines[0].event
    when = DOT.join(filter(None, (_time_span(event), date(event.at_s))))
    blocks = [_why(event), _context(when)]
    return _message(folding, "", blocks, may_repeat=may_repeat)


def _message(folding: Folding, url: str, blocks: Sequence[Block | None], *, may_repeat: bool) -> Message:
    """The headline of one entity, which leads to `url` if there is one, above blocks beside its colour."""
    event = folding.lines[0].event
    sign, colour = look(event)
    title = bold(headline(event), TITLE)
    shown = " ".join((sign, *folding.mentions, link(url, title) if url else title))
    repeat = (Context((REPEAT_NOTE,)),) if may_repeat else ()
    return Message(
        text=plain_line(event, folding.mentions),
        headline=(Section(shown),),
        blocks=(*(block for block in blocks if block is not None), *repeat),
        colour=colour,
    )


def event_url(event: Event, infrakitchen_url: str) -> str:
    """Where to click: the alert's own page, or the entity's in InfraKitchen; none Slack could not link."""
    given, own = clean(event.url), own_url(event, infrakitchen_url)
    addresses = (given, own) if event.kind is Kind.ALERT else (own, given)
    return next((one for one in addresses if _linkable(one)), "")


def own_url(event: Event, infrakitchen_url: str) -> str:
    """The entity's page in InfraKitchen."""
    entity = event.entity
    if not (infrakitchen_url and entity.type and entity.id) or entity.type == "alert":
        return ""
    own = f"{infrakitchen_url}/{_path(entity.type)}s/{_path(entity.id)}"
    return own if _linkable(own) else ""


def _linkable(address: str) -> bool:
    return 0 < units(link(address, "")) <= ADDRESS


def plain_line(event: Event, mentions: tuple[str, ...] = ()) -> str:
    """An event in a line or two: the notification on a phone, and the whole message in plain form."""
    detail = line_ends(gist(event), GIST)
    shown = " ".join((look(event)[0], *mentions, line_ends(headline(event), TITLE)))
    return f"{shown}: {detail}" if detail else shown


def _path(part: str) -> str:
    """A name as one part of an address."""
    return quote(clean(part), safe="")


def _body(event: Event) -> list[Block | None]:
    return [_why(event), _section(_said(event)), progress(event)]


def _why(event: Event) -> Block | None:
    return _section(code_block(why(event), ERROR))


def _said(event: Event) -> str:
    """The text of an event, where it says more than what is told already."""
    return "" if event.text in (event.title, why(event)) else escape(event.text, TEXT)


def _section(text: str) -> Block | None:
    """A section, if there is anything to see in it."""
    return Section(text) if text.strip() else None


def _context(*lines: str) -> Block | None:
    """Small grey lines, those in which there is anything to see."""
    text = "\n".join(filter(None, lines))
    return Context((text,)) if text else None


def _small_print(told: Line, url: str, infrakitchen_url: str) -> Block | None:
    """How bad, since when, where, who; below it what tells it apart, and the way to more."""
    event = told.event
    facts = (
        bold(event.severity_word, 20) if event.kind is Kind.ALERT else "",
        _on(event, infrakitchen_url) if event.kind is Kind.ALERT else "",
        _time_span(event),
        f"*Project* {line(event.project, 60)}" if event.project else "",
        f"*Template* {line(event.template, 60)}" if event.template else "",
        f"*By* {line(event.requester, 80)}" if event.requester else "",
        f"*Was* {line(event.previous.replace('_', ' '), 60)}" if event.previous else "",
    )
    traces = (
        *labels(event, LABELS),
        _id(event, url),
        f"{told.older:,} earlier change{'s' if told.older > 1 else ''} told here too" if told.older else "",
        date(event.at_s),
        link(url, "Open") if url else "",
    )
    return _context(DOT.join(filter(None, facts)), DOT.join(filter(None, traces)))


def _time_span(event: Event) -> str:
    """How long it took, or since when it is so."""
    if event.started_at_s is None:
        return ""
    if event.ended_at_s is None:
        return f"*Since* {date(event.started_at_s)}"
    lasted = "Lasted" if event.kind is Kind.ALERT else "Took"
    return f"*{lasted}* {duration(event.ended_at_s - event.started_at_s)}"


def _on(event: Event, infrakitchen_url: str) -> str:
    """The thing an alert is about, with the way to it."""
    entity = event.entity
    if entity.type == "alert" or not entity.id:
        return ""
    name = line(f"{entity.type} {entity.name or entity.id}", 80)
    return f"*On* {link(own_url(event, infrakitchen_url), name)}"


def _id(event: Event, url: str) -> str:
    """The id of a thing where the title does not say it; a long one is whole in the link, if there is one."""
    entity = event.entity
    if event.kind is Kind.ALERT or not entity.id or entity.id in event.title.split():
        return ""
    is_linked = len(entity.id) > LONG_ID and _path(entity.id) in url
    return code(cut(entity.id, SHORT_ID if is_linked else ID), 60)
