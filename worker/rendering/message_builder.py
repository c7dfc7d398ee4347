"""Message builder: applies the template of a subscription, or builds the default message."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from urllib.parse import urlencode

from worker.domain.errors import TemplateError
from worker.domain.message import TEXTS_MAX, Block, Context, Given, Message, Section
from worker.domain.message_plan import MessageContent
from worker.domain.mrkdwn import close_code_blocks, cut_markup, date, line, split_markup, units
from worker.domain.presentation import appearance
from worker.domain.subscription import Subscription
from worker.rendering.digest import digest
from worker.rendering.single import REPEAT_NOTE, event_url, plain_line, render, shorten_ids
from worker.templating.renderer_process import TemplateRenderer, run_in_template_thread
from worker.templating.variables import variables_of

TEXT_MAX = 9_500  # of the 10,500 bytes of all texts together; the rest is for mentions and notes
TEMPLATE_ADDRESS = 2_000  # characters of a link, which must fit into a section with its label
NOTE_MAX = 500  # bytes of the note that a template failed
SECTION_MAX = 2_500  # of the 3,000 characters of a section; the rest is for mentions


@dataclass(frozen=True, slots=True)
class BuiltMessage:
    """A message and the template it was built with."""

    message: Message
    #: Subscription whose template was used; None for a default message.
    template_subscription: Subscription | None = None
    #: Why the template failed; the message is then the default one with a note.
    template_error: TemplateError | None = None


@dataclass(frozen=True, slots=True)
class MessageBuilder:
    """Builds messages."""

    rejection_reason: Callable[[Message], str]  #: Returns why Slack would reject a message, or an empty text.
    renderer: TemplateRenderer
    infrakitchen_url: str = ""
    console_url: str = ""

    async def build(
        self, content: MessageContent, *, may_repeat: bool = False, lane: str = "",
        switched_off: Mapping[str, TemplateError],
    ) -> BuiltMessage:  # fmt: skip
        """Build the message for one entity, or for several, which have the default form.

        `switched_off` are the errors of templates that are not run again, by subscription id.
        """
        subscription = content.lines[0].template_subscription if len(content.lines) == 1 else None
        if subscription is None:
            list_url = self.console_url and f"{self.console_url}/deliveries?{urlencode({'lane': lane})}"
            return BuiltMessage(message_of(content, self.infrakitchen_url, may_repeat=may_repeat, list_url=list_url))
        if (error := switched_off.get(subscription.id)) is None:
            build = partial(self.build_from_template, subscription.template, content, may_repeat=may_repeat)
            try:
                return BuiltMessage(await run_in_template_thread(build), subscription)
            except TemplateError as failed:
                error = failed
        default = message_of(content, self.infrakitchen_url, may_repeat=may_repeat)
        result = "is switched off" if error.exceeds_limit else "failed"
        note = f"⚠ The template of subscription {subscription.id} {result}: {line(str(error), 300)}"
        return BuiltMessage(replace(default, blocks=(*default.blocks, Context(note))), subscription, error)

    def build_from_template(
        self, template: str, content: MessageContent, *, may_repeat: bool = False, is_strict: bool = False
    ) -> Message:
        """Build the message of one entity. Raises TemplateError, with `is_strict` also for a text that would be cut."""
        event = content.lines[0].event
        url = event_url(event, self.infrakitchen_url, TEMPLATE_ADDRESS)
        rendered = self.renderer.render(template, variables_of(event, url, self.infrakitchen_url))
        headline: list[Block]
        blocks: list[Block]
        if rendered.blocks:
            headline = [Section(" ".join(content.mentions))] if content.mentions else []
            headline.append(Given(rendered.blocks[0]))
            blocks = [Given(block) for block in rendered.blocks[1:]]
        else:
            sections = _split_text(rendered.markup, is_strict=is_strict)
            headline = [Section(" ".join((*content.mentions, sections[0])))]
            blocks = [Section(text) for text in sections[1:]]
        if not blocks:
            blocks.append(Context(date(event.at_s)))  # the coloured bar needs something beside it
        if may_repeat:
            blocks.append(Context(REPEAT_NOTE))
        text = plain_line(event, content.mentions)
        message = Message(text, tuple(headline), tuple(blocks), appearance(event)[1])
        if reason := self.rejection_reason(message):
            raise TemplateError(reason)
        return message


def _split_text(markup: str, *, is_strict: bool) -> list[str]:
    """Return the texts of the sections: the first line, which is above the bar, and the others."""
    text = cut_markup(markup.strip(), TEXT_MAX)
    if is_strict and text != markup.strip():
        raise TemplateError(f"it writes more than {TEXT_MAX:,} characters")
    first, _, rest = text.partition("\n")
    sections = close_code_blocks([*split_markup(first, SECTION_MAX), *split_markup(rest, SECTION_MAX)])
    if not sections:
        raise TemplateError("it writes nothing")
    return sections


def message_of(
    content: MessageContent, infrakitchen_url: str, *, may_repeat: bool = False, list_url: str = ""
) -> Message:
    """Return the default message: of one entity, or the digest of several, with the link `list_url` to all of these."""
    if len(content.lines) == 1:
        return limited(render(content, infrakitchen_url=infrakitchen_url, may_repeat=may_repeat))
    message = digest(content, infrakitchen_url, may_repeat=may_repeat, list_url=list_url)
    return limited(replace(message, text=shorten_ids(message.text)))


def limited(message: Message) -> Message:
    """Return a message whose texts together are within Slack's limit: the longest beside the bar are cut."""
    blocks = [block for block in message.blocks if not isinstance(block, Given)]
    headline = sum(units(block.text) for block in message.headline if not isinstance(block, Given))
    while (excess := headline + sum(units(block.text) for block in blocks) + NOTE_MAX - TEXTS_MAX) > 0:
        longest = max(blocks, key=lambda block: units(block.text))
        room = max(units(longest.text) - excess - 10, units(longest.text) // 2)
        text = close_code_blocks([cut_markup(longest.text, room)])[0]
        blocks[blocks.index(longest)] = replace(longest, text=text)
    return replace(message, blocks=tuple(blocks))
