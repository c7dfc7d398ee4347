"""What a person asks the command line when something does not arrive, and what every answer owes them."""

import json
from typing import Any

from installation import Installation, Told, until


async def told(one: Installation, *arguments: str, given: str = "", **more: str) -> Told:
    """What a command says: never a token, never a traceback, at most one line on stderr."""
    said = await one.cli(*arguments, given=given, **more)
    tokens = [token for workspace in one.sandbox.workspaces.values() for token in workspace.tokens]
    for secret in (given.strip(), *tokens):
        assert not secret or secret not in said.out + said.err, "a token is never printed"
    assert "Traceback" not in said.out + said.err
    assert said.err.count("\n") <= 1, said.err
    return said


async def added(one: Installation, token: str, name: str = "acme", **more: str) -> Told:
    """What `integrations add` says to a token."""
    return await told(one, "integrations", "add", name, "--token-stdin", given=token, **more)


async def failed_checks(one: Installation, name: str = "acme", **more: str) -> dict[str, tuple[str, str]]:
    """The failed checks of `integrations test`: what is wrong, and the step; both ways of asking agree."""
    said = await told(one, "integrations", "test", name, "--json", **more)
    wrong = {
        check["name"]: (check["detail"], check["mend"])
        for check in json.loads(said.out)["checks"]
        if not check["passed"]
    }
    assert said.code == (1 if wrong else 0), said
    assert all(f"{check}" in said.err for check in wrong), "the one line names what failed"
    return wrong


async def red_lines(one: Installation, **more: str) -> dict[str, tuple[str, str]]:
    """What `doctor` finds that needs a person: what is wrong, and the step."""
    said = await told(one, "doctor", "--json", **more)
    wrong = {line["check"]: (line["detail"], line["mend"]) for line in json.loads(said.out) if not line["ok"]}
    assert said.code == (1 if wrong else 0), said
    return wrong


async def parked(one: Installation, reasons: dict[str, str]) -> dict[str, dict[str, Any]]:
    """What `parked list --json` shows, by lane, once just these lanes wait for these reasons."""
    rows: dict[str, dict[str, Any]] = {}

    async def shown() -> bool:
        # Asking the command line costs half a second of the machine: first it must be worth it.
        if {row.lane: row.reason for row in await one.made.parked.all()} != reasons:
            return False
        rows.clear()
        rows.update({row["lane"]: row for row in await one.asked("parked", "list")})
        return {lane: row["reason"] for lane, row in rows.items()} == reasons

    await until(shown, f"parked are {reasons}", told=lambda: rows)
    return rows
