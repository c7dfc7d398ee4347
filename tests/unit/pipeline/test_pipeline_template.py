"""A template makes the message it describes of any event, in which an event's words stay words."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from message_limits import faults
from test_pipeline_messages import LARGEST, bases, lines, mentions, simple, some_effort

from worker.domain.event import Event, Step
from worker.domain.folding import Folding, Line
from worker.domain.message import Context, Given, Message, Section
from worker.domain.subscription import Subscription
from worker.domain.template import TemplateFault
from worker.pipeline.render import render
from worker.pipeline.template import TEXT_MOST, Writer
from worker.pipeline.variables import NAMES
from worker.slack.given import why_not

HERE = "<!here>"
EVIL = 'a "quoted" \\ <!channel>\nb & <@U0000001> `c` *d*'


def folding(template: str, event: Event | None = None, *mentioned: str) -> Folding:
    by = Subscription("sub-1", "acme", "#ops", template=template)
    return Folding((Line(event or simple(title="db", project="shop"), "d1", 0, by),), mentioned)


def writer(base: str = "") -> Writer:
    """One for which no time passes: that is not to depend on the machine."""
    return Writer(why_not, base, clock=lambda: 0.0)


def made(template: str, event: Event | None = None, *mentioned: str, base: str = "") -> Message:
    """What it makes, when it does not fail."""
    written = writer(base).write(folding(template, event, *mentioned))
    assert written.fault is None
    return written.message


def fault(template: str, event: Event | None = None) -> str:
    with pytest.raises(TemplateFault) as found:
        writer().fill(template, folding(template, event))
    return str(found.value)


def texts(message: Message) -> list[Any]:
    """What stands above the bar, then what stands beside it."""
    return [
        block.plain if isinstance(block, Given) else block.text if isinstance(block, Section) else block
        for block in (*message.headline, *message.blocks)
    ]


def test_the_first_line_stands_above_the_bar_and_the_rest_beside_it() -> None:
    message = made("*{{ title }}* <!here>\nof {{ project }}\n\nsee <https://x|there>\n", None, "<@U0000001>")
    assert [block.text for block in message.headline] == ["<@U0000001> *db* <!here>"]
    assert [block.text for block in message.blocks] == ["of shop\n\nsee <https://x|there>"]
    default = render(folding("", None, "<@U0000001>"))
    assert (message.text, message.colour) == (default.text, default.colour)


def test_beside_the_bar_of_a_single_line_is_the_time() -> None:
    message = made("{{ title }}")
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


def test_blocks_are_taken_as_they_are_with_the_values_in_their_strings() -> None:
    event = simple(title=EVIL, steps=(Step('"}]', 1, "error", EVIL),))
    message = made(BLOCKS, event, HERE)
    escaped = 'a "quoted" \\ &lt;!channel&gt;\nb &amp; &lt;@U0000001&gt; ʹcʹ *d*'
    above, header, step, context, actions = texts(message)
    assert above == HERE
    assert header["text"]["text"] == escaped
    assert step["text"] == {"type": "mrkdwn", "text": f'*"}}]* <!here> {escaped}', "verbatim": True}
    assert context["elements"][0]["text"].endswith(" UTC>, 1")
    assert actions["elements"][0]["url"] == "https://x/?a=1&b=2"


@pytest.mark.parametrize("whole", ['{"blocks": [{"type": "divider"}]}', '{"type": "divider"}'])
def test_one_block_or_what_the_block_kit_builder_shows_will_do(whole: str) -> None:
    assert texts(made(whole))[0] == {"type": "divider"}


def test_a_text_that_begins_with_a_bracket_is_a_text() -> None:
    assert texts(made("[{{ status or 'new' }}] {{ title }}"))[0] == "[new] db"
    assert texts(made("{{ title }}", simple(title='[{"type": "divider"}]')))[0] == '[{"type": "divider"}]'


@pytest.mark.parametrize(
    ("template", "shown"),
    [
        ("<{{ url }}|{{ title }}>", "<https://x/?a=1&amp;b=2|a &lt;b&gt;>"),
        ("<{{ url }}|{{ title ~ '\n' ~ title }}>", "<https://x/?a=1&amp;b=2|a &lt;b&gt; a &lt;b&gt;>"),
        ("<{{ url }}|{{ error }}>", "<https://x/?a=1&amp;b=2|https://x/?a=1&amp;b=2>"),
        ("<{{ url }}>", "<https://x/?a=1&amp;b=2|https://x/?a=1&amp;b=2>"),
        ("<https://y/{{ entity_id }}?c&amp;d|{{ title|bold }}>", "<https://y/17?c&amp;d|*a &lt;b&gt;*>"),
        ("<https://y/{{ title }}|no link>", "no link"),
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
    ],
)  # fmt: skip
def test_only_the_author_writes_tags_and_links_lead_where_they_can(template: str, shown: str) -> None:
    event = simple(
        title="a <b>", requester="U0000001", text="here", project="!here", url="https://x/?a=1&b=2"
    )
    template = template.replace("\ue000", "\\ue000").replace("\ue001", "\\ue001")
    assert texts(made(template, event))[0] == shown


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
def test_any_event_in_a_template_of_everything_is_a_message_slack_takes(
    line: Line, mentioned: tuple[str, ...], base: str, may_repeat: bool, template: str
) -> None:
    by = Subscription("sub-1", "acme", "#ops", template=template)
    told = Folding((replace(line, templated=by),), mentioned)
    written = writer(base).write(told, may_repeat=may_repeat)
    assert faults(written.message, mentioned) == []
    assert written.fault is None or "characters" in str(written.fault)


def test_the_largest_event_fits_with_a_template_and_with_the_note_that_it_failed() -> None:
    whole = writer().write(folding(EVERYTHING, LARGEST, HERE), may_repeat=True)
    assert (whole.fault, faults(whole.message, (HERE,))) == (None, [])
    failed = writer().write(folding("{{ steps[0]." + "x" * 900 + " }}", LARGEST, HERE), may_repeat=True)
    assert failed.fault
    assert faults(failed.message, (HERE,)) == []


def test_a_text_that_is_too_long_is_cut_or_refused_where_that_is_asked_for() -> None:
    template = "{% for i in range(900) %}line {{ i }} of &amp;\n{% endfor %}"
    message = made(template)
    assert TEXT_MOST - 500 < sum(len(text) for text in texts(message)) <= TEXT_MOST
    assert texts(message)[-1].endswith("…")
    assert faults(message) == []
    with pytest.raises(TemplateFault, match="writes more than 9,500 characters"):
        writer().fill(template, folding(template), strict=True)


LONG_HEADER = '{"type": "header", "text": {"type": "plain_text", "text": "' + "x" * 151 + '"}}'
VERY_LONG = '[{"a":"{% for i in range(1000) %}' + "x" * 100 + "{% endfor %}"


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("  {{ error }}\n", "it writes nothing"),
        ('[{"type": "divider"},]', "the JSON it writes is wrong at its line 1 column 22: "),
        ('[{"type": {{ title }}}]', "the JSON it writes is wrong at its line 1 column 11: Expecting value"),
        ('[{"type": NaN}]', "the JSON it writes has a number or depth that cannot be read"),
        ('[{"a": ' + "[" * 9000, "the JSON it writes has a number or depth that cannot be read"),
        ("[]", "the JSON it writes is no block and no list of blocks"),
        ('{"blocks": 1}', "the JSON it writes is no block and no list of blocks"),
        ('[{"type": "divider"}, 1]', "the JSON it writes is no block and no list of blocks"),
        ('[{"type": "video"}]', "block 1: its type is 'video', not one of section, header,"),
        (LONG_HEADER, "text of header 1: 151 characters, Slack takes 150"),
        (VERY_LONG, "it writes more than 40,000 characters"),
    ],
)  # fmt: skip
def test_what_is_no_message_is_a_fault_of_the_template(template: str, reason: str) -> None:
    assert fault(template).startswith(reason)


def test_where_a_template_fails_the_default_message_stands_with_a_note() -> None:
    told = folding("\n{{ steps[0].name }}", None, HERE)
    written = writer().write(told)
    default = render(told)
    assert written.message.headline == default.headline
    assert written.message.blocks[:-1] == default.blocks
    note = written.message.blocks[-1]
    assert note == Context(
        ("⚠ The template of subscription sub-1 failed: list object has no element 0, line 2",)
    )
    assert written.templated
    assert str(written.fault) == "list object has no element 0, line 2"


def test_several_things_are_told_without_a_template() -> None:
    one, other = folding("{{ title }}"), folding("{{ title }}", simple(title="x"))
    written = writer().write(Folding((*one.lines, *other.lines)))
    assert (written.templated, written.fault) == (None, None)
    assert "2 updates" in written.message.text


def test_a_message_that_may_repeat_one_says_so() -> None:
    message = writer().write(folding("{{ title }}"), may_repeat=True).message
    assert "this may repeat" in str(message.blocks[-1])
