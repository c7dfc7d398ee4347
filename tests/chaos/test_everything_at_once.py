"""Everything that can befall an installation, at random, for as long as was asked for."""

import os
from pathlib import Path

import pytest
from support.chaos import run_chaos
from support.ledger_checks import REPORT


async def test_all_faults_at_random_lose_no_delivery(tmp_path: Path, seed: int, capsys: pytest.CaptureFixture[str]):
    def say(line: str) -> None:
        with capsys.disabled():
            print(f"  {line}", flush=True)

    REPORT.append(await run_chaos(tmp_path, seed, float(os.environ.get("MINUTES") or 10) * 60, report=say))
