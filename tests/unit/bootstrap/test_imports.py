"""A command imports only what it needs; a server imports everything before its first post."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow  # starts interpreters

#: Together they take as long to import as the rest of a command.
HEAVY = ("aiohttp", "celery.app", "jinja2", "slack_sdk.web", "yaml")


def heavy_after(statement: str) -> list[str]:
    """Return the heavy libraries that a fresh interpreter has imported after a statement."""
    code = f"{statement}\nimport sys\nprint(*(name for name in {HEAVY!r} if name in sys.modules))"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return process.stdout.split()


def test_commands_that_only_read_redis_do_not_import_heavy_libraries() -> None:
    commands = ("doctor", "deliveries", "dead_letters")
    modules = ", ".join(f"worker.cli.{command}" for command in commands)
    assert heavy_after(f"import {modules}, worker.bootstrap.context") == []


@pytest.mark.parametrize("server", ["worker.bootstrap.celery_app, worker.tasks", "worker.web.app"])
def test_a_server_imports_what_it_posts_with_at_start(server: str) -> None:
    assert {"aiohttp", "slack_sdk.web"} <= set(heavy_after(f"import {server}"))
