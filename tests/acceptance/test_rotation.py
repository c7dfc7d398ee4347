"""A token is revoked under load: everything waits, and is told once when a token works again."""

import pytest
from installation import Installation, alert, installed, until
from rotation import Mend, Run, reinstate, revoked_under_load, rotate

from worker.domain.integration import Secret

SHORT = Run(before_s=2, revoked_s=3, after_s=2)


@pytest.mark.slow
@pytest.mark.parametrize("mend", [rotate, reinstate], ids=["rotated", "the same string again"])
async def test_a_token_revoked_under_load_costs_nothing_but_time(tmp_path, mend: Mend):
    async with installed(tmp_path, POST_RATE_PER_WORKSPACE="6000") as one:
        print(await revoked_under_load(one, SHORT, mend))


@pytest.mark.slow
async def test_a_post_in_flight_with_the_old_token_parks_nothing(fast: Installation):
    fast.workspace.add_channel("ops")
    await fast.connect("#ops")
    fast.ingest()
    worker = fast.worker()
    fast.sandbox.latency_s = 3.0
    old, new = fast.workspace.token, fast.workspace.add_token()
    await fast.publish(alert(1))
    await until(lambda: fast.sandbox.calls["chat.postMessage"], "the post is on its way")
    fast.sandbox.latency_s = 0
    assert (await fast.cli("integrations", "rotate", "acme", "--token-stdin", given=new)).code == 0
    fast.workspace.revoke(old)
    await fast.settled(1)
    assert worker.lines("integration parked") == []


@pytest.mark.slow
async def test_only_a_token_that_works_in_the_same_workspace_is_taken(fast: Installation):
    other = fast.sandbox.add_workspace("Globex")
    fast.workspace.add_channel("ops")
    other.add_channel("ops")
    await fast.connect("#ops")
    fast.ingest(), fast.worker()
    await fast.publish(alert(1))
    await fast.settled(1)
    fast.workspace.revoke(fast.workspace.token)
    await fast.publish(alert(2))
    await until(lambda: fast.made.integrations.parked_code("acme"), "the integration parks")

    for given, reason in (
        ("xoxb-1-unknown", "Slack does not accept the token"),
        (other.token, "it belongs to workspace Acme, and this token to Globex"),
    ):
        refused = await fast.cli("integrations", "rotate", "acme", "--token-stdin", given=given)
        assert (refused.code, refused.out) == (1, "")
        assert reason in refused.err
        assert refused.err.count("\n") == 1
        assert given not in refused.err
    kept = await fast.made.integrations.token("acme")
    assert kept == Secret(fast.workspace.token), "what was refused changed nothing"

    moved = await fast.cli("integrations", "rotate", "acme", "--token-stdin", "--force", given=other.token)
    assert moved.code == 0
    assert "moved from Acme to Globex" in moved.err
    assert "#ops" in moved.err
    await fast.settled(2)
    assert [len(one.channel("#ops").posts) for one in (fast.workspace, other)] == [1, 1]
