"""A template for all subscriptions of an integration: judged before it is kept, shown, removed."""

import pytest
from cli_shell import Shell

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


@pytest.mark.parametrize(
    ("source", "said"), [("", "is empty"), ("{{ nobody }}", "line 1"), ("{% if %}", "line 1")]
)
def test_a_template_that_cannot_work_is_not_kept(connected: Shell, source: str, said: str) -> None:
    ended = connected("integrations", "template", "acme", "-", stdin=source)
    assert (ended.code, said in ended.err) == (1, True), ended.err
    assert connected("integrations", "show", "acme", "--json").json["template"] == ""
    assert connected("integrations", "template", "acme", "-", "--remove", stdin="x").code == 2
