"""Templates at the command line are tested before they are saved, and an error names its line."""

import json
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from support.cli import Shell, deliver
from support.events import failed_workflow

from worker.cli.subscriptions_file import to_yaml
from worker.domain.errors import TEMPLATE_MAX_BYTES
from worker.services.template_validation import validate_template

OWN = "*{{ title }}* of {{ project or 'unknown' }}\n{% for step in steps %}\n• {{ step.name }}\n{% endfor %}\n"
BROKEN = "first\n{{ titel }}\n"
FIRST_STEP = "{{ steps[0].name }}"


def add(shell: Shell, template: str, *words: str) -> Any:
    return shell("subscriptions", "add", "--to", "#ops", "--template", shell.file(template), *words)


def test_a_template_is_saved_and_shown_as_written(connected: Shell) -> None:
    id_ = add(connected, OWN.replace("\n", "\r\n"), "--json").json["id"]
    assert connected("subscriptions", "show", id_, "--json").json["template"] == OWN
    shown = connected("subscriptions", "show", id_).out
    assert "Options      own template\n" in shown
    assert shown.endswith("\n    *{{ title }}* of {{ project or 'unknown' }}\n    {% for step in steps %}\n"
                          "    • {{ step.name }}\n    {% endfor %}\n")  # fmt: skip
    assert "own template" in connected("subscriptions", "list").out


def test_an_exported_template_is_readable_and_applying_it_changes_nothing(connected: Shell) -> None:
    add(connected, OWN)
    written = connected("subscriptions", "export").out
    assert "\n  template: |\n    *{{ title }}* of {{ project or 'unknown' }}\n" in written
    assert connected("subscriptions", "apply", "-", stdin=written).out == "Nothing to change, 1 unchanged.\n"


lines = st.text(st.characters(codec="utf-8") | st.sampled_from(" \t\n'\"|:#{}%-\x85\u2028🔥"), max_size=60)


@given(st.lists(lines).map("\n".join))
@example("a\nb\x85c")
@example("a\u2028b")
@example("a\n  b \n\tc\n\n")
def test_any_text_survives_the_yaml_export(text: str) -> None:
    assert yaml.safe_load(to_yaml([{"template": text}])) == [{"template": text}]


def test_apply_reports_whether_a_template_was_added_changed_or_removed(connected: Shell) -> None:
    def applied(*template: str) -> str:
        rules = [{"destination": "#ops", **({"template": template[0]} if template else {})}]
        return connected("subscriptions", "apply", "-", stdin=json.dumps(rules)).out.splitlines()[0]

    applied()
    assert applied(OWN).endswith(": template: added")
    assert applied(OWN + "!").endswith(": template: changed")
    assert applied().endswith(": template: removed")


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        (BROKEN, "line 2: there is no variable 'titel'; did you mean 'title'?"),
        ("{% if %}", "line 1: Expected an expression, got 'end of statement block'"),
        ("\n{% include 'x' %}", "line 2: {% include %} is not offered in a template"),
        (FIRST_STEP, "line 1: list object has no element 0 (tested on a resource event)"),
        ("{{ error }}", "it writes nothing (tested on a resource event)"),
        ('[{"type": "section"}]', "block 1: section: text is missing (tested on a workflow event)"),
        ("x" * 9_501, "it writes more than 9,500 characters (tested on a workflow event)"),
        ("x" * (TEMPLATE_MAX_BYTES + 1), "has 16,385 bytes, at most 16,384 are allowed"),
        ("", "is empty"),
        (" \n", "is empty"),
    ],
)
def test_an_invalid_template_is_rejected_by_add_and_apply(connected: Shell, template: str, reason: str) -> None:
    ended = add(connected, template)
    assert (ended.code, ended.out) == (2, "")
    assert f"--template: {reason}" in " ".join(ended.err.split())
    if template:
        rules = [{"destination": "#x"}, {"destination": "#ops", "template": template}]
        ended = connected("subscriptions", "apply", "-", stdin=json.dumps(rules))
        explanation = f"Error: Nothing was changed: subscription 2 of the file: template: {reason}.\n"
        assert (ended.code, ended.err) == (1, explanation)
    assert connected("subscriptions", "list", "--json").json == []


def test_a_template_is_tested_on_the_kinds_of_events_of_its_subscription(connected: Shell) -> None:
    assert add(connected, "{{ started_at|date }} {{ labels.team }}", "--kind", "workflow").code == 2
    assert add(connected, "{{ error or title }}", "--kind", "workflow").code == 0
    alerts = "{% if not severity %}{{ unknown }}{% endif %}{{ event.severity }}"
    assert "there is no variable 'unknown'" in add(connected, alerts, "--kind", "alert").err
    only = "{% if kind != 'alert' %}{{ steps[0].name }}{% else %}x{% endif %}"
    assert add(connected, only).code == 2
    assert add(connected, only, "--kind", "alert").code == 0


@pytest.mark.parametrize("wrong", [5, None, ["x"]])
def test_a_template_that_is_not_a_text_is_rejected(wrong: object) -> None:
    with pytest.raises(ValueError, match="is not a text; put it in quotes"):
        validate_template(wrong)


def test_a_template_that_is_not_utf_8_is_rejected_in_one_line(connected: Shell) -> None:
    (connected.folder / "given").write_bytes(b"\xff")
    ended = connected("subscriptions", "add", "--to", "#ops", "--template", str(connected.folder / "given"))
    assert (ended.code, ended.err.count("\n")) == (1, 1)
    assert "The file is not UTF-8" in ended.err


def preview(shell: Shell, *words: str, what: str = "") -> Any:
    return shell("preview", "-", *words, stdin=what or failed_workflow())


def test_preview_applies_a_template_that_is_not_saved(shell: Shell) -> None:
    shell.env.delenv("REDIS_URL")
    shown = preview(shell, "--template", shell.file("own {{ title }}\n{{ error or 'no error' }}"))
    assert (shown.code, shown.err) == (0, "")
    assert "own Workflow run deploy-1 failed" in shown.out
    refused = preview(shell, "--template", shell.file(BROKEN))
    assert refused.code == 1
    assert refused.err == (
        "Error: The template cannot be used: line 2: there is no variable 'titel'; did you mean 'title'?.\n"
    )


def test_preview_applies_the_template_of_a_subscription(connected: Shell) -> None:
    own = add(connected, "own {{ title }}", "--json").json["id"]
    sent = preview(connected, "--subscription", own, "--json").json
    assert sent["blocks"][0]["text"]["text"] == "own Workflow run deploy-1 failed"
    tried = preview(connected, "--subscription", own, "--template", connected.file("tried"), "--json").json
    assert tried["blocks"][0]["text"]["text"] == "tried"


def test_a_failed_template_is_reported_by_preview_explain_show_and_doctor(
    connected: Shell,
) -> None:
    kept = "{% if project == 'odd' %}{{ steps[0].name }}{% endif %}own {{ title }}"
    id_ = add(connected, "\n" + kept, "--json").json["id"]
    why = "list object has no element 0, line 2"
    odd = failed_workflow("odd-1", project="odd")
    shown = preview(connected, "--subscription", id_, what=odd)
    assert shown.err == f"Note: the template fails, so the default message is posted: {why}.\n"
    assert f"The template of subscription {id_} failed: {why}" in shown.out

    deliver(connected, odd)
    explanation = connected("explain", "odd-1")
    assert f"its template failed, the default message was used: {why}\n" in explanation.out
    [matched] = connected("explain", "odd-1", "--json").json["matched"]
    assert (matched["delivery"]["state"], matched["delivery"]["template_fault"]) == ("delivered", why)
    assert f"Template error  {why}" in connected("subscriptions", "show", id_).out
    red = {one["check"]: one for one in connected("doctor", "--json").json if not one["ok"]}
    assert red[f"{id_}: template"]["detail"] == f"failed: {why}"
    assert "subscriptions apply" in red[f"{id_}: template"]["fix"]

    deliver(connected, failed_workflow("even-1"))
    assert not any("template" in one["check"] for one in connected("doctor", "--json").json)
    assert "its template" not in connected("explain", "even-1").out
    assert "its template" in connected("explain", "odd-1").out
