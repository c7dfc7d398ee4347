"""People who look after the worker are told in Slack what parked, once, and what to do."""

import json

import pytest
from installation import Installation, alert, installed, until


@pytest.mark.slow
async def test_what_parks_is_told_once_in_the_operations_channel(tmp_path):
    settings = {"POST_RATE_PER_CHANNEL": "50", "OPERATIONS_CHANNEL": "#platform"}
    async with installed(tmp_path, **settings) as one:
        one.sandbox.set_rate(0)
        for name in ("platform", "shop"):
            one.workspace.add_channel(name)
        one.workspace.add_channel("ops", member=False)
        await one.connect("#ops", "#shop")
        one.ingest(), one.worker(), one.worker()
        await one.publish(alert(1), alert(2), alert(3, "shop"))
        await until(lambda: one.messages("#platform"), "the parking is told")
        await until(lambda: one.messages("#shop"), "the other channel goes on")
        (parked,) = await one.asked("parked", "list")
        (told,) = one.messages("#platform")
        assert parked["hint"] in json.dumps(told, ensure_ascii=False)
        event_id = f"parked:acme/#ops:{await _since(one)}"
        story = await one.asked("explain", event_id)
        assert story["state"] == "delivered"

        one.workspace.invite("#ops")
        await one.settled(4)
        one.workspace.revoke(one.workspace.token)
        await one.publish(*(alert(number, "shop") for number in range(10, 20)))
        await until(lambda: _parked(one), "the integration parks, and its warning waits with the rest")
        fresh = one.workspace.add_token()
        rotated = await one.cli("integrations", "rotate", "acme", "--token-stdin", given=fresh)
        assert rotated.code == 0, rotated
        await one.settled(15)
        texts = [message["text"] for message in one.messages("#platform")]
        assert len(texts) == 2, texts
        assert "acme works again" in texts[1]
        assert "The token of acme was revoked" in texts[1]


async def _since(one: Installation) -> str:
    note = await one.made.upkeep.lane_note("acme/#ops")
    return note["since"]


async def _parked(one: Installation) -> bool:
    code = await one.made.integrations.parked_code("acme")
    return code == "token_revoked" and (await one.balance()).created == 15
