"""`ik-slack audit`: every change of a command, with its user and outcome, and no secret."""

import click
import pytest
from support.cli import Shell

from worker.cli import COMMANDS, cli
from worker.cli.context import CHANGES


def test_a_change_by_a_command_is_in_the_audit_trail(shell: Shell) -> None:
    assert shell("audit").out == "No change yet.\n"
    shell.connect()
    shell("subscriptions", "add", "--to", "#ops")
    shell("subscriptions", "remove", "sub-nowhere")
    shell("subscriptions", "list")
    entries = shell("audit", "--json").json
    assert [(entry["what"], entry["outcome"]) for entry in entries[:2]] == [
        ("ik-slack subscriptions remove", "refused"), ("ik-slack subscriptions add", "done"),
    ]  # fmt: skip
    assert "sub-nowhere" in entries[0]["which"]
    assert "@" in entries[0]["who"]
    assert "subscriptions remove" in shell("audit", "--limit", "1").out


@pytest.mark.parametrize("way", ["--token", "--token-stdin"])
def test_the_audit_trail_contains_no_token(shell: Shell, way: str) -> None:
    token = shell.acme.token
    arguments = [way, token] if way == "--token" else [way]
    shell("integrations", "add", "acme", *arguments, stdin=token)
    listed = shell("audit", "--json")
    assert [entry["what"] for entry in listed.json] == ["ik-slack integrations add"]
    assert "acme" in listed.json[0]["which"]
    assert token not in listed.out
    assert token[5:] not in listed.out


def test_every_audited_command_exists() -> None:
    context = click.Context(cli)
    groups = {name: cli.get_command(context, name) for name in COMMANDS}
    paths = {
        f"{name} {verb}"
        for name, group in groups.items()
        if isinstance(group, click.Group)
        for verb in group.list_commands(context)
    }
    assert paths >= CHANGES
    readers = {"list", "show", "test", "export", "refresh", "generate", "lint", "template", "preview"}
    assert {path for path in paths - CHANGES if path.split()[1] not in readers} == set()
