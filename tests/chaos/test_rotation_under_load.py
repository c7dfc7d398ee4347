"""A token is revoked for ten seconds, at 75 events a second to thirty channels."""

import pytest
from support.installation import run_installation
from support.ledger_checks import REPORT
from support.token_rotation import Fix, Timing, reinstate_token, rotate_token, run_revoked_under_load

LONG = Timing(before_s=5, revoked_s=10, after_s=10)


@pytest.mark.parametrize("fix", [rotate_token, reinstate_token], ids=["rotated", "the same string again"])
async def test_a_token_revoked_for_ten_seconds_delays_deliveries_and_loses_none(tmp_path, fix: Fix):
    async with run_installation(tmp_path, POST_RATE_PER_WORKSPACE="6000") as installation:
        REPORT.append(f"token revoked, {fix.__name__}d: {await run_revoked_under_load(installation, LONG, fix)}")
