"""The template engine renders variables and filters, and names the line of each error."""

import pytest

from worker.domain.errors import TemplateError
from worker.domain.event import Entity, Event, Kind, Link, Severity, Step
from worker.templating.engine import OUTPUT_MAX, namespace_of, render
from worker.templating.variables import FIELDS, variables_of

EVENT = Event(
    "1", "/ik", "x", Kind.WORKFLOW, "1700000000000-0", Entity("workflow", "17", "deploy"), Severity.ERROR,
    "deploy failed", status="error", text="it failed", labels={"team": "ops"},
    links=(Link("Runbook", "https://rb.example/1"),), values={"A": "97"}, annotations={"note": "n"},
    started_at_s=1e9, ended_at_s=1e9 + 72,
    steps=(Step("plan", 1, "done"), Step("apply", 2, "error", "quota")),
)  # fmt: skip
VARIABLES = variables_of(EVENT, "https://ik/workflows/17", "https://ik")


def error_of(source: str) -> tuple[str, int]:
    with pytest.raises(TemplateError) as caught:
        render(source, VARIABLES)
    return caught.value.reason, caught.value.line


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ title }}: {{ msg }} ({{ status }})", "deploy failed: it failed (error)"),
        ("{{ entity_name }} {{ entity_id }} {{ infrakitchen_url }}", "deploy 17 https://ik"),
        ("{{ event.kind }} {{ event.title|upper }}", "workflow DEPLOY FAILED"),
        ("{{ labels.team }}, {{ labels.absent }}.", "ops, ."),
        ("{{ values.A }} {{ event.values.A }} {{ annotations.note }}{{ values.absent }}", "97 97 n"),
        ("{% for l in event.links %}{{ l.url|link(l.label) }}{% endfor %}", "<https://rb.example/1|Runbook>"),
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
        ("{{ duration|replace('min', 'minutes') }}", "1 minutes 12 s"),
        ("{{ '%s=%d' % ('a', 2) }}", "a=2"),
        ("{% with x = 1 %}{{ x }}{% endwith %}{{ 2 ** 3 }}", "18"),
    ],
)  # fmt: skip
def test_a_template_writes_variables_and_filters(source: str, text: str) -> None:
    assert render(source, VARIABLES).markup == text


@pytest.mark.parametrize(
    ("source", "reason", "line"),
    [
        ("a\n{{ titel }}", "there is no variable 'titel'; did you mean 'title'?", 2),
        ("{{ xyzzy }}", "there is no variable 'xyzzy'", 1),
        ("\n\n{{ event.titel }}", "an event has no 'titel'; did you mean 'title'?", 3),
        ("a\n{{ title", "unexpected end of template, expected 'end of print statement'", 2),
        ("{% if %}", "Expected an expression, got 'end of statement block'", 1),
        ("{{ title|nope }}", "No filter named 'nope'", 1),
        ("{{ title is nope }}", "No test named 'nope'", 1),
        ("a\n\n{{ 1 / 0 }}", "division by zero", 3),
        ("\n{% for s in steps %}\n{{ s.nam }}{% endfor %}", "'dict object' has no attribute 'nam'", 3),
        ("{{ steps[7].name }}", "list object has no element 7", 1),
        ("{% for x in none %}{% endfor %}", "'NoneType' object is not iterable", 1),
        ("{{ started_at|date('<!here>') }}", "'<!here>' is not a date format", 1),
        ("{{ title|bold|cut(3) }}", "use `cut` before a filter that makes markup, not after it", 1),
        ("\ue0001\ue001", "it contains a character of the private use area (U+E000 or U+E001)", 0),
    ],
)
def test_an_error_has_its_reason_and_its_line(source: str, reason: str, line: int) -> None:
    assert error_of(source) == (reason, line)


NOT_OFFERED = " is not offered in a template"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{{ ''.__class__.__mro__ }}", "access to attribute '__class__' of 'str' object is unsafe"),
        ("{{ steps.append(1) }}", "access to attribute 'append' of 'list' object is unsafe"),
        ("{{ labels.pop('team') }}", "access to attribute 'pop' of 'Labels' object is unsafe"),
        ("{{ '{:>9}'.format(1) }}", "access to attribute 'format' of 'str' object is unsafe"),
        ("{{ ('{}'|bold).format(title) }}", "access to attribute 'format' of 'Markup' object is unsafe"),
        ("{{ ('{}'|bold)['format'](title) }}", "access to attribute 'format' of 'Markup' object is unsafe"),
        (
            "{{ ('{x}'|bold).format_map({'x': title}) }}",
            "access to attribute 'format_map' of 'Markup' object is unsafe",
        ),
        ("{{ ([('{}'|bold)]|map(attribute='format')|first)(title) }}", "access to attribute 'format' of"),
        ("{{ title|safe }}", "No filter named 'safe'"),
        ("{{ title|attr('x') }}", "No filter named 'attr'"),
        ("{{ title|center(9) }}", "No filter named 'center'"),
        ("{% include 'x' %}", "{% include %}" + NOT_OFFERED),
        ("{% import 'x' as y %}", "{% import %}" + NOT_OFFERED),
        ("{% from 'x' import y %}", "{% from %}" + NOT_OFFERED),
        ("{% extends 'x' %}", "{% extends %}" + NOT_OFFERED),
        ("{% block x %}{% endblock %}", "{% block %}" + NOT_OFFERED),
        ("{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}", "{% macro %}" + NOT_OFFERED),
        ("{% call x() %}{% endcall %}", "{% call %}" + NOT_OFFERED),
        ("{% set x %}a{% endset %}", "{% set %} with an end" + NOT_OFFERED),
        ("{% filter upper %}a{% endfilter %}", "{% filter %}" + NOT_OFFERED),
        ("{% autoescape true %}a{% endautoescape %}", "{% autoescape %}" + NOT_OFFERED),
        ("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", "{% for … recursive %}" + NOT_OFFERED),
        ("{{ namespace(x=1) }}", "there is no variable 'namespace'"),
        ("{{ lipsum(1000000) }}", "there is no variable 'lipsum'"),
        ("{{ range(1000000) }}", "Range too big. The sandbox blocks ranges larger than MAX_RANGE (100000)"),
        ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "it cannot be read: "),
        ("{{ 1" + "0" * 5000 + " }}", "it cannot be read: "),
    ],
)
def test_a_part_of_jinja2_that_is_not_offered_is_rejected(source: str, reason: str) -> None:
    assert error_of(source)[0].startswith(reason)


def test_a_template_stops_when_it_has_written_enough() -> None:
    looped = "{% for i in range(1000) %}" + "x" * 1000 + "{% endfor %}"
    assert len(render(looped, VARIABLES).markup) == OUTPUT_MAX
    values = "{% for i in range(1000) %}{{ title ~ 'x' * 900 }}{% endfor %}"
    assert len(render(values, VARIABLES).markup) < OUTPUT_MAX + 2_000


def test_every_field_is_a_variable_and_an_attribute_of_the_event() -> None:
    namespace = namespace_of(VARIABLES)
    assert {name: namespace[name] for name in FIELDS} == namespace["event"]


def test_a_running_workflow_has_no_duration() -> None:
    variables = variables_of(Event("1", "", "", Kind.ALERT, "1-0", Entity("", ""), Severity.INFO, "t"), "", "")
    assert (variables["duration"], variables["started_at"], variables["msg"]) == (None, None, "")
