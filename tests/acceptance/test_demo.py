"""`ik-slack demo --once`, as a pipeline runs it: no terminal, no home, nothing configured."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.installation import program

WRONG = {"REDIS_URL": "redis://127.0.0.1:1/0", "SLACK_API_URL": "http://127.0.0.1:1/", "LOG_LEVEL": "LOUD"}
"""Settings of this machine that the demo must not touch."""


def demo(folder: Path, *words: str, **environment: str) -> "subprocess.Popen[str]":
    """The demo with a bare environment, whose files lie in this folder."""
    bare = {"PATH": os.defpath, "CI": "true", "TMPDIR": str(folder), **environment}
    return subprocess.Popen(
        [program("ik-slack"), "demo", *words],
        cwd=folder, env=bare, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def balance(text: str) -> dict[str, int]:
    """The ledger as it was printed."""
    lines = re.findall(r"^([a-z]+(?: [a-z]+)?) +([\d,]+)\b", text, re.MULTILINE)
    return {name: int(number.replace(",", "")) for name, number in lines}


def left_running(folder: Path) -> list[str]:
    """Programs that still work in this folder."""
    found = []
    for one in Path("/proc").glob("[0-9]*"):
        try:
            at, words = (one / "cwd").resolve(), (one / "cmdline").read_bytes()
        except OSError:
            continue
        if at.is_relative_to(folder):
            found.append(words.replace(b"\0", b" ").decode())
    return found


@pytest.mark.slow
def test_every_event_of_the_demo_is_accounted_for(tmp_path: Path) -> None:
    running = demo(tmp_path, "--once", **WRONG)
    out, err = running.communicate(timeout=170)
    assert (running.returncode, err) == (0, "")
    found = balance(out)
    assert (found["accepted"], found["rejected"], found["suppressed"]) == (59, 1, 1)
    assert found["created"] == found["delivered"] + found["merged"] > 59
    assert not any(found[name] for name in ("pending", "parked", "dead", "discarded", "unaccounted"))
    assert list(tmp_path.iterdir()) == []
    assert left_running(tmp_path) == []


@pytest.mark.thorough
@pytest.mark.slow
def test_a_storm_is_posted_in_few_messages(tmp_path: Path) -> None:
    running = demo(tmp_path, "--once", "--events", "3000")
    out, err = running.communicate(timeout=200)
    assert (running.returncode, err) == (0, "")
    found = balance(out)
    assert (found["accepted"], found["rejected"], found["unaccounted"]) == (2999, 1, 0)
    assert found["delivered"] < 100


@pytest.mark.thorough
@pytest.mark.slow
def test_the_life_of_a_resource_is_shown_with_and_without_the_bridge(tmp_path: Path) -> None:
    running = demo(tmp_path, "--infrakitchen", "--once", **WRONG)
    out, err = running.communicate(timeout=170)
    assert (running.returncode, err) == (0, "")
    alone, bridged = out.split("With the bridge: 3 messages")
    assert alone.count("Workflow execute succeeded") == 2
    assert "Workflow Create Network, Postgres database failed at orders-db" in bridged
    assert "Resource orders-cache is destroyed" in bridged
    assert "succeeded" not in bridged
    assert "stays-in-rabbitmq" not in out
    found = balance(out)
    assert found["delivered"] + found["merged"] == found["created"] == found["accepted"] > 0
    assert (found["unaccounted"], list(tmp_path.iterdir()), left_running(tmp_path)) == (0, [], [])


@pytest.mark.slow
def test_a_stopped_demo_has_an_error_and_leaves_no_process_running(tmp_path: Path) -> None:
    running = demo(tmp_path, "--once")
    until(lambda: len(left_running(tmp_path)) >= 4)
    running.send_signal(signal.SIGTERM)
    out, err = running.communicate(timeout=60)
    assert (running.returncode, out, err) == (1, "", "Error: Stopped before every event was delivered.\n")
    assert left_running(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.thorough
@pytest.mark.slow
def test_the_demo_runs_until_ctrl_c_and_other_terminals_can_read_its_data(tmp_path: Path) -> None:
    running = demo(tmp_path, "--events", "30", **WRONG)
    files = tmp_path / "var" / "demo"
    try:
        until((files / "env").exists)
        assert (files / "env").stat().st_mode & 0o777 == (files / "key").stat().st_mode & 0o777 == 0o600
        ledger = f". {files}/env; until ik-slack ledger --json | grep '\"rejected\": 1'; do sleep 0.5; done"
        subprocess.run(["bash", "-c", ledger], check=True, timeout=60, env=WRONG | {"PATH": os.defpath})
        second = demo(tmp_path)
        assert "runs here already" in second.communicate(timeout=60)[1]
        assert second.returncode == 1
    finally:
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (0, "")
    assert "http://127.0.0.1:" in out
    assert f". {Path('var/demo/env')}" in out
    assert "nothing is left running" in out
    assert left_running(tmp_path) == []
    assert "xoxb-" not in out + "".join(path.read_text() for path in (files / "log").iterdir())


def until(there: Callable[[], bool], most_s: float = 60.0) -> None:
    """Wait for it."""
    until_s = time.monotonic() + most_s
    while not there():
        assert time.monotonic() < until_s
        time.sleep(0.1)
