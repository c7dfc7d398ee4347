"""Template: what a subscription's own template makes of an event; the default message where it fails."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from worker.domain.folding import Folding
from worker.domain.looks import look
from worker.domain.markup import date, line
from worker.domain.message import Block, Context, Given, Message, Section
from worker.domain.pieces import fenced, pieces, shortened
from worker.domain.subscription import Subscription
from worker.domain.template import TemplateFault
from worker.pipeline.filling import WRITTEN_MOST, Values, are_blocks
from worker.pipeline.render import REPEAT_NOTE, event_url, message_of, plain_line
from worker.pipeline.variables import variables_of

if TYPE_CHECKING:
    from worker.pipeline.language import Clock

TEXT_MOST = 9_500  # of the 11,000 all texts may have together; the rest is for the fallback and notes
PIECE_MOST = 2_500  # of a section's 3,000; the rest is for mentions

WhyNot = Callable[[Message], str]
"""Why Slack would not take a message, in words; empty when it would."""


@dataclass(frozen=True, slots=True)
class Written:
    """A message; with a `fault`, the default one in place of what `templated` should have made."""

    message: Message
    templated: Subscription | None = None
    fault: TemplateFault | None = None


class Writer:
    """Writes messages, by the template of a subscription that has one."""

    def __init__(
        self,
        why_not: WhyNot,
        infrakitchen_url: str = "",
        console_url: str = "",
        clock: "Clock" = time.thread_time,
    ) -> None:
        self._why_not = why_not
        self._url = infrakitchen_url
        self._console_url = console_url
        self._clock = clock

    def write(self, folding: Folding, *, may_repeat: bool = False, lane: str = "") -> Written:
        """What is posted of one entity, or of several together: those have no template."""
        by = folding.lines[0].templated if len(folding.lines) == 1 else None
        if by is None:
            list_url = self._console_url and f"{self._console_url}/deliveries?{urlencode({'lane': lane})}"
            return Written(message_of(folding, self._url, may_repeat=may_repeat, list_url=list_url))
        try:
            return Written(self.fill(by.template, folding, may_repeat=may_repeat), by)
        except TemplateFault as fault:
            default = message_of(folding, self._url, may_repeat=may_repeat)
            note = f"⚠ The template of subscription {by.id} failed: {line(str(fault), 300)}"
            return Written(replace(default, blocks=(*default.blocks, Context((note,)))), by, fault)

    def fill(
        self, source: str, folding: Folding, *, may_repeat: bool = False, strict: bool = False
    ) -> Message:
        """What a template makes of one entity's newest state; TemplateFault when that is no message.

        `strict`: a text that is too long is a fault too, not cut.
        """
        from worker.pipeline.language import compiled, run  # Jinja2; most subscriptions have no template

        event = folding.lines[0].event
        values = Values()
        known = variables_of(event, event_url(event, self._url), self._url)
        written = run(compiled(source), known, values, self._clock).strip()
        if are_blocks(written):
            above, beside = _of_blocks(written, values, folding.mentions)
        else:
            above, beside = _of_text(written, values, folding.mentions, strict=strict)
        repeat = (Context((REPEAT_NOTE,)),) if may_repeat else ()
        when = () if beside else (Context((date(event.at_s),)),)  # the bar stands beside something
        blocks = (*beside, *when, *repeat)
        message = Message(plain_line(event, folding.mentions), above, blocks, look(event)[1])
        if reason := self._why_not(message):
            raise TemplateFault(reason)
        return message


Halves = tuple[tuple[Block, ...], tuple[Block, ...]]
"""What stands above the coloured bar, and what beside it."""


def _of_blocks(written: str, values: Values, mentions: Sequence[str]) -> Halves:
    """The first block above the bar, the others beside it."""
    if len(written) > WRITTEN_MOST:
        raise TemplateFault(f"it writes more than {WRITTEN_MOST:,} characters")
    first, *others = map(Given, values.blocks(written))
    mentioned = (Section(" ".join(mentions)),) if mentions else ()
    return (*mentioned, first), tuple(others)


def _of_text(written: str, values: Values, mentions: Sequence[str], *, strict: bool) -> Halves:
    """The first line above the bar, the others beside it."""
    whole = values.markup(written).strip()
    text = shortened(whole, TEXT_MOST)
    if strict and text != whole:
        raise TemplateFault(f"it writes more than {TEXT_MOST:,} characters")
    first, _, rest = text.partition("\n")
    parts = fenced([*pieces(first, PIECE_MOST), *pieces(rest, PIECE_MOST)])
    if not parts:
        raise TemplateFault("it writes nothing")
    return (Section(" ".join((*mentions, parts[0]))),), tuple(map(Section, parts[1:]))
