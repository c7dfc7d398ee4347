"""People who look after the worker are told in Slack what parked, once, and what to do."""

import json

import pytest
from support.events import numbered_alert
from support.installation import Installation, run_installation, until


@pytest.mark.slow
async def test_a_parked_lane_is_reported_once_in_the_operations_channel(tmp_path):
    settings = {"POST_RATE_PER_CHANNEL": "50", "OPERATIONS_CHANNEL": "#platform"}
    async with run_installation(tmp_path, **settings) as installation:
        installation.sandbox.set_rate(0)
        for name in ("platform", "shop"):
            installation.workspace.add_channel(name)
        installation.workspace.add_channel("ops", member=False)
        await installation.connect("#ops", "#shop")
        installation.ingest(), installation.worker(), installation.worker()
        await installation.publish(numbered_alert(1), numbered_alert(2), numbered_alert(3, "shop"))
        await until(lambda: installation.messages("#platform"), "the parking is told")
        await until(lambda: installation.messages("#shop"), "the other channel goes on")
        (parked,) = await installation.asked("parked", "list")
        (told,) = installation.messages("#platform")
        assert parked["hint"] in json.dumps(told, ensure_ascii=False)
        event_id = f"parked:acme/#ops:{await _since(installation)}"
        story = await installation.asked("explain", event_id)
        assert story["state"] == "delivered"

        installation.workspace.invite("#ops")
        await installation.settled(4)
        installation.workspace.revoke(installation.workspace.token)
        await installation.publish(*(numbered_alert(number, "shop") for number in range(10, 20)))
        await until(lambda: _parked(installation), "the integration parks, and its warning waits with the rest")
        fresh = installation.workspace.add_token()
        rotated = await installation.cli("integrations", "rotate", "acme", "--token-stdin", given=fresh)
        assert rotated.code == 0, rotated
        await installation.settled(15)
        texts = [message["text"] for message in installation.messages("#platform")]
        assert len(texts) == 2, texts
        assert "acme works again" in texts[1]
        assert "The token of acme was revoked" in texts[1]


async def _since(installation: Installation) -> str:
    note = await installation.app.lanes.get_status("acme/#ops")
    return note.since_ms


async def _parked(installation: Installation) -> bool:
    code = await installation.app.integrations.get_parked_code("acme")
    return code == "token_revoked" and (await installation.balance()).created == 15
