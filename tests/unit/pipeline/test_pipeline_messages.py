"""Any event of any size and characters becomes a message Slack takes, in which nobody is mentioned by it."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from message_limits import faults

from worker.domain.event import Entity, Event, Kind, Severity, Step
from worker.domain.folding import Folding, Line
from worker.pipeline.digest import digest
from worker.pipeline.render import event_url, render, reply

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
    some = tuple(Line(replace(event, id=str(n)), f"d{n}", n % 3) for n in range(10_000))
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
    some = tuple(Line(simple(entity=Entity(f"type{n % 12}", str(n))), f"d{n}") for n in range(100))
    message = digest(Folding(some), ("",) * 100)
    assert "*60 more*: 🔵 resource × 60" in str(message.blocks)
    few = digest(Folding(some[:50]), ("",) * 50)
    assert "*10 more*: 🔵 resource × 10" in str(few.blocks)
    named = digest(Folding(some[:48]), ("",) * 48)
    assert "*8 more*: 🔵 type4 × 1" in str(named.blocks)


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


def test_of_many_steps_those_around_the_open_one_are_shown() -> None:
    some = tuple(Step(f"s{n}", n, "done" if n < 30 else "pending") for n in range(40))
    text = str(render(Folding((Line(simple(steps=some), "d"),))).blocks)
    assert "30 of 40 steps done" in text
    assert " s30" in text
    assert " s1 " not in text


def test_what_has_the_same_title_is_told_apart_by_its_labels() -> None:
    first = simple(labels={"node": "a", "zone": "1"}, entity=Entity("alert", "1"))
    second = simple(labels={"node": "b", "zone": "1"}, entity=Entity("alert", "2"))
    alike = str(digest(Folding((Line(first, "d1"), Line(second, "d2"))), ("", "")).blocks)
    assert "`node=a` `zone=1`" in alike
    assert "`node=b`" in alike
    other = replace(second, title="Something else")
    assert "node=" not in str(digest(Folding((Line(first, "d1"), Line(other, "d2"))), ("", "")).blocks)
