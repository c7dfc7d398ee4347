"""The language of templates: what is wrong is said with its line, and nothing gets out of hand."""

import tracemalloc

import pytest

from worker.domain.event import Entity, Event, Kind, Severity, Step
from worker.domain.template import TemplateFault
from worker.pipeline.filling import WRITTEN_MOST, Values
from worker.pipeline.language import STEPS_MOST, TIME_MOST_S, compiled, run
from worker.pipeline.variables import FIELDS, variables_of

EVENT = Event(
    "1", "/ik", "x", Kind.WORKFLOW, "1700000000000-0", Entity("workflow", "17", "deploy"), Severity.ERROR,
    "deploy failed", status="error", text="it failed", labels={"team": "ops"},
    started_at_s=1e9, ended_at_s=1e9 + 72,
    steps=(Step("plan", 1, "done"), Step("apply", 2, "error", "quota")),
)  # fmt: skip
KNOWN = variables_of(EVENT, "https://ik/workflows/17", "https://ik")


def filled(source: str) -> str:
    """Where no time passes: that is not to depend on the machine."""
    values = Values()
    return values.markup(run(compiled(source), KNOWN, values, lambda: 0.0))


def fault(source: str) -> tuple[str, int]:
    with pytest.raises(TemplateFault) as found:
        filled(source)
    return found.value.reason, found.value.line


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ title }}: {{ msg }} ({{ status }})", "deploy failed: it failed (error)"),
        ("{{ entity_name }} {{ entity_id }} {{ infrakitchen_url }}", "deploy 17 https://ik"),
        ("{{ event.kind }} {{ event.title|upper }}", "workflow DEPLOY FAILED"),
        ("{{ labels.team }}, {{ labels.nobody }}.", "ops, ."),
        ("{{ labels }} {{ steps|map(attribute='name')|list }}", "team=ops plan, apply"),
        ("{{ duration }} {{ error }}|{{ None }}|{{ 1 + 1 }}|{{ true }}", "1 min 12 s ||2|true"),
        ("{% for s in steps %}{{ loop.index }}{{ loop.length }}{{ s.name }};{% endfor %}", "12plan;22apply;"),
        ("{% for s in steps if s.error %}{{ s.error }}{% else %}none{% endfor %}", "quota"),
        ("{% set n = steps|length %}{{ n * 2 }} {{ '-' * 3 }} {{ 7 % 4 }}", "4 --- 3"),
        ("{{ 'a' + 'b' }} {{ [1] + [2] }} {{ 'a' ~ 1 ~ none }}", "ab 1, 2 a1"),
        ("{{ title|replace('failed', 'broke')|cut(9) }}", "deploy b…"),
        ("{{ 1.26|round(1) }} {{ 1.5|round }} {{ [1,2]|join('-') }}", "1.3 2 1-2"),
        ("{{ started_at|date('{time}') }}", "<!date^1000000000^{time}|2001-09-09 01:46 UTC>"),
        ("{{ none|date }}{{ ''|duration }}{{ ''|quote }}.", "."),
        ("{{ (ended_at - started_at)|duration }}", "1 min 12 s"),
        ("{{ title.startswith('deploy') }} {{ range(3)|list }}", "true 0, 1, 2"),
        ("{{ steps[0].missing|default('yes') }}", "yes"),
    ],
)  # fmt: skip
def test_what_a_template_writes(source: str, text: str) -> None:
    assert filled(source) == text


@pytest.mark.parametrize(
    ("source", "reason", "line"),
    [
        ("a\n{{ titel }}", "there is no variable 'titel'; 'title' is there", 2),
        ("{{ xyzzy }}", "there is no variable 'xyzzy'", 1),
        ("\n\n{{ event.titel }}", "an event has no 'titel'; 'title' is there", 3),
        ("a\n{{ title", "unexpected end of template, expected 'end of print statement'", 2),
        ("{% if %}", "Expected an expression, got 'end of statement block'", 1),
        ("{{ title|nope }}", "No filter named 'nope'", 1),
        ("{{ title is nope }}", "No test named 'nope'", 1),
        ("a\n\n{{ 1 / 0 }}", "division by zero", 3),
        ("\n{% for s in steps %}\n{{ s.nam }}{% endfor %}", "'dict object' has no attribute 'nam'", 3),
        ("{{ steps[7].name }}", "list object has no element 7", 1),
        ("{% for x in none %}{% endfor %}", "'NoneType' object is not iterable", 1),
        ("{{ started_at|date('<!here>') }}", "'<!here>' is no form of a date", 1),
        ("{{ title|bold|cut(3) }}", "`cut` stands before a filter that makes markup, not after it", 1),
        ("\ue0001\ue001", "it holds a character of the private use area (U+E000 or U+E001)", 0),
    ],
)
def test_what_is_wrong_is_said_with_its_line(source: str, reason: str, line: int) -> None:
    assert fault(source) == (reason, line)


NOT_OFFERED = " is not offered in a template"
STEPS = "it takes more than 10,000 steps"
UNREADABLE = "it cannot be read: "
GROWN = "it makes a text of more than 20,000 characters"
LISTED = "it makes a list of more than 4,000 elements"
TOO_LONG = "it makes a text or a list that is too long"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{% for i in range(10**9) %}{% endfor %}", "**" + NOT_OFFERED),
        ("{% for i in range(1000000000) %}{% endfor %}", "a range has 1,000 numbers at most"),
        ("{% for i in range(1000) %}{% for j in range(1000) %}{% endfor %}{% endfor %}", STEPS),
        ("{% for i in 'x' * 9999 %}{% if i|upper %}{% endif %}{% endfor %}", STEPS),
        ("{{ 'x' * 10000000000 }}", TOO_LONG),
        ("{{ 10000000000 * 'x' }}", TOO_LONG),
        ("{{ [1] * 10000 }}", TOO_LONG),
        ("{{ 9**9**9 }}", "**" + NOT_OFFERED),
        ("{% set a = 99999999 %}" + "{% set a = a * a %}" * 9, "it makes a number that is too large"),
        ("{% set a = 'xxxxxxxx' %}" + "{% set a = a ~ a %}" * 60, GROWN),
        ("{% set a = 'xxxxxxxx' %}" + "{% set a = a + a %}" * 60, GROWN),
        ("{% set a = [1, 2] %}" + "{% set a = a + a %}" * 60, LISTED),
        ("{{ title|replace('', 'x' * 20000) }}", GROWN),
        ("{{ range(999)|join('x' * 999) }}", GROWN),
        ("{{ ('x' * 9999)|list|list }}", LISTED),
        ("{{ '%1000000000d' % 1 }}", "a text has no %: use ~ and filters"),
        ("{{ '{:>1000000000}'.format(1) }}", "access to attribute 'format' of 'str' object is unsafe"),
        ("{{ title.center(1000000000) }}", "access to attribute 'center' of 'str' object is unsafe"),
        ("{{ title|center(1000000000) }}", "No filter named 'center'"),
        ("{{ ''.__class__.__mro__ }}", "access to attribute '__class__' of 'str' object is unsafe"),
        ("{{ steps.append(1) }}", "access to attribute 'append' of 'list' object is unsafe"),
        ("{{ labels.pop('team') }}", "access to attribute 'pop' of 'Labels' object is unsafe"),
        ("{{ title|safe }}", "No filter named 'safe'"),
        ("{{ title|attr('x') }}", "No filter named 'attr'"),
        ("{% include 'x' %}", "{% include %}" + NOT_OFFERED),
        ("{% import 'x' as y %}", "{% import %}" + NOT_OFFERED),
        ("{% from 'x' import y %}", "{% from %}" + NOT_OFFERED),
        ("{% extends 'x' %}", "{% extends %}" + NOT_OFFERED),
        ("{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}", "{% macro %}" + NOT_OFFERED),
        ("{% set x %}a{% endset %}", "{% set %} with an end"),
        ("{% filter upper %}a{% endfilter %}", "{% filter %}" + NOT_OFFERED),
        ("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", "{% for … recursive %}" + NOT_OFFERED),
        ("{{ namespace(x=1) }}", "there is no variable 'namespace'"),
        ("{{ lipsum(1000000) }}", "there is no variable 'lipsum'"),
        ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", UNREADABLE),
        ("{{ 1" + "0" * 5000 + " }}", UNREADABLE),
    ],
)  # fmt: skip
def test_what_would_get_out_of_hand_is_refused_before_it_does(source: str, reason: str) -> None:
    tracemalloc.start()
    try:
        found, _ = fault(source)
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.startswith(reason)
    assert most_bytes < 20_000_000


def test_time_is_looked_at_with_every_step() -> None:
    now = iter(range(1000))
    with pytest.raises(TemplateFault, match="takes longer"):
        run(compiled("{{ title }}"), KNOWN, Values(), clock=lambda: next(now) * TIME_MOST_S * 2)


def test_a_template_stops_when_it_has_written_enough() -> None:
    looped = "{% for i in range(1000) %}" + "x" * 1000 + "{% endfor %}"
    assert WRITTEN_MOST < len(run(compiled(looped), KNOWN, Values())) < WRITTEN_MOST + 2_000
    values = Values()
    many = run(compiled("{% for i in range(1000) %}{{ title ~ 'x' * 900 }}{% endfor %}"), KNOWN, values)
    assert values.size < WRITTEN_MOST + 2_000
    assert len(many) < WRITTEN_MOST


def test_the_longest_loop_there_may_be_is_written() -> None:
    rounds = STEPS_MOST // 2 - 10
    looped = "{% for i in range(1000) %}{% if i < 4 %}{{ i }}{% endif %}{% endfor %}" * (rounds // 2000)
    assert filled(looped) == "0123" * (rounds // 2000)


def test_every_name_is_known_by_itself_and_of_the_event() -> None:
    assert {name: KNOWN[name] for name in FIELDS} == KNOWN["event"]


def test_an_event_that_is_still_under_way_has_no_duration() -> None:
    known = variables_of(Event("1", "", "", Kind.ALERT, "1-0", Entity("", ""), Severity.INFO, "t"), "", "")
    assert (known["duration"], known["started_at"], known["msg"]) == (None, None, "")
