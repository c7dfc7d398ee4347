"""Half a minute of what `make chaos` does for ten: nothing is lost, whatever breaks."""

import os
from pathlib import Path

import pytest
from chaos_run import chaos

BLOWS_S = 25.0


@pytest.mark.slow
async def test_whatever_breaks_nothing_is_lost(tmp_path: Path):
    seed = int(os.environ.get("SEED") or int.from_bytes(os.urandom(3)))
    print(await chaos(tmp_path, seed, BLOWS_S, quick=True))
