"""The control API of the sandbox, and its server."""

import pytest

from worker.sandbox.slack.server import SlackSandbox


async def act(slack, action: str, **given):
    """Execute an action and return the status and the answer."""
    async with slack.session.post(f"{slack.sandbox.url}sandbox/{action}", json=given) as response:
        return response.status, await response.json()


async def get_state(slack):
    """Return the state that the sandbox serves."""
    async with slack.session.get(f"{slack.sandbox.url}sandbox/state") as response:
        return await response.json()


async def test_every_action_works_over_http(slack):
    workspace = slack.workspace
    channel = workspace.add_channel("dev", member=False)
    for action, given, changed in (
        ("invite", {"channel": "dev"}, lambda: channel.member),
        ("kick", {"channel": "dev"}, lambda: not channel.member),
        ("archive", {"channel": "dev"}, lambda: channel.archived),
        ("unarchive", {"channel": "dev"}, lambda: not channel.archived),
        ("rename", {"channel": "dev", "name": "build"}, lambda: channel.name == "build"),
        ("revoke", {}, lambda: workspace.tokens[workspace.token].fault == "token_revoked"),
        ("reinstate", {}, lambda: workspace.tokens[workspace.token].fault == ""),
        ("fault", {"name": "http_500", "times": 3}, lambda: slack.sandbox.faults[0].times == 3),
        ("outage", {"on": True}, lambda: slack.sandbox.outage is True),
        ("outage", {"on": False}, lambda: slack.sandbox.outage is False),
    ):
        assert await act(slack, action, **given) == (200, {"ok": True})
        assert changed(), action


async def test_the_state_is_served_as_json(slack):
    await slack.post(text="hello")
    state = await get_state(slack)
    assert state["workspaces"][0]["token"] == slack.workspace.token
    assert state["workspaces"][0]["channels"][0]["messages"] == 1
    assert state["outcomes"] == {"chat.postMessage": {"ok": 1}}


async def test_an_invalid_action_gets_an_error_status(slack):
    assert (await act(slack, "explode"))[0] == 404
    assert (await act(slack, "invite", channel="nowhere"))[0] == 400
    assert (await act(slack, "invite", person="Ada"))[0] == 400
    async with slack.session.post(f"{slack.sandbox.url}sandbox/invite", data={"a": "b"}) as response:
        assert response.status == 415


async def test_a_port_in_use_is_an_error(slack):
    port = int(slack.sandbox.url.rsplit(":", 1)[1].rstrip("/"))
    with pytest.raises(OSError, match="address already in use"):
        async with SlackSandbox().serving(port=port):
            pass
