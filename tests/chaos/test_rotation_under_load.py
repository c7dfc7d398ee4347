"""A token is revoked for ten seconds, at a hundred events a second to thirty channels."""

import pytest
from accounts import REPORT
from installation import installed
from rotation import Mend, Run, reinstate, revoked_under_load, rotate

LONG = Run(before_s=5, revoked_s=10, after_s=10)


@pytest.mark.parametrize("mend", [rotate, reinstate], ids=["rotated", "the same string again"])
async def test_a_token_revoked_for_ten_seconds_costs_nothing_but_time(tmp_path, mend: Mend):
    async with installed(tmp_path, POST_RATE_PER_WORKSPACE="6000") as one:
        REPORT.append(f"token revoked, {mend.__name__}d: {await revoked_under_load(one, LONG, mend)}")
