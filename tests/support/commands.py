"""Commands of an installation, and checks that every output must pass."""

import json
from typing import Any

from support.installation import CommandResult, Installation, until


async def run_command(installation: Installation, *arguments: str, given: str = "", **more: str) -> CommandResult:
    """Run a command; assert that it prints no token, no traceback, and at most one line on stderr."""
    result = await installation.cli(*arguments, given=given, **more)
    tokens = [token for workspace in installation.sandbox.workspaces.values() for token in workspace.tokens]
    for secret in (given.strip(), *tokens):
        assert not secret or secret not in result.out + result.err, "no token is printed"
    assert "Traceback" not in result.out + result.err
    lines = [line for line in result.err.splitlines() if not line.startswith("Warning: ")]
    assert len(lines) <= 1, result.err
    return result


async def add_integration(installation: Installation, token: str, name: str = "acme", **more: str) -> CommandResult:
    """Run `integrations add` with a token."""
    return await run_command(installation, "integrations", "add", name, "--token-stdin", given=token, **more)


async def get_failed_checks(installation: Installation, name: str = "acme", **more: str) -> dict[str, tuple[str, str]]:
    """Return the failed checks of `integrations test`: detail and fix by name."""
    result = await run_command(installation, "integrations", "test", name, "--json", **more)
    failed = {
        check["name"]: (check["detail"], check["hint"])
        for check in json.loads(result.out)["checks"]
        if not check["passed"]
    }
    assert result.code == (1 if failed else 0), result
    assert all(f"{check}" in result.err for check in failed), "the line names each failed check"
    return failed


async def get_failed_findings(installation: Installation, **more: str) -> dict[str, tuple[str, str]]:
    """Return the failed checks of `doctor`: detail and fix by name."""
    result = await run_command(installation, "doctor", "--json", **more)
    failed = {line["check"]: (line["detail"], line["fix"]) for line in json.loads(result.out) if not line["ok"]}
    assert result.code == (1 if failed else 0), result
    return failed


async def wait_until_parked(installation: Installation, reasons: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Wait until exactly these lanes are parked for these reasons; return the rows of `parked list` by lane."""
    rows: dict[str, dict[str, Any]] = {}

    async def are_parked() -> bool:
        # The command takes half a second, so the store is asked first.
        if {row.lane: row.reason for row in await installation.app.parked_lanes.list_all()} != reasons:
            return False
        rows.clear()
        rows.update({row["lane"]: row for row in await installation.asked("parked", "list")})
        return {lane: row["reason"] for lane, row in rows.items()} == reasons

    await until(are_parked, f"parked are {reasons}", told=lambda: rows)
    return rows
