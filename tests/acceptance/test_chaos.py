"""A short form of what `make chaos` does for ten: nothing is lost, whatever breaks."""

import os
from pathlib import Path

import pytest
from support.chaos import run_chaos

BLOWS_S = 12.0


@pytest.mark.slow
async def test_no_delivery_is_lost_whatever_is_killed(tmp_path: Path):
    seed = int(os.environ.get("SEED") or int.from_bytes(os.urandom(3)))
    print(await run_chaos(tmp_path, seed, BLOWS_S, quick=True))
