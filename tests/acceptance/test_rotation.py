"""A token is revoked under load: everything waits, and is told once when a token works again."""

import pytest
from support.events import numbered_alert
from support.examples import cases
from support.installation import Installation, run_installation, until
from support.token_rotation import Fix, Timing, reinstate_token, rotate_token, run_revoked_under_load

from worker.domain.integration import Secret

SHORT = Timing(before_s=2, revoked_s=3, after_s=2)


@pytest.mark.slow
@pytest.mark.parametrize("fix", cases(rotate_token, reinstate_token, short=1))
async def test_a_token_revoked_under_load_delays_deliveries_and_loses_none(tmp_path, fix: Fix):
    async with run_installation(tmp_path, POST_RATE_PER_WORKSPACE="6000") as installation:
        print(await run_revoked_under_load(installation, SHORT, fix))


@pytest.mark.slow
async def test_a_post_with_the_old_token_during_a_rotation_parks_nothing(fast: Installation):
    fast.workspace.add_channel("ops")
    await fast.connect("#ops")
    fast.ingest()
    worker = fast.worker()
    fast.sandbox.latency_s = 3.0
    old, new = fast.workspace.token, fast.workspace.add_token()
    await fast.publish(numbered_alert(1))
    await until(lambda: fast.sandbox.calls["chat.postMessage"], "the post is on its way")
    fast.sandbox.latency_s = 0
    assert (await fast.cli("integrations", "rotate", "acme", "--token-stdin", given=new)).code == 0
    fast.workspace.revoke(old)
    await fast.settled(1)
    assert worker.lines("integration parked") == []


@pytest.mark.thorough
@pytest.mark.slow
async def test_only_a_working_token_of_the_same_workspace_is_accepted(fast: Installation):
    other = fast.sandbox.add_workspace("Globex")
    fast.workspace.add_channel("ops")
    other.add_channel("ops")
    await fast.connect("#ops")
    fast.ingest(), fast.worker()
    await fast.publish(numbered_alert(1))
    await fast.settled(1)
    fast.workspace.revoke(fast.workspace.token)
    await fast.publish(numbered_alert(2))
    await until(lambda: fast.app.integrations.get_parked_code("acme"), "the integration parks")

    for given, reason in (
        ("xoxb-1-unknown", "Slack does not accept the token"),
        (other.token, "it belongs to workspace Acme, and this token to Globex"),
    ):
        refused = await fast.cli("integrations", "rotate", "acme", "--token-stdin", given=given)
        assert (refused.code, refused.out) == (1, "")
        assert reason in refused.err
        assert refused.err.count("\n") == 1
        assert given not in refused.err
    kept = await fast.app.integrations.get_token("acme")
    assert kept == Secret(fast.workspace.token), "what was refused changed nothing"

    moved = await fast.cli("integrations", "rotate", "acme", "--token-stdin", "--force", given=other.token)
    assert moved.code == 0
    assert "moved from Acme to Globex" in moved.err
    assert "#ops" in moved.err
    await fast.settled(2)
    assert [len(one.get_channel("#ops").posts) for one in (fast.workspace, other)] == [1, 1]
