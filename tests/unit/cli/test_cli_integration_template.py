"""A template for all subscriptions of an integration: judged before it is kept, shown, removed."""

import pytest
from cli_shell import Shell

from worker.bootstrap import Services
from worker.domain.template import TemplateFault

EVENT = (
    '{"specversion":"1.0","id":"1","source":"me","type":"io.infrakitchen.workflow.started",'
    '"data":{"workflow_id":"w","name":"deploy"}}'
)


def test_a_template_is_kept_for_all_subscriptions_and_removed(connected: Shell) -> None:
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


def test_what_failed_is_forgotten_once_the_template_is_another(connected: Shell) -> None:
    """`doctor` says to mend it so, and is content then; a subscription's own template is not meant."""
    theirs = connected.subscribe("--to", "ops")
    own = connected.subscribe("--to", "own", "--template", connected.file("{{ title }}"))

    async def fail(made: Services) -> None:
        for id_ in (theirs, own):
            await made.drain.template_faults.note(id_, "d", TemplateFault("no"))

    connected.store(fail)
    assert connected("integrations", "template", "acme", "-", stdin="hi").code == 0
    red = [one["check"] for one in connected("doctor", "--json").json if not one["ok"]]
    assert [check for check in red if "template" in check] == [f"{own}: template"]


@pytest.mark.parametrize(
    ("source", "said"), [("", "is empty"), ("{{ nobody }}", "line 1"), ("{% if %}", "line 1")]
)
def test_a_template_that_cannot_work_is_not_kept(connected: Shell, source: str, said: str) -> None:
    ended = connected("integrations", "template", "acme", "-", stdin=source)
    assert (ended.code, said in ended.err) == (1, True), ended.err
    assert connected("integrations", "show", "acme", "--json").json["template"] == ""
    assert connected("integrations", "template", "acme", "-", "--remove", stdin="x").code == 2
