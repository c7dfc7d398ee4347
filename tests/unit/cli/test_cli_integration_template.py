"""The template of an integration is tested before it is saved, and can be shown and removed."""

import pytest
from support.cli import Shell

from worker.bootstrap.context import AppContext
from worker.domain.errors import TemplateError

EVENT = (
    '{"specversion":"1.0","id":"1","source":"me","type":"io.infrakitchen.workflow.started",'
    '"data":{"workflow_id":"w","name":"deploy"}}'
)


def test_a_template_of_an_integration_applies_to_its_subscriptions_until_removed(connected: Shell) -> None:
    id_ = connected.subscribe("--to", "ops")
    assert connected("integrations", "template", "acme", "-", stdin="hi {{ title }}\n").code == 0
    assert connected("integrations", "template", "acme").out.strip() == "hi {{ title }}"
    shown = connected("preview", "-", "--subscription", id_, stdin=EVENT).out
    assert "hi Workflow deploy" in shown
    connected("integrations", "rotate", "acme", "--token-stdin", stdin=connected.acme.token)
    assert connected("integrations", "show", "acme", "--json").json["template"] == "hi {{ title }}\n"
    assert connected("integrations", "template", "acme", "--remove").code == 0
    assert "no template" in connected("integrations", "template", "acme").out
    assert "hi Workflow" not in connected("preview", "-", "--subscription", id_, stdin=EVENT).out


def test_a_new_template_clears_the_errors_of_the_old_one(connected: Shell) -> None:
    """A subscription's own template keeps its error."""
    theirs = connected.subscribe("--to", "ops")
    own = connected.subscribe("--to", "own", "--template", connected.file("{{ title }}"))

    async def fail(app: AppContext) -> None:
        for id_ in (theirs, own):
            await app.template_errors.record(id_, "d", TemplateError("no"))

    connected.store(fail)
    assert connected("integrations", "template", "acme", "-", stdin="hi").code == 0
    red = [one["check"] for one in connected("doctor", "--json").json if not one["ok"]]
    assert [check for check in red if "template" in check] == [f"{own}: template"]


@pytest.mark.parametrize(("source", "said"), [("", "is empty"), ("{{ unknown }}", "line 1"), ("{% if %}", "line 1")])
def test_a_template_that_cannot_work_is_not_saved(connected: Shell, source: str, said: str) -> None:
    ended = connected("integrations", "template", "acme", "-", stdin=source)
    assert (ended.code, said in ended.err) == (1, True), ended.err
    assert connected("integrations", "show", "acme", "--json").json["template"] == ""
    assert connected("integrations", "template", "acme", "-", "--remove", stdin="x").code == 2
