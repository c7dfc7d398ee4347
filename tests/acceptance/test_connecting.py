"""Test Connection tells every cause of the guide apart, with its step: in `add`, `test` and `doctor`."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from support.commands import add_integration, get_failed_checks, get_failed_findings, run_command
from support.installation import Installation

from worker.domain.integration import REQUIRED_SCOPES

FAULTS = {
    "token_revoked": ("was revoked", "click Reinstall to Workspace"),
    "account_inactive": ("was removed from the workspace", "click Install to Workspace"),
    "invalid_auth": ("its app is not installed", "click Install to Workspace"),
}


@pytest.mark.slow
async def test_a_text_that_is_not_a_bot_token_is_explained_without_a_call_to_slack(fast: Installation):
    cases = {
        "xoxp-1-2-3-abc": ("this is a user token (xoxp-…)", "Copy the Bot User OAuth Token"),
        "xapp-1-A0-2-abc": ("this is an app-level token (xapp-…)", "Copy the Bot User OAuth Token"),
        "xoxe.xoxb-1-Mi0y": ("token rotation, which expires after 12 hours", "`ik-slack manifest`"),
        "xoxe-1-Mi0y": ("this is a refresh token (xoxe-…)", "`ik-slack manifest`"),
        "hunter2": ("not a Slack bot token, which starts with xoxb-", "Copy the Bot User OAuth Token"),
    }
    answers = await asyncio.gather(*(add_integration(fast, token) for token in cases))
    for said, (reason, step) in zip(answers, cases.values(), strict=True):
        assert (said.code, said.out) == (1, "")
        assert reason in said.err
        assert step in said.err
    assert not fast.sandbox.calls
    assert await fast.asked("integrations", "list") == []


@pytest.mark.slow
async def test_a_token_that_slack_rejects_is_not_saved_and_has_a_reason(fast: Installation):
    tokens = [fast.workspace.add_token() for _ in FAULTS]
    for token, fault in zip(tokens, FAULTS, strict=True):
        fast.workspace.revoke(token, fault)
    nobodys, *answers = await asyncio.gather(*(add_integration(fast, token) for token in ("xoxb-1-nobody", *tokens)))
    for said, (reason, step) in zip(answers, FAULTS.values(), strict=True):
        assert (said.code, said.out) == (1, "")
        assert reason in said.err
        assert step in said.err
        assert "then run `ik-slack integrations add acme`" in said.err
    assert nobodys.err == answers[-1].err, "a token nobody gave out is an app that was never installed"
    assert await fast.asked("integrations", "list") == []


@pytest.mark.slow
async def test_a_saved_token_that_slack_rejects_has_a_reason_until_it_works_again(fast: Installation):
    tokens = {fault: fast.workspace.add_token() for fault in FAULTS}
    assert [(await add_integration(fast, token, fault)).code for fault, token in tokens.items()] == [0, 0, 0]
    for fault, token in tokens.items():
        fast.workspace.revoke(token, fault)
    red, *tested = await asyncio.gather(
        get_failed_findings(fast), *(get_failed_checks(fast, fault) for fault in FAULTS)
    )
    for (fault, (reason, step)), wrong in zip(FAULTS.items(), tested, strict=True):
        assert list(wrong) == ["connection"]
        detail, fix = wrong["connection"]
        assert reason in detail
        assert step in fix
        assert f"`ik-slack integrations rotate {fault}`" in fix
        assert red[f"{fault}: connection"] == (detail, fix)
    shown = await run_command(fast, "integrations", "test", "token_revoked")
    detail, fix = tested[0]["connection"]
    assert shown.out.splitlines()[1:] == [f"✗ connection  {detail}", f"              {fix}"]
    assert shown.err == "Error: token_revoked: 1 of 2 checks failed (connection).\n"
    fast.workspace.reinstate(tokens["token_revoked"])
    assert await get_failed_checks(fast, "token_revoked") == {}


@pytest.mark.thorough
@pytest.mark.slow
async def test_each_missing_scope_is_named_with_the_reinstall_as_its_fix(fast: Installation):
    names = {scope: f"no {scope}" for scope in REQUIRED_SCOPES}
    for scope, name in names.items():
        token = fast.workspace.add_token([one for one in REQUIRED_SCOPES if one != scope])
        said = await add_integration(fast, token, name)
        assert said.code == 0, "it is saved: what needs the scope waits for it"
        assert f"missing scopes: {scope}. Add {scope} under OAuth & Permissions" in said.err
    red, *tested = await asyncio.gather(
        get_failed_findings(fast), *(get_failed_checks(fast, one) for one in names.values())
    )
    for (scope, name), wrong in zip(names.items(), tested, strict=True):
        detail, fix = wrong["scopes"]
        assert (list(wrong), detail) == (["scopes"], f"missing: {scope}")
        assert f"Add {scope} under OAuth & Permissions → Bot Token Scopes" in fix
        assert "click Reinstall to Workspace. If that gives a new token, run `ik-slack integrations" in fix
        assert red[f"{name}: scopes"] == (detail, fix)
    assert {check for check in red if check.startswith("no ")} == {f"{one}: scopes" for one in names.values()}
    listed = await fast.asked("integrations", "list")
    assert {one["name"]: one["missing_scopes"] for one in listed} == {name: [scope] for scope, name in names.items()}
    for held in fast.workspace.tokens.values():
        held.scopes = REQUIRED_SCOPES  # the app was reinstalled, the token stays the same
    assert await get_failed_checks(fast, "no chat:write") == {}
    shown = json.loads((await run_command(fast, "integrations", "show", "no chat:write", "--json")).out)
    assert shown["missing_scopes"] == []


@asynccontextmanager
async def silent_server() -> AsyncIterator[str]:
    """A server that takes calls and never answers: its base URL."""
    over = asyncio.Event()

    async def take(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/api/"
        over.set()


NO_ANSWER = {
    "http_500": ("Slack failed (HTTP 500)", "try again in a few minutes"),
    "http_502_html": ("Slack failed (HTTP 502)", "try again in a few minutes"),
    "internal_error": ("Slack had an internal error", "try again in a few minutes"),
    "bad_json": ("its answer cannot be read", "check SLACK_API_URL and any proxy in between"),
    "json_list": ("its answer cannot be read", "check SLACK_API_URL and any proxy in between"),
    "close_before": ("the connection broke before the answer", "Check the network between this machine"),
}


@pytest.mark.thorough
@pytest.mark.slow
async def test_without_an_answer_of_slack_the_error_says_so_and_no_token_changes(fast: Installation):
    assert (await add_integration(fast, fast.workspace.token)).code == 0
    other = fast.workspace.add_token()
    async with silent_server() as silent:
        hanging = asyncio.gather(
            add_integration(fast, other, "other", SLACK_API_URL=silent), get_failed_checks(fast, SLACK_API_URL=silent)
        )
        red = await get_failed_findings(fast, SLACK_API_URL=silent)
        assert red["acme: connection"][0] == "Slack did not answer within 4 s"
        for fault, (reason, step) in NO_ANSWER.items():
            fast.sandbox.faults.clear()
            fast.sandbox.fault(fault, method="auth.test", times=0)
            await _says(fast, other, reason, step)
        fast.sandbox.faults.clear()
        await fast.slack_down()
        await _says(fast, other, "Slack could not be reached at 127.0.0.1: Connection refused", "the network")
        said, wrong = await hanging
    assert "Slack was asked and did not answer in time" in said.err
    assert (said.code, list(wrong)) == (1, ["connection"])
    await fast.slack_up()
    assert await get_failed_checks(fast) == {}
    assert [one["name"] for one in await fast.asked("integrations", "list")] == ["acme"]


async def _says(installation: Installation, token: str, reason: str, step: str) -> None:
    """Adding a token and testing a saved one tell the same of Slack's silence."""
    said, wrong = await asyncio.gather(add_integration(installation, token, "other"), get_failed_checks(installation))
    assert said.code == 1
    assert f"Not saved: {wrong['connection'][0]}." in said.err
    assert reason in wrong["connection"][0]
    assert step in wrong["connection"][1]
    assert step in said.err
