"""Everything that can befall an installation, at random, for as long as was asked for."""

import os
from pathlib import Path

import pytest
from accounts import REPORT
from chaos_run import chaos


async def test_everything_at_once_at_random_loses_nothing(
    tmp_path: Path, seed: int, capsys: pytest.CaptureFixture[str]
):
    def say(line: str) -> None:
        with capsys.disabled():
            print(f"  {line}", flush=True)

    REPORT.append(await chaos(tmp_path, seed, float(os.environ.get("MINUTES") or 10) * 60, say=say))
