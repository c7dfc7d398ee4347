"""Any event of any size and characters becomes a message Slack takes, in which nobody is mentioned by it."""

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from message_limits import faults

from worker.domain.event import Entity, Event, Kind, Severity, Step
from worker.domain.folding import Folding, Line
from worker.domain.message import Section
from worker.pipeline.digest import digest
from worker.pipeline.render import event_url, render, reply
from worker.pipeline.template import Writer
from worker.slack.given import why_not

HOSTILE = [
    "<!channel>", "<@U0000001>", "<#C0000001>", "<!subteam^S1>", "&amp;", "&", "<", ">", "|", "`", "```",
    "*_~", "\ud800", "\u202e", "\u200b", "\x00", "\r\n", "\n", "🔥", "ﷺ", "<https://evil|bank>", "@here", "”",
]  # fmt: skip
pieces = st.sampled_from(HOSTILE) | st.text(st.characters(), max_size=20)
texts = st.builds(
    lambda some, times: "".join(some) * times,
    st.lists(pieces, max_size=4),
    st.sampled_from([1, 1, 1, 1, 30, 300]),
)
addresses = texts | st.builds(
    lambda path, tail: f"https://{path}/{tail}",
    st.sampled_from(["a", "a&b" * 900, "x" * 2480, "&" * 2490]),
    texts,
)
seconds = st.none() | st.floats(-6e10, 2.5e11)  # the years 1 to 9999: more no time can be
steps = st.lists(
    st.builds(Step, texts, st.integers(0, 99), texts | st.sampled_from(["done", "error", "pending"]), texts),
    max_size=20,
).map(tuple)
events = st.builds(
    Event,
    id=texts,
    source=texts,
    type=texts | st.sampled_from(["io.infrakitchen.alert.resolved"]),
    kind=st.sampled_from(Kind),
    entry_id=st.sampled_from(["0-0", "1700000000000-3"]),
    entity=st.builds(Entity, texts, texts, texts),
    severity=st.sampled_from(Severity),
    title=texts,
    status=texts | st.sampled_from(["firing", "error", "done"]),
    severity_word=texts,
    state=texts,
    previous=texts,
    action=texts,
    text=texts,
    error=texts,
    project=texts,
    requester=texts,
    template=texts,
    url=addresses,
    labels=st.dictionaries(texts, texts, max_size=8),
    steps=steps,
    time_s=seconds,
    started_at_s=seconds,
    ended_at_s=seconds,
)
lines = st.builds(Line, events, st.just("d"), st.integers(0, 10_000))
mentions = st.lists(
    st.sampled_from(["<!here>", "<!channel>", "<@U0000001>", "<!subteam^S0000001>"]), unique=True, max_size=4
).map(tuple)
bases = st.sampled_from(["", "https://infrakitchen.example.com/&"])
some_effort = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@some_effort
@given(lines, mentions, bases, st.booleans())
def test_any_event_is_a_message_slack_takes(
    line: Line, mentioned: tuple[str, ...], base: str, may_repeat: bool
) -> None:
    message = render(Folding((line,), mentioned), infrakitchen_url=base, may_repeat=may_repeat)
    assert faults(message, mentioned) == []
    assert faults(reply(Folding((line,), mentioned), may_repeat=may_repeat), mentioned) == []


@some_effort
@given(st.lists(lines, min_size=2, max_size=8), mentions, bases, st.booleans())
def test_any_events_are_a_digest_slack_takes(
    some: list[Line], mentioned: tuple[str, ...], base: str, may_repeat: bool
) -> None:
    folding = Folding(tuple(some), mentioned)
    urls = tuple(event_url(line.event, base) for line in some)
    assert faults(digest(folding, urls, may_repeat=may_repeat), mentioned) == []


LARGE = "&<🔥" * 60_000
LARGEST = Event(
    id="1", source=LARGE, type=LARGE, kind=Kind.ALERT, entry_id="1700000000000-0",
    entity=Entity(LARGE, LARGE, LARGE), severity=Severity.CRITICAL, title=LARGE, status=LARGE,
    severity_word=LARGE, previous=LARGE, text=LARGE, error=LARGE + "!", project=LARGE, requester=LARGE,
    template=LARGE,
    url="https://x/" + "&" * 2_400, labels={f"{n}{LARGE}": LARGE for n in range(9)},
    steps=tuple(Step(LARGE, n, "error", LARGE) for n in range(40)), time_s=1e9, started_at_s=1e9,
)  # fmt: skip


def test_the_largest_event_there_can_be_fits() -> None:
    assert faults(render(Folding((Line(LARGEST, "d", 9_999),)), may_repeat=True)) == []


@pytest.mark.parametrize("url", ["", LARGEST.url])
def test_ten_thousand_things_are_one_digest(url: str) -> None:
    large = LARGE[:2_000]
    event = replace(LARGEST, title=large, error=large, entity=Entity(large, large, large), url=url)
    some = tuple(Line(replace(event, id=str(n), title=f"{n}{large}"), f"d{n}", n % 3) for n in range(10_000))
    message = digest(Folding(some), tuple(line.event.url for line in some), may_repeat=True)
    assert faults(message) == []
    assert "more" in str(message.blocks)


def simple(**changes: Any) -> Event:
    return replace(
        Event(
            "1", "/ik", "x", Kind.RESOURCE, "1700000000000-0", Entity("resource", "17"), Severity.INFO, "db"
        ),
        **changes,
    )


def test_what_does_not_fit_is_counted_so_that_nothing_is_left_out() -> None:
    some = tuple(
        Line(simple(title=f"db{n}", entity=Entity(f"type{n % 12}", str(n))), f"d{n}") for n in range(100)
    )
    message = digest(Folding(some), ("",) * 100)
    assert "*60 more*: 🔵 resource × 60" in str(message.blocks)
    few = digest(Folding(some[:50]), ("",) * 50)
    assert "*10 more*: 🔵 resource × 10" in str(few.blocks)
    named = digest(Folding(some[:48]), ("",) * 48)
    assert "*8 more*: 🔵 type4 × 1" in str(named.blocks)


def test_what_does_not_fit_is_a_click_away_where_the_console_is_known() -> None:
    some = tuple(Line(simple(title=f"db{n}", entity=Entity("db", str(n))), f"d{n}") for n in range(50))
    writer = Writer(why_not, console_url="https://slack.example.com")
    message = writer.write(Folding(some), lane="acme/#ops").message
    assert "<https://slack.example.com/deliveries?lane=acme%2F%23ops|*10 more*>" in str(message.blocks)


def pods(count: int) -> tuple[Line, ...]:
    """An alert of so many pods, a minute apart."""
    return tuple(
        Line(
            simple(
                labels={"zone": "a", "pod": f"web-{n}"}, time_s=1e9 + 60 * n, entity=Entity("alert", str(n))
            ),
            f"d{n}",
            older=n % 2,
        )
        for n in range(count)
    )


def test_many_that_read_the_same_share_a_line_that_names_and_links_the_first() -> None:
    some = pods(7)
    urls = tuple(f"https://a/{n}" for n in range(7))
    message = digest(Folding(some), urls)
    [section] = message.blocks
    assert isinstance(section, Section)
    title, named, when = re.split(" — | · ", re.sub(r"\|2001[^>]+", "", section.text))
    assert title == "🔵 <https://a/0|*db*> × *7*"
    assert named == "<https://a/0|`web-0`> <https://a/1|`web-1`> <https://a/2|`web-2`> … (+3 earlier)"
    assert when == "<!date^999999960^{time}> – <!date^1000000320^{time}>"
    assert message.text == "10 updates: 🔵 db × 7"
    assert "*10 updates* of 7 things   🔵 7 info" in str(message.headline)


def test_a_few_that_read_the_same_have_a_line_each() -> None:
    text = str(digest(Folding(pods(2)), ("",) * 2).blocks)
    assert text.count("*db*") == 2
    assert "`pod=web-1`" in text


def test_many_that_differ_in_nothing_say_once_what_they_say() -> None:
    some = tuple(replace(line, event=replace(line.event, labels={}, text="disk full")) for line in pods(5))
    assert "*db* × *5* — disk full (+2 earlier)" in str(digest(Folding(some), ("",) * 5).blocks)


def test_a_line_of_an_alert_is_its_summary_and_of_a_failure_its_whole_error() -> None:
    alert = simple(kind=Kind.ALERT, status="firing", text="5 % fail\nSince the last deployment.")
    failed = simple(title="x", status="error", error="Error: a\n  on b")
    text = str(digest(Folding((Line(failed, "d0"), Line(alert, "d1"))), ("", "")).blocks)
    assert "— 5 % fail ·" in text
    assert "— Error: a on b ·" in text


def test_a_time_of_another_day_is_told_with_its_day() -> None:
    some = (Line(simple(time_s=1e9), "d0"), Line(simple(title="x", time_s=1e9 - 86_400), "d1"))
    text = str(digest(Folding(some), ("", "")).blocks)
    assert "<!date^1000000000^{time}|" in text
    assert "<!date^999913600^{date_short_pretty} {time}|" in text


@pytest.mark.parametrize(
    ("event", "address"),
    [
        (simple(), "https://ik/resources/17"),
        (simple(entity=Entity("a b", "x/y")), "https://ik/a%20bs/x%2Fy"),
        (simple(entity=Entity("", "17"), url="https://own"), "https://own"),
        (simple(entity=Entity("resource", ""), url="https://own"), "https://own"),
        (simple(kind=Kind.ALERT, url="https://alerts/1"), "https://alerts/1"),
        (simple(kind=Kind.ALERT, entity=Entity("alert", "f00")), ""),
        (simple(kind=Kind.ALERT, url="javascript:alert(1)"), "https://ik/resources/17"),
        (simple(kind=Kind.ALERT, url="https://x/" + "&" * 200), "https://ik/resources/17"),
        (simple(entity=Entity("resource", "x" * 1000), url="https://own"), "https://own"),
    ],
)
def test_where_to_click(event: Event, address: str) -> None:
    assert event_url(event, "https://ik") == address
    assert event_url(replace(event, url=""), "") == ""


def shown(event: Event, url: str = "") -> str:
    """What stands beside the bar."""
    message = render(Folding((Line(event, "d"),)), infrakitchen_url=url)
    return "\n".join(block.text if isinstance(block, Section) else str(block) for block in message.blocks)


def run(*statuses: str) -> tuple[Step, ...]:
    return tuple(Step(f"s{n}", n, status) for n, status in enumerate(statuses))


def test_few_steps_are_all_named() -> None:
    assert shown(simple(steps=run("done", "error", "pending"))).startswith(
        "*1 of 3 steps done*\n✅ s0  ❌ s1  ⬜ s2"
    )


def test_of_many_steps_there_is_a_bar_and_those_around_the_open_one() -> None:
    text = shown(simple(steps=run(*["done"] * 5, "in_progress", *["pending"] * 4)))
    assert text.startswith(
        "🟩🟩🟩🟩🟩🟦⬜⬜⬜⬜\n*5 of 10 steps done*\n…  ✅ s3  ✅ s4  ⏳ s5  ⬜ s6  ⬜ s7  …"
    )


def test_the_step_that_failed_matters_more_than_the_first_open_one() -> None:
    text = shown(simple(steps=run("in_progress", *["done"] * 7, "error", "pending")))
    assert "…  ✅ s6  ✅ s7  ❌ s8  ⬜ s9\n" in text


def test_of_very_many_steps_a_square_shows_the_worst_it_stands_for() -> None:
    statuses = ["done"] * 100
    statuses[7], statuses[50], statuses[99] = "error", "unknown", "pending"
    text = shown(simple(steps=run(*statuses)))
    assert text.startswith("🟩🟥🟩🟩🟩🟩🟩🟩🟩🟩🟨🟩🟩🟩🟩🟩🟩🟩🟩⬜\n*97 of 100 steps done*\n")


def test_many_steps_that_are_all_done_are_only_counted() -> None:
    assert shown(simple(steps=run(*["done"] * 40))).startswith("*40 of 40 steps done*\nContext")


def test_a_failed_step_is_quoted_unless_its_error_is_told_already() -> None:
    steps = (
        Step("plan", 1, "done", "noise"),
        Step("apply", 2, "error", "no quota"),
        Step("b", 3, "error", "x"),
    )
    failed = simple(kind=Kind.WORKFLOW, status="error", steps=steps)
    assert "```no quota```" in shown(failed)
    assert "> *apply*" not in shown(failed)
    other = shown(replace(failed, error="the run broke"))
    assert "```the run broke```" in other
    assert "\n> *apply*: no quota\n> *b*: x\n" in other
    assert "noise" not in other


def test_a_long_error_keeps_its_last_line() -> None:
    text = "Traceback (most recent call last):\n" + "  File x\n" * 500 + "ValueError: no quota"
    failed = simple(status="error", error=text)
    message = render(Folding((Line(failed, "d"),)))
    assert "\n…\n" in str(shown(failed))
    assert "ValueError: no quota```" in shown(failed)
    assert message.text == "❌ db: ValueError: no quota"


def test_a_failure_that_only_has_a_text_tells_it_as_its_error() -> None:
    failed = simple(status="error", text="no capacity")
    assert shown(failed).startswith("```no capacity```")
    assert shown(failed).count("no capacity") == 1
    assert "no capacity" in str(reply(Folding((Line(failed, "d"),))).blocks)


def test_a_long_id_is_short_where_the_link_has_all_of_it() -> None:
    run_id = "5f0c8a1e-9d1b-4c52-8a57-0a6f7f0e1c17"
    one = simple(entity=Entity("workflow", run_id))
    assert "`5f0c8a1e…`" in shown(one, "https://ik")
    assert f"`{run_id}`" in shown(one)
    assert run_id not in shown(replace(one, title=f"Run {run_id}"))


def test_an_alert_says_what_it_is_about_and_leads_there() -> None:
    about = Entity("resource", "17", "db-main")
    alert = simple(kind=Kind.ALERT, entity=about, url="https://alerts/1", severity_word="critical")
    text = shown(alert, "https://ik")
    assert "*critical*  ·  *On* <https://ik/resources/17|resource db-main>" in text
    assert "*On* resource db-main" in shown(alert)
    assert "*On*" not in shown(replace(alert, entity=Entity("alert", "f00", "db-main")))


def test_labels_that_say_nothing_new_are_left_out() -> None:
    text = shown(simple(labels={"alertname": "db", "severity": "page", "pod": "web-1"}))
    assert "`pod=web-1`" in text
    assert "alertname" not in text
    assert "severity" not in text


def test_what_has_the_same_title_is_told_apart_by_its_labels() -> None:
    first = simple(labels={"node": "a", "zone": "1"}, entity=Entity("alert", "1"))
    second = simple(labels={"node": "b", "zone": "1"}, entity=Entity("alert", "2"))
    alike = str(digest(Folding((Line(first, "d1"), Line(second, "d2"))), ("", "")).blocks)
    assert "`node=a` `zone=1`" in alike
    assert "`node=b`" in alike
    other = replace(second, title="Something else")
    assert "node=" not in str(digest(Folding((Line(first, "d1"), Line(other, "d2"))), ("", "")).blocks)
