"""A template makes the message it describes from any event, and the text of an event stays text."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.message_limits import find_problems
from support.templates import InProcessRenderer
from test_rendered_messages import LARGEST, bases, lines, mentions, simple, some_effort

from worker.domain.errors import TemplateError
from worker.domain.event import Event, Step
from worker.domain.message import Context, Given, Message, Section
from worker.domain.message_plan import Line, MessageContent
from worker.domain.subscription import Subscription
from worker.rendering.message_builder import TEXT_MAX, BuiltMessage, MessageBuilder
from worker.rendering.single import render
from worker.slack.blocks import rejection_reason
from worker.templating.variables import NAMES

HERE = "<!here>"
EVIL = 'a "quoted" \\ <!channel>\nb & <@U0000001> `c` *d*'


def content_of(template: str, event: Event | None = None, *mentions: str) -> MessageContent:
    by = Subscription("sub-1", "acme", "#ops", template=template)
    return MessageContent((Line(event or simple(title="db", project="shop"), "d1", 0, by),), mentions)


def builder(infrakitchen_url: str = "") -> MessageBuilder:
    return MessageBuilder(rejection_reason, InProcessRenderer(), infrakitchen_url)


def build(content: MessageContent, *, may_repeat: bool = False, infrakitchen_url: str = "") -> BuiltMessage:
    return asyncio.run(builder(infrakitchen_url).build(content, may_repeat=may_repeat, switched_off={}))


def message_of(template: str, event: Event | None = None, *mentions: str) -> Message:
    built = build(content_of(template, event, *mentions))
    assert built.template_error is None
    return built.message


def error_of(template: str, event: Event | None = None) -> str:
    with pytest.raises(TemplateError) as caught:
        builder().build_from_template(template, content_of(template, event))
    return str(caught.value)


def texts(message: Message) -> list[Any]:
    """Return the texts above the bar and beside it."""
    return [
        block.plain if isinstance(block, Given) else block.text if isinstance(block, Section) else block
        for block in (*message.headline, *message.blocks)
    ]


def test_the_first_line_is_above_the_bar_and_the_rest_beside_it() -> None:
    message = message_of("*{{ title }}* <!here>\nof {{ project }}\n\nsee <https://x|there>\n", None, "<@U0000001>")
    assert [block.text for block in message.headline] == ["<@U0000001> *db* <!here>"]
    assert [block.text for block in message.blocks] == ["of shop\n\nsee <https://x|there>"]
    default = render(content_of("", None, "<@U0000001>"))
    assert (message.text, message.colour) == (default.text, default.colour)


def test_a_template_of_one_line_has_the_time_beside_the_bar() -> None:
    message = message_of("{{ title }}")
    assert [type(block) for block in message.blocks] == [Context]


BLOCKS = """
[
  {"type": "header", "text": {"type": "plain_text", "text": "{{ title }}", "emoji": true}},
  {% for step in steps %}
  {"type": "section", "text": {"type": "mrkdwn", "text": "*{{ step.name }}* <!here> {{ step.error }}"}},
  {% endfor %}
  {"type": "context", "elements": [{"type": "mrkdwn", "text": "{{ at }}, {{ steps|length }}"}]},
  {"type": "actions", "elements": [
    {"type": "button", "text": {"type": "plain_text", "text": "Open"}, "url": " https://x/?a={{ id }}&b=2"}
  ]}
]
"""


def test_blocks_are_sent_as_written_with_the_values_in_their_strings() -> None:
    event = simple(title=EVIL, steps=(Step('"}]', 1, "error", EVIL),))
    message = message_of(BLOCKS, event, HERE)
    escaped = 'a "quoted" \\ &lt;!channel&gt;\nb &amp; &lt;@U0000001&gt; ʹcʹ *d*'
    above, header, step, context, actions = texts(message)
    assert above == HERE
    assert header["text"]["text"] == escaped
    assert step["text"] == {"type": "mrkdwn", "text": f'*"}}]* <!here> {escaped}', "verbatim": True}
    assert context["elements"][0]["text"].endswith(" UTC>, 1")
    assert actions["elements"][0]["url"] == "https://x/?a=1&b=2"


def test_the_address_of_a_button_is_percent_encoded() -> None:
    button = '{"type": "button", "text": {"type": "plain_text", "text": "Open"}, "url": "HTTPS://x/{{ title }}"}'
    (actions, _) = texts(message_of(f'[{{"type": "actions", "elements": [{button}]}}]', simple(title='a "b"|c')))
    assert actions["elements"][0]["url"] == "https://x/a%20%22b%22%7Cc"


@pytest.mark.parametrize("whole", ['{"blocks": [{"type": "divider"}]}', '{"type": "divider"}'])
def test_a_single_block_or_the_output_of_the_block_kit_builder_is_accepted(whole: str) -> None:
    assert texts(message_of(whole))[0] == {"type": "divider"}


def test_a_text_that_begins_with_a_bracket_is_a_text() -> None:
    assert texts(message_of("[{{ status or 'new' }}] {{ title }}"))[0] == "[new] db"
    assert texts(message_of("{{ title }}", simple(title='[{"type": "divider"}]')))[0] == '[{"type": "divider"}]'


@pytest.mark.parametrize(
    ("template", "shown"),
    [
        ("<{{ url }}|{{ title }}>", "<https://x/?a=1&amp;b=2|a &lt;b&gt;>"),
        ("<{{ url }}|{{ title ~ '\n' ~ title }}>", "<https://x/?a=1&amp;b=2|a &lt;b&gt; a &lt;b&gt;>"),
        ("<{{ url }}|{{ error }}>", "<https://x/?a=1&amp;b=2|https://x/?a=1&amp;b=2>"),
        ("<{{ url }}>", "<https://x/?a=1&amp;b=2|https://x/?a=1&amp;b=2>"),
        ("<https://y/{{ entity_id }}?c&amp;d|{{ title|bold }}>", "<https://y/17?c&amp;d|*a &lt;b&gt;*>"),
        ("<https://y/{{ title }}|encoded>", "<https://y/a%20%3Cb%3E|encoded>"),
        ("<{{ title }}|no link>", "no link"),
        ("<{{ url }}|{{ url|link('in') }}>", "<https://x/?a=1&amp;b=2|in>"),
        ("{{ url|link(title) }}", "<https://x/?a=1&amp;b=2|a &lt;b&gt;>"),
        ("{{ url|link }}", "<https://x/?a=1&amp;b=2|https://x/?a=1&amp;b=2>"),
        ("{{ title|link('no link') }}", "no link"),
        ("<@{{ requester }}>", "&lt;@U0000001&gt;"),
        ("<!{{ text }}>", "&lt;!here&gt;"),
        ("<{{ project }}>", "!here"),
        ("<{{ project }}|x>", "x"),
        ("a < b {{ text }} > c", "a &lt; b here &gt; c"),
        ("<!subteam^S1|{{ text }}>", "&lt;!subteam^S1|here&gt;"),
        ("<!here> <@U1> <#C1>", "<!here> <@U1> <#C1>"),
        ("{{ '<!here>' }}", "&lt;!here&gt;"),
        ("{{ title|upper }} {{ title ~ 1 }} {{ title[2:] }}", "A &lt;B&gt; a &lt;b&gt;1 &lt;b&gt;"),
        ("{{ title|code }} {{ title|quote }}", "`a &lt;b&gt;` > a &lt;b&gt;"),
        ("{{ title|bold|quote ~ '<' }} {{ title|code_block }}", "> *a &lt;b&gt;*&lt; ```a &lt;b&gt;```"),
        ("{{ [title, title|bold]|join('<') }}", "a &lt;b&gt;&lt;*a &lt;b&gt;*"),
        ("{{ at|date('{time}')|bold ~ 1.5 }}", "*<!date^1700000000^{time}|2023-11-14 22:13 UTC>*1.5"),
        ("{{ '\ue0000\ue001' ~ title }}", "0a &lt;b&gt;"),
        ("{{ ('%s'|bold) % title }} {{ ('-'|bold).join([title]) }}", "*a &lt;b&gt;* a &lt;b&gt;"),
        ("{{ ('x'|bold).replace('x', title) }} {{ 'x'|bold|replace('x', title) }}", "*a &lt;b&gt;* *a &lt;b&gt;*"),
        ("{{ (title|bold)[:] }} {{ (title|bold) * 1 }}", "*a &amp;lt;b&amp;gt;* *a &amp;lt;b&amp;gt;*"),
    ],
)  # fmt: skip
def test_only_the_author_writes_tags_and_values_are_escaped(template: str, shown: str) -> None:
    event = simple(title="a <b>", requester="U0000001", text="here", project="!here", url="https://x/?a=1&b=2")
    template = template.replace("\ue000", "\\ue000").replace("\ue001", "\\ue001")
    assert texts(message_of(template, event))[0] == shown


EVERYTHING = (
    "".join(f"{{{{ {name} }}}} " for name in sorted(NAMES))
    + """
{% for step in steps %}{{ step.name|bold }} {{ step.status|upper }}
{{ step.error|quote }}
{% endfor %}
{% for name, value in labels.items() %}{{ (name ~ '=' ~ value)|code }} {{ name + value }}{% endfor %}
<{{ url }}|{{ title }}> <https://x/{{ entity_id }}|{{ title }}> {{ url|link(title) }}
<!{{ title }}> <@{{ requester }}> <{{ text }}> <{{ project }}|{{ error }}>
{{ [title, error|code]|join(text) }}
{{ text|code_block }} {{ error|cut(100)|replace('a', text) }} {{ title|trim|title }} {{ labels }} {{ steps }}
"""
)
EVERY_BLOCK = json.dumps(
    [
        {"type": "section", "text": {"type": "mrkdwn", "text": "x <{{ url }}|{{ title }}> {{ error }}"}},
        {"type": "context", "elements": [{"type": "mrkdwn", "text": "x {{ labels }}"}]},
        {"type": "section", "fields": [{"type": "plain_text", "text": "x <!{{ text|cut(50) }}>"}]},
    ]
)


@some_effort
@given(lines, mentions, bases, st.booleans(), st.sampled_from([EVERYTHING, EVERY_BLOCK]))
def test_any_event_in_a_template_of_everything_is_a_message_that_slack_accepts(
    line: Line, mentioned: tuple[str, ...], base: str, may_repeat: bool, template: str
) -> None:
    by = Subscription("sub-1", "acme", "#ops", template=template)
    content = MessageContent((replace(line, template_subscription=by),), mentioned)
    built = build(content, may_repeat=may_repeat, infrakitchen_url=base)
    assert find_problems(built.message, mentioned) == []
    assert built.template_error is None or "characters" in str(built.template_error)


def test_the_largest_event_fits_with_a_template_and_with_the_note_of_its_failure() -> None:
    whole = build(content_of(EVERYTHING, LARGEST, HERE), may_repeat=True)
    assert (whole.template_error, find_problems(whole.message, (HERE,))) == (None, [])
    failed = build(content_of("{{ steps[0]." + "x" * 900 + " }}", LARGEST, HERE), may_repeat=True)
    assert failed.template_error
    assert find_problems(failed.message, (HERE,)) == []


def test_a_text_that_is_too_long_is_cut_or_with_is_strict_rejected() -> None:
    template = "{% for i in range(900) %}line {{ i }} of &amp;\n{% endfor %}"
    message = message_of(template)
    assert TEXT_MAX - 500 < sum(len(text) for text in texts(message)) <= TEXT_MAX
    assert texts(message)[-1].endswith("…")
    assert find_problems(message) == []
    with pytest.raises(TemplateError, match="writes more than 9,500 characters"):
        builder().build_from_template(template, content_of(template), is_strict=True)


LONG_HEADER = '{"type": "header", "text": {"type": "plain_text", "text": "' + "x" * 151 + '"}}'
VERY_LONG = '[{"a":"{% for i in range(1000) %}' + "x" * 100 + "{% endfor %}"


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("  {{ error }}\n", "it writes nothing"),
        ('[{"type": "divider"},]', "the JSON it writes is wrong at its line 1 column 22: "),
        ('[{"type": {{ title }}}]', "the JSON it writes is wrong at its line 1 column 11: Expecting value"),
        ('[{"type": NaN}]', "the JSON it writes has a number, character or depth that cannot be sent"),
        ('[{"type": 1e999}]', "the JSON it writes has a number, character or depth that cannot be sent"),
        ('[{"type": "\\ud800"}]', "the JSON it writes has a number, character or depth that cannot be sent"),
        ('[{"a": ' + "[" * 600 + "]" * 600 + "}]", "the JSON it writes is nested too deeply"),
        ('[{"a": ' * 30 + "1" + "}]" * 30, "the JSON it writes is nested too deeply"),
        ('[{"a": ' + "[" * 9000, "the JSON it writes has a number, character or depth that cannot be sent"),
        ("[]", "the JSON it writes is not a block or a list of blocks"),
        ('{"blocks": 1}', "the JSON it writes is not a block or a list of blocks"),
        ('[{"type": "divider"}, 1]', "the JSON it writes is not a block or a list of blocks"),
        ('[{"type": "video"}]', "block 1: its type is 'video', not one of section, header,"),
        (LONG_HEADER, "text of header 1: 151 characters, Slack accepts 150"),
        (VERY_LONG, "it writes more than 40,000 characters"),
    ],
)  # fmt: skip
def test_an_output_that_is_no_message_is_an_error_of_the_template(template: str, reason: str) -> None:
    assert error_of(template).startswith(reason)


def test_a_failed_template_gives_the_default_message_with_a_note() -> None:
    content = content_of("\n{{ steps[0].name }}", None, HERE)
    built, default = build(content), render(content)
    assert built.message.headline == default.headline
    assert built.message.blocks[:-1] == default.blocks
    note = built.message.blocks[-1]
    assert note == Context("⚠ The template of subscription sub-1 failed: list object has no element 0, line 2")
    assert built.template_subscription
    assert str(built.template_error) == "list object has no element 0, line 2"


def test_a_digest_is_built_without_a_template() -> None:
    first, second = content_of("{{ title }}"), content_of("{{ title }}", simple(title="x"))
    built = build(MessageContent((*first.lines, *second.lines)))
    assert (built.template_subscription, built.template_error) == (None, None)
    assert "2 updates" in built.message.text


def test_a_message_that_may_be_a_repeat_has_a_note() -> None:
    message = build(content_of("{{ title }}"), may_repeat=True).message
    assert "this may repeat" in str(message.blocks[-1])
