"""The controls over HTTP, and the server itself."""

import pytest

from worker.domain.errors import Problem
from worker.sandbox.slack import SlackSandbox


async def act(slack, action: str, **given):
    """One action's status and answer."""
    async with slack.session.post(f"{slack.sandbox.url}sandbox/{action}", json=given) as response:
        return response.status, await response.json()


async def get(slack, path: str):
    """What a control page tells."""
    async with slack.session.get(f"{slack.sandbox.url}sandbox/{path}") as response:
        return await response.json()


async def test_another_process_can_do_everything(slack):
    workspace = slack.workspace
    _, made = await act(slack, "add_channel", name="dev", member=False)
    assert made["id"] == workspace.find("dev").id
    for action, given in {
        "invite": {"channel": "dev"},
        "archive": {"channel": "dev"},
        "unarchive": {"channel": "dev"},
        "rename": {"channel": "dev", "name": "build"},
        "make_private": {"channel": "build"},
        "kick": {"channel": "build"},
        "delete": {"channel": "build"},
        "revoke": {},
        "reinstate": {},
        "fault": {"name": "http_500", "times": 3},
        "latency": {"latency_s": 0.5},
        "outage": {"on": True},
    }.items():
        assert await act(slack, action, **given) == (200, {"ok": True})
    assert workspace.find("build") is None
    assert (slack.sandbox.outage, slack.sandbox.latency_s, len(slack.sandbox.faults)) == (True, 0.5, 1)
    _, added = await act(slack, "add_token", scopes=["chat:write"])
    assert workspace.tokens[added["token"]].scopes == ("chat:write",)
    _, person = await act(slack, "add_user", email="ada@example.com", workspace="Acme")
    assert person["id"] in workspace.users
    for action, deleted in (("deactivate", True), ("reactivate", False)):
        assert await act(slack, action, user="ada@example.com") == (200, {"ok": True})
        assert workspace.user(person["id"]).deleted is deleted
    assert (await act(slack, "add_workspace", name="Beta"))[1]["team_id"] in slack.sandbox.workspaces


async def test_reset_forgets_messages_and_faults_but_not_channels(slack):
    await slack.post()
    await act(slack, "outage")
    await act(slack, "reset")
    assert slack.sandbox.messages("ops") == []
    assert slack.sandbox.calls.total() == 0
    assert (await slack.post())["ok"]


async def test_what_it_holds_is_told(slack):
    await slack.post(text="hello")
    state = await get(slack, "state")
    assert state["workspaces"][0]["token"] == slack.workspace.token
    assert state["workspaces"][0]["channels"][0]["messages"] == 1
    assert (await get(slack, "messages?channel=ops"))[0]["text"] == "hello"
    calls = await get(slack, "calls")
    assert calls["outcomes"] == {"chat.postMessage": {"ok": 1}}
    assert calls["log"][0]["channel"] == "#ops"


async def test_a_mistake_is_named(slack):
    assert (await act(slack, "explode"))[0] == 404
    assert (await act(slack, "invite", channel="nowhere"))[0] == 400
    assert (await act(slack, "invite", channel="ops", workspace="Nowhere"))[0] == 400
    assert (await act(slack, "deactivate", user="nobody@example.com"))[0] == 400
    assert (await act(slack, "latency"))[0] == 400
    async with slack.session.post(f"{slack.sandbox.url}sandbox/reset", data={"a": "b"}) as response:
        assert response.status == 415
    assert (await get(slack, "messages?channel=nowhere"))["ok"] is False


async def test_a_taken_port_is_said_to_be(slack):
    port = int(slack.sandbox.url.rsplit(":", 1)[1].rstrip("/"))
    with pytest.raises(Problem, match=rf"cannot serve on 127.0.0.1:{port}"):
        async with SlackSandbox().serving(port=port):
            pass
