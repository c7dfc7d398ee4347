"""Faults of calls, on demand."""

import aiohttp
import pytest


async def raw(slack, method: str = "chat.postMessage", **args):
    """Return the raw status and text of a post."""
    headers = {"Authorization": f"Bearer {slack.workspace.token}"}
    args = {"channel": "ops", "text": "hello", **args}
    async with slack.session.post(f"{slack.url}{method}", json=args, headers=headers) as response:
        return response.status, await response.text()


@pytest.mark.parametrize(
    ("fault", "status", "text", "stored"),
    [
        ("http_500", 500, "Internal Server Error", 0),
        ("http_502_html", 502, "<html>", 0),
        ("http_503_text", 503, "Service Unavailable", 0),
        ("ratelimited", 429, '"ratelimited"', 0),
        ("rate_limited", 200, '"rate_limited"', 0),
        ("fatal_error", 200, '{"ok": false, "error": "fatal_error"}', 0),
        ("bad_json", 200, "upstream connect error", 1),
        ("truncated_json", 200, '{"ok": true', 1),
        ("empty_body", 200, "", 1),
        ("json_list", 200, "[]", 1),
    ],
)
async def test_a_fault_spoils_the_answer_of_one_call(slack, fault, status, text, stored):
    slack.sandbox.fault(fault)
    got = await raw(slack)
    assert got[0] == status
    assert got[1].startswith(text) or text in got[1]
    assert len(slack.sandbox.messages("ops")) == stored
    slack.clock.now_s += 1
    assert (await slack.post())["ok"]
    assert slack.sandbox.outcomes["chat.postMessage", fault] == 1


@pytest.mark.parametrize(
    ("fault", "stored"), [("reset_before", 0), ("close_before", 0), ("reset_after", 1), ("close_after", 1)]
)
async def test_a_connection_can_end_before_or_after_the_post_is_stored(slack, fault, stored):
    slack.sandbox.fault(fault)
    with pytest.raises(aiohttp.ClientConnectionError):
        await raw(slack)
    assert len(slack.sandbox.messages("ops")) == stored


@pytest.mark.parametrize("stored", [False, True])
async def test_a_hanging_call_never_answers(slack, stored):
    slack.sandbox.fault("hang", delay_s=0.05, stored=stored)
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await raw(slack)
    assert len(slack.sandbox.messages("ops")) == stored


async def test_a_hanging_call_does_not_keep_the_server_from_closing(slack):
    slack.sandbox.fault("hang", delay_s=3600)
    with pytest.raises(TimeoutError):
        await slack.session.post(f"{slack.url}chat.postMessage", timeout=aiohttp.ClientTimeout(total=0.1))


async def test_a_fault_applies_to_its_channel_and_method_alone(slack):
    slack.workspace.add_channel("dev")
    slack.sandbox.fault("http_500", channel="#ops", times=2)
    slack.sandbox.fault("invalid_auth", method="auth.test")
    assert (await slack.post("dev"))["ok"]
    assert (await slack("auth.test"))["error"] == "invalid_auth"
    assert (await raw(slack, channel=slack.workspace.find("ops").id))[0] == 500
    assert (await raw(slack, channel="#ops"))[0] == 500
    assert (await slack.post())["ok"]


async def test_a_fault_without_a_count_stays_until_cleared(slack):
    slack.sandbox.fault("internal_error", times=0, method="*")
    assert [(await slack.post())["error"] for _ in range(3)] == ["internal_error"] * 3
    slack.sandbox.faults.clear()
    assert (await slack.post())["ok"]


async def test_a_rate_limited_fault_has_the_given_retry_after(slack):
    slack.sandbox.fault("ratelimited", retry_after=30)
    await slack.post()
    assert slack.responses[-1].headers["Retry-After"] == "30"


async def test_an_outage_fails_every_call_until_it_ends(slack):
    slack.sandbox.outage = True
    assert (await raw(slack))[0] == 503
    assert (await raw(slack, "auth.test"))[0] == 503
    slack.sandbox.outage = "reset_before"
    with pytest.raises(aiohttp.ClientConnectionError):
        await raw(slack)
    slack.sandbox.outage = False
    assert (await slack.post())["ok"]


async def test_a_slow_answer_arrives(slack):
    slack.sandbox.latency_s = 0.01
    slack.sandbox.fault("slow", delay_s=0.01)
    assert (await slack.post())["ok"]
