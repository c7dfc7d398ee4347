"""The message of a single entity; `digest.py` has the one of several."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from urllib.parse import quote

from worker.domain import mrkdwn, presentation
from worker.domain.event import UUID, Event, Kind, Step, has_log
from worker.domain.message import Colour, Context, Message, Section
from worker.domain.message_plan import Line, MessageContent
from worker.domain.mrkdwn import bold, code, date, line_ends, link, units
from worker.domain.mrkdwn import line as one_line
from worker.domain.presentation import appearance, failure_reason, headline, is_resolved, step_emoji, summary_line

NAMED_STEPS = 8  # up to this number all steps are named; more of them are a bar
SQUARES = 20
NEIGHBOURS = 2  # steps named on each side of the one that matters
QUOTED_ERRORS = 2
STEP_NAME, STEP_ERROR = 60, 300
TITLE, TEXT, ERROR, SUMMARY = 200, 1000, 1000, 600
ADDRESS, LONG_ADDRESS = 1000, 2900  # of links beside other text, and of a link alone
LABELS = 5
ID, LONG_ID, SHORT_ID = 40, 20, 9  # a long id is short where the link has all of it
VALUES = 6
LINKS_CHARS = 2_000  # of the 3,000 of a block and the 11,000 of all texts together
# By a step's emoji, the worst first:
SQUARE = {"❌": "🟥", "🚫": "🟥", "🟡": "🟨", "⏳": "🟦", "⬜": "⬜", "⚪": "⬜", "🔵": "⬜", "✅": "🟩"}
DOT = "  ·  "
REPLACED = "⚪"  # the emoji of a card that goes on elsewhere
CLOCK_NOTE = "⚠ sender's clock is ahead"
REPEAT_NOTE = "↻ Slack did not confirm an earlier attempt: this may repeat a message that you have seen."


def render(content: MessageContent, *, infrakitchen_url: str = "", may_repeat: bool = False) -> Message:
    """Return the message of one entity: its headline, reason, text, steps, facts and links."""
    line = content.lines[0]
    event, url = line.event, event_url(line.event, infrakitchen_url)
    # An address that has no room beside other text has a block of its own.
    long_url = event_url(event, infrakitchen_url, LONG_ADDRESS)
    long_link = "" if long_url == url else link(long_url, "Source" if url else "Open")
    # The text only if it adds something.
    text = "" if event.text in (event.title, failure_reason(event)) else mrkdwn.plain(event.text, TEXT)
    pages = _links(event)
    facts = _facts(line, url, infrakitchen_url, has_pages=bool(pages))
    blocks = (
        Section(text), Section(presentation.next_step(event)), Section(progress(event)),
        Context(facts), Context(pages), Context(long_link),
    )  # fmt: skip
    return _message(content, url, blocks, may_repeat=may_repeat)


def reply(content: MessageContent, *, may_repeat: bool = False, is_recovery: bool = False) -> Message:
    """Return the reply in a card's thread, which notifies people: the headline, the reason and the time."""
    line = content.lines[0]
    if is_recovery:
        line = replace(line, event=replace(line.event, title=f"Recovered: {line.event.title}"))
        content = replace(content, lines=(line,))
    times = DOT.join(filter(None, (_time_span(line.event), _time(line.event))))
    return _message(content, "", (Context(times),), may_repeat=may_repeat)


def replaced(event: Event, successor_url: str, *, infrakitchen_url: str = "") -> Message:
    """Return the last edit of a card that goes on in a newer message, so that it no longer looks as if it went on."""
    message = render(MessageContent((Line(event, ""),)), infrakitchen_url=infrakitchen_url)
    note = Context(f"➡ Replaced by {link(successor_url, 'a newer message')}")
    message = replace(message, blocks=(*message.blocks, note))
    if presentation.is_finished(event):
        return message
    text = message.text.replace(appearance(event)[0], REPLACED, 1)
    headline_text = f"{REPLACED} {link(event_url(event, infrakitchen_url), bold(headline(event), TITLE))}"
    return replace(message, text=text, headline=(Section(headline_text),), colour=Colour.QUIET)


def _message(content: MessageContent, url: str, blocks: Sequence[Section | Context], *, may_repeat: bool) -> Message:
    """Put the headline with its link above the coloured bar, the reason and the blocks that have a text beside it."""
    event = content.lines[0].event
    emoji, colour = appearance(event)
    reason = Section(mrkdwn.code_block(presentation.remove_box(failure_reason(event)), ERROR))
    repeat = Context(REPEAT_NOTE if may_repeat else "")
    return Message(
        text=plain_line(event, content.mentions),
        headline=(Section(" ".join((emoji, *content.mentions, link(url, bold(headline(event), TITLE))))),),
        blocks=tuple(block for block in (reason, *blocks, repeat) if block.text.strip()),
        colour=colour,
    )


def plain_line(event: Event, mentions: tuple[str, ...] = ()) -> str:
    """Return an event in a line or two: the notification on a phone, and the whole message in plain form."""
    detail = line_ends(summary_line(event), SUMMARY)
    title = " ".join((appearance(event)[0], *mentions, line_ends(headline(event), TITLE)))
    return shorten_ids(f"{title}: {detail}" if detail else title)


def shorten_ids(text: str) -> str:
    """Return a notification for a phone with only the start of each UUID."""
    return UUID.sub(lambda uuid: f"{uuid[0][:8]}…", text)


def event_url(event: Event, infrakitchen_url: str, limit: int = ADDRESS) -> str:
    """Return the page of an alert, or of the entity in InfraKitchen, that Slack can link within `limit` characters."""
    given, own = _linkable(event.url, limit), own_url(event, infrakitchen_url)
    return given or own if event.kind is Kind.ALERT else own or given


def own_url(event: Event, infrakitchen_url: str) -> str:
    """Return the entity's page in InfraKitchen; empty if there is none, or Slack cannot link it."""
    entity = event.entity
    if not (infrakitchen_url and entity.type and entity.id) or entity.type == "alert":
        return ""
    page = f"{_quote(entity.type)}s/{_quote(entity.id)}"
    if entity.type == "integration":
        page = f"integrations/{_quote(event.provider)}/{_quote(entity.id)}" if event.provider else "integrations"
    return _linkable(f"{infrakitchen_url}/{page}", ADDRESS)


def _linkable(url: str, limit: int) -> str:
    address = mrkdwn.normalize_url(url)
    return address if 0 < units(link(address, "")) <= limit else ""


def _quote(part: str) -> str:
    return quote(mrkdwn.clean(part), safe="")


def _facts(line: Line, url: str, infrakitchen_url: str, *, has_pages: bool) -> str:
    """Return a row of facts (severity, times, place, people), and a row of labels, values, id and time."""
    event, is_alert = line.event, line.event.kind is Kind.ALERT
    log = _log_link(event, infrakitchen_url)
    named = {
        "Project": event.project, "Template": event.template, "By": event.requester,
        "Was": event.previous.replace("_", " "),
    }  # fmt: skip
    facts = (
        *((bold(event.severity_word, 20), _alert_entity(event, infrakitchen_url)) if is_alert else ()),
        _time_span(event),
        *(f"*{name}* {one_line(value, 80 if name == 'By' else 60)}" for name, value in named.items() if value),
    )
    references = (
        *labels(event, LABELS), _values(event), _id(event, url), _earlier(line), _time(event),
        CLOCK_NOTE if event.is_from_future else "", log if log or has_pages else link(url, "Open" if url else ""),
    )  # fmt: skip
    rows = (DOT.join(filter(None, facts)), DOT.join(filter(None, references)))
    return "\n".join(filter(None, rows))


def _log_link(event: Event, infrakitchen_url: str) -> str:
    """Return the link to the log of what failed, for the kinds that have a page of logs in InfraKitchen."""
    own = own_url(event, infrakitchen_url) if has_log(event.kind) else ""
    return link(f"{own}/logs", "Log") if own and presentation.has_failed(event) else ""


def _links(event: Event) -> str:
    """Return a row of links, as many as fit; the title has that of the event's own page."""
    row = ""
    for page in event.links:
        shown = link(_linkable(page.url, LINKS_CHARS), one_line(page.label, 40))
        longer = DOT.join(filter(None, (row, shown)))
        row = longer if shown.startswith("<") and units(longer) <= LINKS_CHARS else row
    return row


def _earlier(line: Line) -> str:
    """Return how many earlier states the message covers, and how many of them were failures that no message showed."""
    failed = f", {line.failed_count:,} failed" if line.failed_count else ""
    changes = f"{line.older_count:,} earlier change{'s' if line.older_count > 1 else ''}"
    return f"includes {changes}{failed}" if line.older_count else ""


def _values(event: Event) -> str:
    """Return what the queries of an alert measured."""
    shown = [f"{name} = {_round(value)}" for name, value in list(event.values.items())[:VALUES]]
    return f"*Value* {one_line(', '.join(shown), 200)}" if shown else ""


def _round(value: str) -> str:
    """Return a measured number with no more digits than a reader needs; any other text unchanged."""
    try:
        number = float(value)
    except ValueError:
        return value
    return f"{number:,.4g}" if abs(number) < 1_000 else f"{number:,.0f}"


def _time(event: Event) -> str:
    """Return when it happened, unless `_time_span` says the same: an alert that fires has one time."""
    if event.started_at_s is None or event.ended_at_s is not None or is_resolved(event):
        return date(event.at_s)
    is_said = event.kind is Kind.ALERT or abs(event.at_s - event.started_at_s) < 60
    return "" if is_said else date(event.at_s)


def _time_span(event: Event) -> str:
    """Return how long it took, or since when it is so."""
    if event.started_at_s is None:
        return ""
    if event.ended_at_s is None:
        return f"*Since* {date(event.started_at_s)}"
    verb = "Lasted" if event.kind is Kind.ALERT else "Took"
    return f"*{verb}* {mrkdwn.duration(event.ended_at_s - event.started_at_s)}"


def _alert_entity(event: Event, infrakitchen_url: str) -> str:
    """Return the entity that an alert is about, with its link."""
    entity = event.entity
    if entity.type == "alert" or not entity.id:
        return ""
    name = one_line(f"{entity.type} {entity.name or entity.id}", 80)
    return f"*On* {link(own_url(event, infrakitchen_url), name)}"


def labels(event: Event, limit: int) -> list[str]:
    """Return the labels that add something to the title and the project, those that say where first."""
    known = presentation.where_labels(event).items()
    shown = [label for label in known if label != ("project", event.project)]
    return [code(f"{name}={value}" if value else name, 80) for name, value in shown[:limit]]


def _id(event: Event, url: str) -> str:
    """Return the id of an entity without a name if the title lacks it; short where the link has all of a long one."""
    entity = event.entity
    is_named = any(part and part in event.title for part in (entity.id, entity.name))
    if event.kind is Kind.ALERT or not entity.id or is_named:
        return ""
    is_linked = len(entity.id) > LONG_ID and _quote(entity.id) in url
    return code(mrkdwn.cut(entity.id, SHORT_ID if is_linked else ID), 60)


def progress(event: Event) -> str:
    """Return the steps of a workflow; of many, a bar and the steps around the one that matters."""
    steps = event.steps
    if not steps:
        return ""
    emoji = [step_emoji(step.status) for step in steps]
    done = emoji.count("✅")
    count = f"{done} of {len(steps)} steps done"
    rows = [] if count in event.title else [f"*{count}*"]
    if len(steps) <= NAMED_STEPS:
        rows.append(_names(steps))
    elif done < len(steps):
        # A square for each step; of very many, several steps share a square that shows the worst of them.
        squares = min(len(steps), SQUARES)
        edges = pairwise(index * len(steps) // squares for index in range(squares + 1))
        bar = "".join(next(SQUARE[sign] for sign in SQUARE if sign in emoji[start:end]) for start, end in edges)
        # The first step that failed, else the first that is not done, and its neighbours.
        index = emoji.index("❌") if "❌" in emoji else next(i for i, sign in enumerate(emoji) if sign != "✅")
        start, end = max(index - NEIGHBOURS, 0), min(index + NEIGHBOURS + 1, len(steps))
        before, after = "…  " if start else "", "  …" if end < len(steps) else ""
        rows = [bar, *rows, before + _names(steps[start:end]) + after]
    reason = failure_reason(event)
    failed = [step for step in steps if step_emoji(step.status) == "❌" and step.error]
    unquoted = [step for step in failed if step.error.strip() not in reason][:QUOTED_ERRORS]
    errors = [f"> {bold(step.name, STEP_NAME)}: {line_ends(step.error, STEP_ERROR)}" for step in unquoted]
    return "\n".join([*rows, *errors])


def _names(steps: Sequence[Step]) -> str:
    return "  ".join(f"{step_emoji(step.status)} {one_line(step.name, STEP_NAME)}" for step in steps)
