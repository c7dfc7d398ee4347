"""`ik-slack up` as process 1 of a container leaves no dead process behind and passes signals on."""

import shutil
import subprocess
import sys

import pytest

PROGRAM = """
import os, signal, subprocess, sys, time
from worker.local_machine import run_under_init

run_under_init()
assert os.getpid() != 1
started = subprocess.run(["sh", "-c", "sleep 0.01 >/dev/null 2>&1 & echo $!"], capture_output=True, check=True)
orphan, ends_at = int(started.stdout), time.monotonic() + 20
while True:
    try:
        os.kill(orphan, 0)  # succeeds for a dead process that is not waited for
    except ProcessLookupError:
        break
    assert time.monotonic() < ends_at, "the orphan is still a zombie"
    time.sleep(0.01)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
os.kill(1, signal.SIGTERM)
signal.pause()
"""
CONTAINER = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child")


def can_unshare() -> bool:
    tried = shutil.which("unshare") and subprocess.run([*CONTAINER, "true"], capture_output=True, check=False)
    return bool(tried) and tried.returncode == 0


@pytest.mark.skipif(not can_unshare(), reason="this machine allows no process namespaces")
def test_process_1_waits_for_orphans_and_passes_signals_and_the_exit_code_on() -> None:
    ended = subprocess.run([*CONTAINER, sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (7, "")


def test_another_process_goes_on_itself() -> None:
    program = "import os; before = os.getpid(); from worker.local_machine import run_under_init; run_under_init()"
    check = "import sys; sys.exit(os.getpid() != before)"
    assert subprocess.run([sys.executable, "-c", f"{program}; {check}"], check=False).returncode == 0
