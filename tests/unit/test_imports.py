"""What a process imports: a command only what it needs, a server everything before its first post."""

import subprocess
import sys

import pytest

HEAVY = ("aiohttp", "celery.app", "jinja2", "slack_sdk.web", "yaml")
"""Together they take as long as all the rest of a command's start."""


def heavy_after(statement: str) -> list[str]:
    """Which of them a fresh interpreter has."""
    code = f"{statement}\nimport sys\nprint(*(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.parametrize("command", ["parked", "ledger", "deliveries", "dead_letters", "explain"])
def test_a_command_that_reads_redis_alone_starts_without_the_rest(command: str) -> None:
    assert heavy_after(f"import worker.cli.{command}, worker.bootstrap, worker.bootstrap.calls") == []


@pytest.mark.parametrize("server", ["worker.bootstrap.door, worker.tasks", "worker.web.app"])
def test_a_server_has_from_the_start_what_it_posts_with(server: str) -> None:
    had = heavy_after(f"import {server}")
    assert {"aiohttp", "jinja2", "slack_sdk.web"} <= set(had)
