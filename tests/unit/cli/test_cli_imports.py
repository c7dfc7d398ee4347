"""What a command imports: a command that only reads the stores answers soon, because it imports little."""

import subprocess
import sys

import pytest

#: What takes long to import, and what pulls it in.
HEAVY = {
    "aiohttp", "celery", "fastapi", "jinja2", "kombu", "rich", "slack_sdk", "tenacity", "yaml",
    "worker.bootstrap.context", "worker.pipeline", "worker.rendering", "worker.sources", "worker.templating",
}  # fmt: skip


def imported_by(arguments: list[str]) -> set[str]:
    """Return the modules that a command has imported at its end, without a server of Redis."""
    program = (
        "import sys\n"
        "from worker.cli import main\n"
        "try:\n    main(sys.argv[1:])\n"
        "except SystemExit:\n    print('\\nMODULES', *sys.modules)\n"
    )
    environment = {"REDIS_URL": "redis://127.0.0.1:9/0", "PATH": ""}
    command = [sys.executable, "-c", program, *arguments]
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    return set(output.rpartition("MODULES ")[2].split())


@pytest.mark.slow
@pytest.mark.parametrize("command", ["status", "ledger", "parked list"])
def test_a_command_that_only_reads_the_stores_imports_no_pipeline(command: str) -> None:
    modules = imported_by([*command.split(), "--help"])
    assert "worker.store.redis_client" in modules
    assert modules & HEAVY == set()


def test_the_version_is_printed_without_what_commands_import() -> None:
    modules = imported_by(["--version"])
    assert "click" in modules
    assert modules & {*HEAVY, "asyncio", "importlib.metadata", "logging", "pydantic", "redis"} == set()
