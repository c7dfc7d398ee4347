"""Events of any size and content become messages that Slack accepts and that mention no one."""

import asyncio
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.examples import examples
from support.message_limits import find_problems

from worker.domain.event import Entity, Event, Kind, Link, Severity, Step
from worker.domain.message import Context, Message, Section
from worker.domain.message_plan import Line, MessageContent
from worker.rendering.digest import LINES_LIMIT, ROWS_CHARS, digest
from worker.rendering.message_builder import MessageBuilder, limited, message_of
from worker.rendering.single import event_url, render, reply
from worker.slack.blocks import rejection_reason
from worker.templating.renderer_process import shared_renderer

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
some_effort = settings(max_examples=examples(60), deadline=None, suppress_health_check=list(HealthCheck))


@some_effort
@given(lines, mentions, bases, st.booleans())
def test_any_event_is_a_message_that_slack_accepts(
    line: Line, mentioned: tuple[str, ...], base: str, may_repeat: bool
) -> None:
    message = message_of(MessageContent((line,), mentioned), base, may_repeat=may_repeat)
    assert find_problems(message, mentioned) == []
    assert find_problems(reply(MessageContent((line,), mentioned), may_repeat=may_repeat), mentioned) == []


@some_effort
@given(st.lists(lines, min_size=2, max_size=8), mentions, bases, st.booleans())
def test_any_events_are_a_digest_that_slack_accepts(
    some: list[Line], mentioned: tuple[str, ...], base: str, may_repeat: bool
) -> None:
    folding = MessageContent(tuple(some), mentioned)
    assert find_problems(message_of(folding, base, may_repeat=may_repeat), mentioned) == []


LARGE = "&<🔥" * 60_000
LARGEST = Event(
    id="1", source=LARGE, type=LARGE, kind=Kind.ALERT, entry_id="1700000000000-0",
    entity=Entity(LARGE, LARGE, LARGE), severity=Severity.CRITICAL, title=LARGE, status=LARGE,
    severity_word=LARGE, previous=LARGE, text=LARGE, error=LARGE + "!", project=LARGE, requester=LARGE,
    template=LARGE,
    url="https://x/" + "&" * 2_400, labels={f"{n}{LARGE}": LARGE for n in range(9)},
    steps=tuple(Step(LARGE, n, "error", LARGE) for n in range(40)), time_s=1e9, started_at_s=1e9,
    links=tuple(Link(LARGE, f"https://x/{n}" + "&" * 400) for n in range(9)), values={LARGE: LARGE, "A": "1e9"},
)  # fmt: skip


@pytest.mark.parametrize("large", [LARGE, "日" * 9_000, "👩‍💻" * 9_000, "ह" * 9_000])
def test_the_largest_possible_event_fits(large: str) -> None:
    texts = ("title", "text", "project", "requester", "template", "previous", "severity_word")
    event = replace(
        LARGEST, **dict.fromkeys(texts, large), error=f"{large}!", entity=Entity(large, large, large),
        labels={f"{n}{large}": large for n in range(9)}, url="https://x/" + "x" * 2_800,
        steps=tuple(Step(large, n, "error", f"{n}{large}") for n in range(8)),
    )  # fmt: skip
    content = MessageContent((Line(event, "d", 9_999),))
    message = message_of(content, "https://infrakitchen.example.com", may_repeat=True)
    assert find_problems(message) == []
    assert event.url in str(message.blocks)
    other = replace(event, id="2", entity=Entity("workflow", "2", large))
    both = MessageContent((*content.lines, Line(other, "d2")))
    assert find_problems(message_of(both, "", may_repeat=True)) == []


def test_a_message_over_the_limit_of_all_texts_loses_the_end_of_the_longest() -> None:
    blocks = (Section("```" + "x" * 2_900 + "```"), Section("y" * 2_500), Section("z" * 2_500), Section("w" * 2_500))
    message = limited(Message("text", (Section("headline"),), blocks))
    assert find_problems(message) == []
    assert [block.text[-4:] for block in message.blocks if isinstance(block, Section)] == [
        "…```",
        "yyyy",
        "zzzz",
        "wwww",
    ]
    small = Message("text", (Section("headline"),), blocks[1:])
    assert limited(small) == small


@pytest.mark.slow
@pytest.mark.parametrize("url", ["", LARGEST.url])
def test_thousands_of_subjects_are_one_digest(url: str) -> None:
    large = LARGE[:2_000]
    event = replace(LARGEST, title=large, error=large, entity=Entity(large, large, large), url=url)
    some = tuple(Line(replace(event, id=str(n), title=f"{n}{large}"), f"d{n}", n % 3) for n in range(examples(10_000)))
    message = digest(MessageContent(some), "", may_repeat=True)
    assert find_problems(message) == []
    assert "more" in str(message.blocks)


def simple(**changes: Any) -> Event:
    return replace(
        Event("1", "/ik", "x", Kind.RESOURCE, "1700000000000-0", Entity("resource", "17"), Severity.INFO, "db"),
        **changes,
    )


def text_of(*lines: Line, url: str = "") -> str:
    """Return the rows of a digest."""
    blocks = digest(MessageContent(lines), url).blocks
    return "\n".join(block.text for block in blocks if isinstance(block, Section))


def test_things_that_have_no_row_are_counted_and_named_while_there_is_room() -> None:
    some = tuple(Line(simple(title=f"db{n}", entity=Entity(f"type{n % 12}", str(n))), f"d{n}") for n in range(500))
    assert "… and *10 more*: 🔵 resource × 10 (db40, db41, " in text_of(*some[:50])
    assert text_of(*some[:50]).endswith(", db49).")
    assert "*8 more*: 🔵 type4 × 1 (db40), 🔵 type5 × 1 (db41), " in text_of(*some[:48])
    assert "*460 more*: 🔵 resource × 460 (db40, db41, " in text_of(*some)
    assert re.search(r", … \+\d\d\d\)\.$", text_of(*some))
    linked = text_of(*some[:48], url="https://ik")
    assert "🔵 type4 × 1 (<https://ik/type4s/40|db40>)" in linked


def test_things_that_have_no_room_for_a_name_are_only_counted() -> None:
    def rows(count: int, size: int) -> str:
        titles = (f"{n:02}{'x' * 80}" for n in range(count))
        events = (simple(title=title, text="y" * size, entity=Entity("db", title)) for title in titles)
        return text_of(*(Line(event, event.title) for event in events))

    size = ROWS_CHARS // LINES_LIMIT - len(rows(2, 1).partition("\n")[0].encode())
    assert rows(41, size).endswith("… and *1 more*: 🔵 db × 1.")


def test_the_count_links_to_the_console_if_its_address_is_known() -> None:
    some = tuple(Line(simple(title=f"db{n}", entity=Entity("db", str(n))), f"d{n}") for n in range(50))
    builder = MessageBuilder(rejection_reason, shared_renderer(), console_url="https://slack.example.com")
    message = asyncio.run(builder.build(MessageContent(some), lane="acme/#ops", switched_off={})).message
    assert "<https://slack.example.com/deliveries?lane=acme%2F%23ops|*10 more*>" in str(message.blocks)


def pods(count: int) -> tuple[Line, ...]:
    """Return an alert for each of this number of pods, a minute apart."""
    return tuple(
        Line(
            simple(labels={"zone": "a", "pod": f"web-{n}"}, time_s=1e9 + 60 * n, entity=Entity("alert", str(n))),
            f"d{n}",
            older_count=n % 2,
        )
        for n in range(count)
    )


def with_url(line: Line) -> Line:
    return replace(line, event=replace(line.event, url=f"https://a/{line.event.entity.id}"))


def test_things_of_one_title_have_a_row_each_with_what_distinguishes_them() -> None:
    text = text_of(*pods(7))
    assert text.count("🔵 *db* `web-") == 7
    assert "🔵 *db* `web-1` (+1 earlier) · " in text
    message = digest(MessageContent(pods(7)), "")
    assert message.text == "10 updates: 🔵 db × 7 (web-0, web-1, web-2 …)"
    assert "*10 updates* of 7 things   🔵 7 info" in str(message.headline)


def test_things_of_one_title_and_reason_share_a_row_that_names_all_where_there_is_too_little_room() -> None:
    text = re.sub(r"\|2001[^>]+", "", text_of(*map(with_url, pods(41))))
    title, when, names = text.split(" · ")
    assert title == "🔵 *db* × *41* (+20 earlier)"
    assert when == "<!date^999999960^{time}> – <!date^1000002360^{time}>"
    assert set(names.split(", ")) == {f"<https://a/{n}|`web-{n}`>" for n in range(41)}


def test_things_with_one_link_have_it_in_the_title_of_their_row() -> None:
    some = [replace(line, event=replace(line.event, url="https://rule")) for line in pods(41)]
    assert text_of(*some).startswith("🔵 <https://rule|*db*> × *41* (+20 earlier) · ")
    assert text_of(*some).count("https://rule") == 1


def test_a_shared_row_names_as_many_as_there_is_room_for_and_counts_the_others() -> None:
    text = text_of(*map(with_url, pods(2_000)))
    assert "<https://a/0|`web-0`>" not in text, "names come before links"
    assert text.count("`web-") > 500
    assert re.search(r", … \+1,\d\d\d$", text)
    assert find_problems(digest(MessageContent(pods(2_000)), "")) == []


def test_things_with_different_reasons_never_share_a_row() -> None:
    some = [replace(line, event=replace(line.event, text=f"{n} % full")) for n, line in enumerate(pods(45))]
    text = text_of(*some)
    assert "× *" not in text
    assert all(f"*db* `web-{n}` — {n} % full" in text for n in range(40))
    assert "*5 more*: 🔵 alert × 5 (db `web-40`, db `web-41`, " in text


def test_reasons_that_differ_only_by_the_labels_of_their_things_are_the_same() -> None:
    some = [
        replace(line, event=replace(line.event, text=f"{line.event.labels['pod']} of a restarts")) for line in pods(45)
    ]
    assert text_of(*some).startswith("🔵 *db* × *45* — … of a restarts (+22 earlier) · ")


def folding_case(*counts: tuple[str, int, Severity]) -> str:
    lines = [
        Line(
            simple(title=title, severity=severity, labels={"pod": f"{title}-{n}"}, entity=Entity("x", f"{title}{n}")),
            f"{title}{n}",
        )
        for title, count, severity in counts
        for n in range(count)
    ]
    return text_of(*lines)


def test_the_least_urgent_share_a_row_before_the_others() -> None:
    text = folding_case(("a", 20, Severity.CRITICAL), ("b", 30, Severity.INFO), ("c", 25, Severity.INFO))
    assert (text.count("*a* `a-"), text.count("*b* × *30*"), text.count("*c* × *25*")) == (20, 1, 1)
    text = folding_case(("a", 20, Severity.CRITICAL), ("b", 30, Severity.INFO), ("c", 19, Severity.INFO))
    assert (text.count("*a* `a-"), text.count("*b* × *30*"), text.count("*c* `c-")) == (20, 1, 19)


def test_no_more_things_share_a_row_than_must() -> None:
    text = folding_case(("a", 60, Severity.CRITICAL), ("b", 10, Severity.INFO), ("c", 20, Severity.INFO))
    assert (text.count("*a* × *60*"), text.count("*b* `b-"), text.count("*c* `c-")) == (1, 10, 20)


def test_long_rows_are_shared_before_any_is_left_out() -> None:
    some = [
        Line(simple(title="a" * 100, text="b" * 200, labels={"pod": f"web-{n}"}, entity=Entity("x", str(n))), f"d{n}")
        for n in range(38)
    ]
    text = text_of(*some)
    assert "× *38*" in text
    assert "more*" not in text


def test_a_time_that_all_rows_share_is_said_once_above_them() -> None:
    lines = [Line(simple(title=f"t{n}", time_s=1_000_000_020.0 + n), f"d{n}") for n in range(2)]
    message = digest(MessageContent(tuple(lines)), "")
    assert str(message).count("<!date^") == 1
    assert str(message.headline).endswith("UTC>'),)")
    later = Line(simple(title="later", time_s=1_000_000_090.0), "d9")
    message = digest(MessageContent((*lines, later)), "")
    assert "<!date^" not in str(message.headline)
    assert str(message.blocks).count("<!date^") == 3


def test_the_row_of_an_alert_has_its_summary_and_of_a_failure_its_whole_error() -> None:
    alert = simple(kind=Kind.ALERT, status="firing", text="5 % fail\nSince the last deployment.")
    failed = simple(title="x", status="error", error="Error: a\n  on b")
    text = str(digest(MessageContent((Line(failed, "d0"), Line(alert, "d1"))), "").blocks)
    assert "— 5 % fail'" in text
    assert "— Error: a on b\\n" in text


def test_a_time_of_another_day_has_its_date() -> None:
    some = (Line(simple(time_s=1e9), "d0"), Line(simple(title="x", time_s=1e9 - 86_400), "d1"))
    text = str(digest(MessageContent(some), "").blocks)
    assert "<!date^1000000000^{time}|" in text
    assert "<!date^999913600^{date_short_pretty} {time}|" in text


@pytest.mark.parametrize(
    ("event", "address"),
    [
        (simple(), "https://ik/resources/17"),
        (simple(entity=Entity("a b", "x/y")), "https://ik/a%20bs/x%2Fy"),
        (simple(entity=Entity("integration", "17"), provider="aws"), "https://ik/integrations/aws/17"),
        (simple(entity=Entity("integration", "17")), "https://ik/integrations"),
        (simple(entity=Entity("", "17"), url="https://own"), "https://own"),
        (simple(entity=Entity("resource", ""), url="https://own"), "https://own"),
        (simple(kind=Kind.ALERT, url="https://alerts/1"), "https://alerts/1"),
        (simple(kind=Kind.ALERT, entity=Entity("alert", "f00")), ""),
        (simple(kind=Kind.ALERT, url="javascript:alert(1)"), "https://ik/resources/17"),
        (simple(kind=Kind.ALERT, url="https://x/" + "&" * 200), "https://ik/resources/17"),
        (simple(entity=Entity("resource", "x" * 1000), url="https://own"), "https://own"),
    ],
)
def test_an_event_links_to_its_entity_in_infrakitchen(event: Event, address: str) -> None:
    assert event_url(event, "https://ik") == address
    assert event_url(replace(event, url=""), "") == ""


def shown(event: Event, url: str = "") -> str:
    """Return the part of a message beside the bar."""
    message = render(MessageContent((Line(event, "d"),)), infrakitchen_url=url)
    return "\n".join(block.text if isinstance(block, Section) else str(block) for block in message.blocks)


def run(*statuses: str) -> tuple[Step, ...]:
    return tuple(Step(f"s{n}", n, status) for n, status in enumerate(statuses))


def test_few_steps_are_all_named() -> None:
    assert shown(simple(steps=run("done", "error", "pending"))).startswith("*1 of 3 steps done*\n✅ s0  ❌ s1  ⬜ s2")


def test_many_steps_are_a_bar_and_the_steps_around_the_open_one() -> None:
    text = shown(simple(steps=run(*["done"] * 5, "in_progress", *["pending"] * 4)))
    assert text.startswith("🟩🟩🟩🟩🟩🟦⬜⬜⬜⬜\n*5 of 10 steps done*\n…  ✅ s3  ✅ s4  ⏳ s5  ⬜ s6  ⬜ s7  …")


def test_the_step_that_failed_matters_more_than_the_first_open_one() -> None:
    text = shown(simple(steps=run("in_progress", *["done"] * 7, "error", "pending")))
    assert "…  ✅ s6  ✅ s7  ❌ s8  ⬜ s9\n" in text


def test_a_square_of_very_many_steps_shows_the_worst_of_them() -> None:
    statuses = ["done"] * 100
    statuses[7], statuses[50], statuses[99] = "error", "unknown", "pending"
    text = shown(simple(steps=run(*statuses)))
    assert text.startswith("🟩🟥🟩🟩🟩🟩🟩🟩🟩🟩🟨🟩🟩🟩🟩🟩🟩🟩🟩⬜\n*97 of 100 steps done*\n")


def test_many_steps_that_are_all_done_are_only_counted() -> None:
    assert shown(simple(steps=run(*["done"] * 40))).startswith("*40 of 40 steps done*\nContext")


def test_the_error_of_a_failed_step_is_quoted_unless_the_reason_contains_it() -> None:
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
    message = render(MessageContent((Line(failed, "d"),)))
    assert "\n…\n" in str(shown(failed))
    assert "ValueError: no quota```" in shown(failed)
    assert message.text == "❌ db: ValueError: no quota"


def test_the_text_of_a_failure_without_an_error_is_its_reason() -> None:
    failed = simple(status="error", text="no capacity")
    assert shown(failed).startswith("```no capacity```")
    assert shown(failed).count("no capacity") == 1
    assert "no capacity" in str(reply(MessageContent((Line(failed, "d"),))).blocks)


def test_a_long_id_is_short_where_the_link_has_all_of_it() -> None:
    run_id = "5f0c8a1e-9d1b-4c52-8a57-0a6f7f0e1c17"
    one = simple(entity=Entity("workflow", run_id))
    assert "`5f0c8a1e…`" in shown(one, "https://ik")
    assert f"`{run_id}`" in shown(one)
    assert run_id not in shown(replace(one, title=f"Run {run_id}"))


def test_an_alert_names_and_links_its_entity() -> None:
    about = Entity("resource", "17", "db-main")
    alert = simple(kind=Kind.ALERT, entity=about, url="https://alerts/1", severity_word="critical")
    text = shown(alert, "https://ik")
    assert "*critical*  ·  *On* <https://ik/resources/17|resource db-main>" in text
    assert "*On* resource db-main" in shown(alert)
    assert "*On*" not in shown(replace(alert, entity=Entity("alert", "f00", "db-main")))


def test_labels_that_the_title_shows_are_left_out() -> None:
    text = shown(simple(labels={"alertname": "db", "severity": "page", "pod": "web-1"}))
    assert "`pod=web-1`" in text
    assert "alertname" not in text
    assert "severity" not in text


def place(title: str = "db", *, id_: str = "", name: str = "", **labels: str) -> Line:
    return Line(
        simple(title=title, labels=labels, kind=Kind.ALERT, entity=Entity("alert", id_ or str(labels), name)),
        f"{title}{labels}{id_}",
    )


def named(*lines: Line) -> list[str]:
    """Return the names in the rows of a digest."""
    return [" ".join(re.findall(r"`([^`]+)`", row)) for row in text_of(*lines).split("\n")]


@pytest.mark.parametrize(
    ("lines", "names"),
    [
        ((place(node="a", zone="1"), place(node="b", zone="1")), ["a", "b"]),
        ((place(zone="1", rack="x"), place(zone="2", rack="x")), ["zone=1", "zone=2"]),
        ((place("x", host="db-1"), place("y", host="web-9")), ["db-1", "web-9"]),
        ((place("x", host="db-1"), place("y", host="db-1")), ["", ""]),
        (
            (place(namespace="a", pod="p1"), place(namespace="a", pod="p2"), place("other", namespace="b", pod="p3")),
            ["a/p1", "a/p2", "b/p3"],
        ),
        (
            (
                place(node="a", disk="1"),
                place(node="a", disk="2"),
                place(node="b", disk="1"),
                place(node="b", disk="2"),
            ),
            ["a disk=1", "a disk=2", "b disk=1", "b disk=2"],
        ),
        ((place(id_="17", name="main"), place(id_="18", name="spare")), ["main", "spare"]),
        ((place(id_="17", name="main"), place(id_="18", name="main")), ["17", "18"]),
        (
            (place(id_="5f0c8a1e-9d1b-4c52-8a57-0a6f7f0e1c17"), place(id_="6f0c8a1e-9d1b-4c52-8a57-0a6f7f0e1c17")),
            ["5f0c8a1e", "6f0c8a1e"],
        ),
    ],
)
def test_the_name_of_a_thing_is_its_place_and_what_distinguishes_it(lines: tuple[Line, ...], names: list[str]) -> None:
    assert named(*lines) == names


def test_a_place_that_all_things_share_is_said_once_above_the_rows() -> None:
    some = (place("x", cluster="eu", pod="a", container="app"), place("y", cluster="eu", pod="b", container="app"))
    message = digest(MessageContent(some), "")
    assert str(message.headline).count("in `eu`") == 1
    assert "eu" not in str(message.blocks)
    assert message.text == "2 updates in eu: 🔵 x a; 🔵 y b"


def test_a_digest_says_how_many_get_a_message_of_their_own() -> None:
    message = digest(MessageContent(pods(2), urgent_count=3), "")
    assert "3 of the most urgent are not listed here" in str(message.blocks)


def test_as_many_links_as_fit_are_shown_and_a_long_one_costs_no_other() -> None:
    pages = [Link("Long", "https://x/" + "x" * 2_500), *(Link(f"L{n}", "https://x/" + "y" * 600) for n in range(4))]
    event = replace(LARGEST, url="https://x/own", links=tuple(pages))
    blocks = message_of(MessageContent((Line(event, "d"),)), "").blocks
    row = next(block.text for block in blocks if isinstance(block, Context) and "|L0>" in block.text)
    assert re.findall(r"\|(\w+)>", row) == ["L0", "L1", "L2"]
    assert "|Open>" not in str(blocks)


@pytest.mark.parametrize(
    ("value", "shown"), [("6.7000001", "6.7"), ("0.000123461", "0.0001235"), ("1234567.8", "1,234,568"), ("n/a", "n/a")]
)
def test_a_measured_value_has_no_more_digits_than_needed(value: str, shown: str) -> None:
    event = replace(LARGEST, labels={}, values={"A": value})
    assert f"*Value* A = {shown}" in str(message_of(MessageContent((Line(event, "d"),)), "").blocks)
