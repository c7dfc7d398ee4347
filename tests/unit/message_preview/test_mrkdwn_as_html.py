"""Slack's markup as HTML."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.message_preview.html import Renderer
from worker.message_preview.mrkdwn_parser import EMOJI, day_label, format_date, replace_emoji
from worker.sandbox.slack.workspace import Workspace

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
WORKSPACE = Workspace("Acme", "InfraKitchen")
ADA = WORKSPACE.add_user("ada@example.com")
OPS = WORKSPACE.add_channel("ops")
AWAY = 'target="_blank" rel="noopener noreferrer"'


def drawn(text: str) -> str:
    return str(Renderer(NOW, WORKSPACE.find_name).text(text))


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("*bold* _italic_ ~gone~", "<strong>bold</strong> <em>italic</em> <del>gone</del>"),
        ("*_both_*", "<strong><em>both</em></strong>"),
        ("snake_case_name 2*3*4", "snake_case_name 2*3*4"),
        ("`a*b*c`", "<code>a*b*c</code>"),
        ("x\n```\na <b>\n```\ny", "x<pre>a &lt;b&gt;\n</pre>y"),
        ("```a```\n> b", "<pre>a</pre><blockquote>b</blockquote>"),
        ("&gt; one\n>two\nthree", "<blockquote>one<br>two</blockquote>three"),
        ("a &lt;b&gt; &amp;amp;", "a &lt;b&gt; &amp;amp;"),
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("<javascript:alert(1)|x>", "&lt;javascript:alert(1)|x&gt;"),
        (
            "<!here> <!subteam^S1|@sre>",
            '<span class="mention everyone">@here</span> <span class="mention">@sre</span>',
        ),
        (":rocket: :no_such_thing:", "🚀 :no_such_thing:"),
        ("<!date^99999999999999^{time}|then>", '<time title="then">then</time>'),
        ("<!date^5|then>", '<time title="then">then</time>'),
        ("*a _b* c_", "<strong>a _b</strong> c_"),
        ("*<https://a.b|_x_> y*", f'<strong><a href="https://a.b" {AWAY}><em>x</em></a> y</strong>'),
        ("\ue0000\ue001", "\ufffd0\ufffd"),
    ],
)
def test_markup_is_drawn_and_the_rest_escaped(text, html):
    assert drawn(text) == html


def test_a_link_keeps_its_label_and_its_quotes_closed():
    link = drawn('<https://example.com/?a="1"&amp;b=2|*see* this>')
    assert link.startswith('<a href="https://example.com/?a=&quot;1&quot;&amp;b=2"')
    assert link.endswith("><strong>see</strong> this</a>")


def test_mentions_show_the_names_of_people_and_channels():
    assert "@ada" in drawn(f"<@{ADA.id}>")
    assert "@InfraKitchen" in drawn(f"<@{WORKSPACE.bot_user_id}>")
    assert "#ops" in drawn(f"<#{OPS.id}>")
    assert "@U404" in drawn("<@U404>")


@given(st.text(alphabet="*_~`<>&|!@#^:a1 \n\"'\ue000\ue001\ue002", max_size=60))
def test_no_text_creates_an_html_tag(text):
    html = drawn(text)
    for tag in ("strong", "em", "del", "code", "pre", "blockquote", "br", "time", "span", "a"):
        for opening in (f"<{tag}>", f"</{tag}>", f"<{tag} "):
            html = html.replace(opening, "")
    html = html.replace('class="mention">', "").replace('class="mention everyone">', "")
    assert "<script" not in html
    assert "<" not in html


def test_emoji_are_drawn_by_slacks_names():
    assert replace_emoji(":fire: :+1: 12:30:45") == "🔥 👍 12:30:45"
    assert EMOJI["white_check_mark"] == "✅"


def test_dates_have_the_formats_of_slack():
    assert format_date(NOW, "{date_short_pretty} at {time}", NOW) == "Today at 12:00 PM"
    assert format_date(NOW - timedelta(days=1), "{date_pretty}", NOW) == "Yesterday"
    assert format_date(NOW - timedelta(days=3), "{date} {date_num}", NOW) == "November 21st, 2026 2026-11-21"
    assert format_date(NOW - timedelta(hours=2), "{ago} {what}", NOW) == "2 hours ago {what}"
    assert format_date(NOW, "{ago}", NOW) == "just now"
    assert day_label(NOW - timedelta(days=12), NOW) == "Thursday, November 12th"
