"""A template from its file to the channel, and the reports of its failure, by the command line."""

import json
from typing import Any

import pytest
from support.commands import get_failed_findings, run_command
from support.events import numbered_alert
from support.installation import Installation, until

CARD = """\
*{{ title }}* at step {{ steps|length }} <!here>
{% for step in steps if step.error %}
> {{ step.error }}
{% endfor %}
<https://wiki.example.com/{{ project }}|Runbook of {{ project }}>
"""
BLOCKS = """\
[
  {"type": "header", "text": {"type": "plain_text", "text": "{{ title }}"}},
  {"type": "section", "text": {"type": "mrkdwn", "text": "{{ labels.team }}: {{ text or 'all well' }}"}}
  {% if severity == "critical" %},
  {"type": "section", "text": {"type": "mrkdwn", "text": "{{ steps[0].name }}"}}
  {% endif %}
]
"""
EVIL = 'no "quota" for <!channel>'


def run(what: str, number: int, *steps: dict[str, object]) -> dict[str, Any]:
    """A workflow's event."""
    about = {"workflow_id": "w1", "name": "deploy", "project": "ops"}
    return {
        "specversion": "1.0", "id": f"run-{number}", "source": "/tests",
        "time": f"2026-01-01T00:00:0{number}Z",
        "type": f"io.infrakitchen.workflow.{what}", "data": {**about, "steps": list(steps)},
    }  # fmt: skip


def tops(installation: Installation) -> list[dict[str, Any]]:
    return [message for message in installation.messages("#ops") if "thread_ts" not in message]


@pytest.mark.thorough
@pytest.mark.slow
async def test_a_card_is_posted_and_edited_with_its_template_and_its_values_mention_no_one(fast: Installation):
    fast.workspace.add_channel("ops")
    await fast.connect()
    (fast.directory / "card.j2").write_text(CARD)
    (fast.directory / "wrong.j2").write_text("fine\n{{ titel }}\n")
    refused = await fast.cli("subscriptions", "add", "--to", "#ops", "--template", "wrong.j2")
    assert refused.code == 2
    assert "line 2: there is no variable 'titel'" in " ".join(refused.err.split())
    added = await run_command(
        fast, "subscriptions", "add", "--to", "#ops", "--kind", "workflow", "--template", "card.j2"
    )
    assert added.code == 0
    exported = (await run_command(fast, "subscriptions", "export")).out
    again = await run_command(fast, "subscriptions", "apply", "-", given=exported)
    assert again.out == "Nothing to change, 1 unchanged.\n"
    fast.ingest(), fast.worker()
    await fast.publish(run("started", 1, {"name": "plan", "status": "in_progress"}))
    await fast.settled(1)
    failed = {"name": "apply", "status": "error", "error_message": EVIL}
    await fast.publish(run("failed", 2, {"name": "plan", "status": "done"}, failed))
    await fast.settled(2)
    (card,) = tops(fast)
    above, beside = card["blocks"][0]["text"]["text"], card["attachments"][0]["blocks"][0]["text"]["text"]
    assert above == "*Workflow deploy failed* at step 2 <!here>"
    assert beside == ('> no "quota" for &lt;!channel&gt;\n<https://wiki.example.com/ops|Runbook of ops>')
    assert fast.sandbox.calls["chat.update"] == 1
    assert fast.sandbox.violations.total() == 0


@pytest.mark.thorough
@pytest.mark.slow
async def test_a_failed_template_loses_no_delivery_and_is_reported_everywhere(
    fast: Installation,
):
    fast.workspace.add_channel("ops")
    rule = {"destination": "#ops", "kind": "alert"}
    refused = await _connected(fast, {**rule, "template": BLOCKS})
    assert "line 5: list object has no element 0 (tested on an alert event)" in refused
    odd = BLOCKS.replace('severity == "critical"', "labels.odd")
    assert await _connected(fast, {**rule, "template": odd}) == ""
    (rule_id,) = [one["id"] for one in await fast.asked("subscriptions", "list")]
    await fast.running(fast.ingest(), fast.worker())
    await fast.publish(numbered_alert(1, labels={"team": EVIL}))
    await fast.settled(1)
    (first,) = tops(fast)
    assert first["blocks"][0] == {"type": "header", "text": {"type": "plain_text", "text": "evt-1"}} | {
        name: value for name, value in first["blocks"][0].items() if name == "block_id"
    }
    assert "&lt;!channel&gt;: all well" in str(first["attachments"])

    await fast.publish(numbered_alert(2, labels={"odd": "yes"}))
    await fast.settled(2)
    default = tops(fast)[1]
    assert "*evt-2*" in str(default["blocks"])
    assert f"The template of subscription {rule_id} failed: list object has no element" in str(default)
    explained = await fast.asked("explain", "evt-2")
    assert explained["matched"][0]["delivery"]["template_fault"].endswith(", line 5")
    assert list(await get_failed_findings(fast)) == [f"{rule_id}: template"]
    await fast.publish(numbered_alert(3))
    await fast.settled(3)
    await until(lambda: _is_well(fast), "doctor is content again")


async def _connected(installation: Installation, rule: dict[str, object]) -> str:
    """What `subscriptions apply` has against a rule."""
    if not await installation.asked("integrations", "list"):
        await installation.connect()
    said = await run_command(installation, "subscriptions", "apply", "-", given=json.dumps([rule]))
    return said.err


async def _is_well(installation: Installation) -> bool:
    return not await get_failed_findings(installation)
