"""What becomes of a token is noticed: what it stops parks, says how, and resumes; nothing is lost."""

import pytest
from support.commands import add_integration, get_failed_findings, wait_until_parked
from support.events import marks, numbered_alert
from support.installation import Installation, until
from support.people import get_user

from worker.domain.hints import ELSE_CORRECT_DESTINATION
from worker.domain.integration import REQUIRED_SCOPES


async def integration_parked(installation: Installation, code: str) -> None:
    async def come() -> bool:
        return await installation.app.integrations.get_parked_code("acme") == code

    await until(come, f"the integration is parked for {code}")


async def _told(installation: Installation, count: int) -> bool:
    balance = await installation.balance()
    return balance.delivered + balance.merged >= count


@pytest.mark.slow
async def test_a_revoked_token_parks_the_integration_and_every_event_is_posted_when_it_works_again(
    fast: Installation,
):
    channels = [f"c{number}" for number in range(10)]
    for name in channels:
        fast.workspace.add_channel(name)
    await fast.connect(*(f"#{name}" for name in channels))
    fast.ingest()
    worker = fast.worker()
    numbers = iter(range(200))
    for _ in range(10):
        await fast.publish(*(numbered_alert(next(numbers), name) for name in channels))
    await until(lambda: _told(fast, 1), "something is told")
    fast.workspace.revoke(fast.workspace.token)
    for _ in range(10):
        await fast.publish(*(numbered_alert(next(numbers), name) for name in channels))
    await integration_parked(fast, "token_revoked")
    told = sum(len(fast.messages(name)) for name in channels)
    await until(lambda: _all_waiting(fast, 200), "everything else waits for a person")
    assert sum(len(fast.messages(name)) for name in channels) == told
    assert len(worker.lines("integration parked")) == 1
    fast.workspace.reinstate(fast.workspace.token)
    balance = await fast.settled(200, most_s=40)
    assert (balance.repeated, balance.dead) == (0, 0)
    assert sorted(mark for name in channels for mark in fast.marks(name)) == sorted(marks(*range(200)))
    assert len(worker.lines("integration resumed")) == 1


async def _all_waiting(installation: Installation, created: int) -> bool:
    balance = await installation.balance()
    told = balance.delivered + balance.merged
    return balance.created == created and balance.parked == created - told


@pytest.mark.slow
async def test_a_rotated_token_resumes_the_parked_lanes_without_a_restart(fast: Installation):
    fast.workspace.add_channel("ops")
    await fast.connect("#ops")
    fast.ingest(), fast.worker()
    fast.workspace.revoke(fast.workspace.token, "account_inactive")
    await fast.publish(numbered_alert(1), numbered_alert(2))
    row = (await wait_until_parked(fast, {"acme/#ops": "account_inactive"}))["acme/#ops"]
    assert await get_failed_findings(fast) == {"acme: connection": (row["detail"], row["hint"])}
    rotated = await fast.cli("integrations", "rotate", "acme", "--token-stdin", given=fast.workspace.add_token())
    assert rotated.code == 0, rotated
    await fast.settled(2)
    assert fast.marks("#ops") == marks(1, 2)


@pytest.mark.thorough
@pytest.mark.slow
async def test_a_missing_scope_parks_with_its_name_and_a_reinstall_resumes(fast: Installation):
    fast.workspace.add_channel("ops")
    await fast.connect("#ops")
    fast.ingest(), fast.worker()
    await fast.publish(numbered_alert(1))
    await fast.settled(1)
    held = fast.workspace.tokens[fast.workspace.token]
    granted = held.scopes
    held.scopes = tuple(scope for scope in granted if scope != "chat:write")
    await fast.publish(numbered_alert(2))
    await integration_parked(fast, "missing_scope")
    integration = await fast.app.integrations.find("acme")
    assert "chat:write" in integration.reason
    assert "add chat:write under Bot Token Scopes" in str(integration.hint)
    [(check, (wrong, fix))] = (await get_failed_findings(fast)).items()
    assert (check, wrong) == ("acme: scopes", "missing: chat:write")
    assert "Add chat:write under OAuth & Permissions" in fix
    held.scopes = granted
    await fast.settled(2)
    assert fast.marks("#ops") == marks(1, 2)


@pytest.mark.thorough
@pytest.mark.slow
async def test_a_missing_scope_of_look_ups_parks_only_the_lanes_that_need_it(fast: Installation):
    lacking = {
        "email": ("users:read.email", "ada@example.com", "missing_scope"),
        "public": ("channels:read", "#ops", "missing_scope"),
        "private": ("groups:read", "#secret", "channel_not_found"),
    }
    rules, app = [], {}
    for name, (scope, destination, _) in lacking.items():
        app[name] = workspace = fast.sandbox.add_workspace(name)
        workspace.add_channel("ops"), workspace.add_channel("secret", private=True)
        ada = workspace.add_user("ada@example.com")
        workspace.tokens[workspace.token].scopes = tuple(one for one in REQUIRED_SCOPES if one != scope)
        assert (await add_integration(fast, workspace.token, name)).code == 0
        rules += [{"integration": name, "destination": destination, "project": name}]
        rules += [{"integration": name, "destination": ada.id, "project": name}]
    await fast.connect(rules=rules)
    fast.ingest(), fast.worker()
    await fast.publish(*(numbered_alert(number, name) for number, name in enumerate(lacking)))
    rows = await wait_until_parked(fast, {f"{name}/{to}": reason for name, (_, to, reason) in lacking.items()})
    for name, workspace in app.items():
        told = get_user(workspace, "ada@example.com").id
        await until(lambda told=told: len(fast.marks(told)) == 1, f"{name}: direct messages need no look-up")
    red = await get_failed_findings(fast)
    for name, (scope, to, _) in lacking.items():
        row = rows[f"{name}/{to}"]
        assert scope in row["hint"]
        assert not row["whole_integration"]
        assert red[f"{name}: {to}"][0] == row["detail"]
        assert row["hint"].startswith(red[f"{name}: {to}"][1].replace(ELSE_CORRECT_DESTINATION, ""))
        assert red[f"{name}: scopes"][0] == f"missing: {scope}"
    assert len(red) == 2 * len(lacking), "and nothing else"
    for workspace in app.values():
        workspace.tokens[workspace.token].scopes = REQUIRED_SCOPES
    await fast.settled(2 * len(lacking))
    assert len(app["public"].get_channel("ops").posts) == len(app["private"].get_channel("secret").posts) == 1
    assert len(fast.marks(get_user(app["email"], "ada@example.com").id)) == 2
