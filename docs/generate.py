"""Write docs/commands.md, docs/settings.md and the files of docs/schemas/ from the program: `make docs`."""

import ast
import inspect
import runpy
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import click

from config.settings import Settings
from worker.cli import cli

HERE = Path(__file__).parent
NOTE = "<!-- Written by `make docs` from the program: edit the help texts in the code, not this page. -->"
COMMANDS = f"""# Commands

{NOTE}

Every command that reads takes `--json` and prints one JSON value. Exit codes: 0 done, 1 failed (the reason is one line
on stderr), 2 wrong use. Every command reads the [settings](settings.md) from the environment and from `.env`.
"""
SETTINGS = f"""# Settings

{NOTE}

Set them in the environment or in a file `.env` in the working directory. A secret may be in a file of its own:
`NAME_FILE=/path` instead of `NAME=secret`.

| name | default | meaning |
|---|---|---|
"""


def commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    """Yield every visible command with its full name, groups before their commands."""
    yield path, command
    if isinstance(command, click.Group):
        with click.Context(command) as context:
            for name in command.list_commands(context):
                child = command.get_command(context, name)
                if child and not child.hidden:
                    yield from commands(child, f"{path} {name}")


def command_page() -> str:
    """Return the reference of all commands: the `--help` of each."""
    sections = []
    for path, command in commands(cli, "ik-slack"):
        with click.Context(
            command, info_name=path, max_content_width=100, terminal_width=100, help_option_names=["-h", "--help"]
        ) as context:
            help_text = command.get_help(context)
        level = "##" if path.count(" ") < 2 else "###"
        sections.append(f"{level} {path}\n\n```text\n{help_text.strip()}\n```\n")
    return "\n".join([COMMANDS, *sections])


def default_of(value: object) -> str:
    """Return how the table shows a default."""
    if value is None:
        return "none"
    return f"`./{value}`" if isinstance(value, Path) else f"`{value}`"


def describe_settings() -> dict[str, str]:
    """Return the text below each setting. Read here and not by pydantic, which would read it at every start."""
    definition: Any = ast.parse(inspect.getsource(Settings)).body[0]
    return {
        ast.unparse(field.target): " ".join(text.value.value.split())
        for field, text in pairwise(definition.body)
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
    }


def setting_page() -> str:
    """Return the table of all settings."""
    descriptions = describe_settings()
    rows = (
        f"| `{name.upper()}` | {default_of(field.default)} | {descriptions[name]} |\n"
        for name, field in Settings.model_fields.items()
    )
    return SETTINGS + "".join(rows)


event_schemas = runpy.run_path(str(HERE / "event_schemas.py"), run_name="event_schemas")
PAGES: dict[str, Callable[[], str]] = {
    "commands.md": command_page, "settings.md": setting_page, **event_schemas["FILES"]
}  # fmt: skip

if __name__ == "__main__":
    for file, page in PAGES.items():
        (HERE / file).write_text(page())
