"""Write docs/commands.md, docs/settings.md and the files of docs/schemas/ from the program: `make docs`."""

import runpy
from collections.abc import Callable, Iterator
from pathlib import Path

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


def setting_page() -> str:
    """Return the table of all settings."""
    rows = (
        f"| `{name.upper()}` | {default_of(field.default)} | {' '.join((field.description or '').split())} |\n"
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
