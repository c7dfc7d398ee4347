"""Render: what is told together becomes a message; of one entity here, of several in `digest.py`."""

from collections.abc import Sequence
from urllib.parse import quote

from worker.domain.event import Event, Kind
from worker.domain.folding import Folding, Line
from worker.domain.looks import headline, look, step_sign
from worker.domain.markup import bold, clean, code, code_block, cut, date, duration, escape, line, link, units
from worker.domain.message import Block, Context, Message, Section
from worker.pipeline.digest import digest

TITLE, TEXT, ERROR, ADDRESS = 300, 1500, 1500, 1000
STEPS_SHOWN = 15
REPEAT_NOTE = "↻ Slack did not confirm an earlier try: this may repeat a message you have seen."


def message_of(folding: Folding, infrakitchen_url: str, *, may_repeat: bool = False) -> Message:
    """What is posted of one entity, or of several together."""
    if len(folding.lines) == 1:
        return render(folding, infrakitchen_url=infrakitchen_url, may_repeat=may_repeat)
    urls = tuple(event_url(told.event, infrakitchen_url) for told in folding.lines)
    return digest(folding, urls, may_repeat=may_repeat)


def render(folding: Folding, *, infrakitchen_url: str = "", may_repeat: bool = False) -> Message:
    """The message of one entity: what, how bad, since when, where to click."""
    told = folding.lines[0]
    url = event_url(told.event, infrakitchen_url)
    return _message(folding, url, [*_body(told.event), _small_print(told, url)], may_repeat=may_repeat)


def reply(folding: Folding, *, may_repeat: bool = False) -> Message:
    """What a card's thread tells, so that someone is told: what happened now, and the error."""
    event = folding.lines[0].event
    blocks = [_section(code_block(event.error, ERROR)), Context((date(event.at_s),))]
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
    entity, own = event.entity, ""
    if infrakitchen_url and entity.type and entity.id and entity.type != "alert":
        own = f"{infrakitchen_url}/{_path(entity.type)}s/{_path(entity.id)}"
    given = clean(event.url)
    addresses = (given, own) if event.kind is Kind.ALERT else (own, given)
    return next((one for one in addresses if 0 < units(link(one, "")) <= ADDRESS), "")


def plain_line(event: Event, mentions: tuple[str, ...] = ()) -> str:
    """An event in a line or two: the notification on a phone, and the whole message in plain form."""
    detail = event.error or event.text
    shown = " ".join((look(event)[0], *mentions, line(headline(event), TITLE)))
    return f"{shown}: {line(detail, 600)}" if detail else shown


def _path(part: str) -> str:
    """A name as one part of an address."""
    return quote(clean(part), safe="")


def _lasted(event: Event) -> str:
    return "lasted" if event.kind is Kind.ALERT else "took"


def _body(event: Event) -> list[Block | None]:
    return [
        _section(code_block(event.error, ERROR)),
        _section(escape(event.text, TEXT)) if event.text != event.title else None,
        _steps(event),
    ]


def _section(text: str) -> Block | None:
    """A section, if there is anything to see in it."""
    return Section(text) if text.strip() else None


def _steps(event: Event) -> Block | None:
    """The steps of a workflow with their signs; of many, those around the one that matters."""
    steps = event.steps
    if not steps:
        return None
    done = sum(step.status in ("done", "success", "completed") for step in steps)
    shown = steps
    if len(steps) > STEPS_SHOWN:
        first_open = next((i for i, step in enumerate(steps) if step.status not in ("done", "success")), 0)
        start = max(min(first_open - STEPS_SHOWN // 2, len(steps) - STEPS_SHOWN), 0)
        shown = steps[start : start + STEPS_SHOWN]
    names = "  ".join(f"{step_sign(step.status)} {line(step.name, 60)}" for step in shown)
    failed = [
        f"\n> {bold(step.name, 60)}: {line(step.error, 200)}"
        for step in shown
        if step.error and step.error != event.error
    ]
    count = f"{done} of {len(steps)} steps done"
    told = names if count in event.title else f"*{count}*\n{names}"
    return Section(told + "".join(failed[:2]))


def _small_print(told: Line, url: str) -> Block | None:
    """Who, where, how long, when; and the way to more."""
    event = told.event
    parts = [
        f"*Project* {line(event.project, 60)}" if event.project else "",
        f"*Template* {line(event.template, 60)}" if event.template else "",
        f"*By* {line(event.requester, 80)}" if event.requester else "",
        f"*Severity* {line(event.severity_word, 20)}"
        if event.severity_word and event.kind is Kind.ALERT
        else "",
        f"*was* {line(event.previous.replace('_', ' '), 60)}" if event.previous else "",
        f"*{_lasted(event)}* {duration(event.ended_at_s - event.started_at_s)}"
        if event.started_at_s is not None and event.ended_at_s is not None
        else f"*since* {date(event.started_at_s)}"
        if event.started_at_s is not None
        else "",
        code(cut(event.entity.id, 40), 60) if event.entity.id else "",
        *(f"{code(f'{name}={value}', 80)}" for name, value in list(event.labels.items())[:5]),
        f"{told.older} earlier change{'s' if told.older > 1 else ''} told here too" if told.older else "",
        date(event.at_s),
        link(url, "Open") if url else "",
    ]
    shown = tuple(part for part in parts if part)
    return Context(("  ·  ".join(shown),)) if shown else None
