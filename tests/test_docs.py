"""The README says what the code does: settings, commands and paths cannot drift apart.

What it expects of README.md: under a heading `Settings` (any level) a table whose rows are
``| `NAME` | default | meaning |``, the default in back-ticks or the word none; every command of `ik-slack` as
`ik-slack COMMAND SUBCOMMAND` somewhere; and no path in back-ticks or a link that is not there.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from told_metrics import metrics_told

from config.settings import Settings
from worker.cli import cli
from worker.pipeline import ingest, sweep, telling
from worker.pipeline.filters import OURS
from worker.pipeline.variables import NAMES
from worker.slack import gateway
from worker.store import connection, lanes, server

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
RELIABILITY = (ROOT / "docs" / "reliability.md").read_text()
SECURITY = (ROOT / "docs" / "security.md").read_text()
FOLDERS = ("worker", "config", "tests", "benchmarks", "docs", ".ci")
FILES = r"(?:Makefile|Procfile|LICENSE|[\w.-]+\.(?:md|toml|txt|ya?ml))"
# Files a reader makes or InfraKitchen has, named in examples.
NOT_OURS = frozenset(
    {"events.json", "subscriptions.yaml", "subscriptions.yml", "manifest.yaml", "docker-compose.yml"}
)


def section(heading: str) -> str:
    """What stands below a heading, to the next one of the same level or above."""
    match = re.search(rf"^(#+) {heading}\n(.*?)(?=^#{{1,6}} |\Z)", README, re.MULTILINE | re.DOTALL)
    assert match, f"README.md has no heading {heading!r}"
    return match[2]


def rows(text: str) -> dict[str, tuple[str, ...]]:
    """A table's rows by their first cell, which stands in back-ticks."""
    found = re.findall(r"^\| `([A-Z_]+)` \|(.*)\|$", text, re.MULTILINE)
    return {name: tuple(cell.strip() for cell in re.split(r"(?<!\\)\|", rest)) for name, rest in found}


def written_default(default: object) -> str:
    if default is None:
        return "none"
    return f"`./{default}`" if isinstance(default, Path) else f"`{default}`"


def commands(command: click.Command, path: str) -> Iterator[str]:
    if not isinstance(command, click.Group):
        yield path
        return
    with click.Context(command) as context:
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child and not child.hidden:
                yield from commands(child, f"{path} {name}")


def test_every_setting_stands_in_the_table_and_no_other() -> None:
    assert set(rows(section("Settings"))) == {name.upper() for name in Settings.model_fields}


@pytest.mark.parametrize("name", Settings.model_fields)
def test_a_settings_default_and_meaning_are_those_of_the_code(name: str) -> None:
    field = Settings.model_fields[name]
    default, meaning = rows(section("Settings"))[name.upper()]
    assert default == written_default(field.default)
    assert meaning == field.description


def test_every_command_is_named() -> None:
    missing = {
        command for command in commands(cli, "ik-slack") if not re.search(rf"{re.escape(command)}\b", README)
    }
    assert missing == set()


def test_every_metric_is_explained_with_its_labels_and_no_other() -> None:
    explained = {
        name: set(filter(None, labels.split(",")))
        for name, labels in re.findall(r"`(ikslack_\w+)(?:{(.*?)})?`", section("Metrics"))
    }
    assert explained == {name: labels - {"le"} for name, labels in metrics_told().items()}


def test_every_variable_and_filter_of_templates_is_named() -> None:
    text = section("Templates")
    assert {name for name in {*NAMES, "event.NAME"} - {"event"} if f"`{name}`" not in text} == set()
    assert {name for name in OURS if not re.search(rf"`{name}[`(]", text)} == set()


def test_every_path_exists() -> None:
    named = (
        set(re.findall(rf"`((?:{'|'.join(map(re.escape, FOLDERS))})/[^\s`]*|{FILES})`", README)) - NOT_OURS
    )
    linked = set(re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", README))
    missing = {path for path in named | linked if not any(ROOT.glob(path.rstrip("/")))}
    assert missing == set()


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+)`", README)) <= targets


def test_the_changelog_has_something_unreleased_or_this_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    assert f"## [{version[1]}]" in changelog or "## [Unreleased]" in changelog


def faults() -> Iterator[tuple[str, list[str]]]:
    """What goes wrong, by the fault model, and the tests that each row names."""
    for table in re.findall(r"^\| what goes wrong .*\n\|[-|]+\n((?:\|.*\n)+)", RELIABILITY, re.MULTILINE):
        for row in table.splitlines():
            what, *_, proved_by = (cell.strip() for cell in row.strip("|").split(" | "))
            yield what, re.findall(r"`([^`]+)`", proved_by)


def test_the_fault_model_has_all_its_tables() -> None:
    assert len(dict(faults())) == len(list(faults())) > 60


@pytest.mark.parametrize(("what", "tests"), list(faults()), ids=lambda said: str(said)[:60])
def test_every_fault_is_proved_by_tests_that_exist(what: str, tests: list[str]) -> None:
    assert tests, what
    for named in tests:
        path, _, function = named.partition("::")
        assert re.search(rf"^(?:async )?def {function}\(", (ROOT / "tests" / path).read_text(), re.MULTILINE)


@pytest.mark.parametrize("named", re.findall(r"`([\w/]+\.py(?:::\w+)?)`", SECURITY))
def test_what_protects_is_proved_by_tests_that_exist(named: str) -> None:
    path, _, function = named.partition("::")
    assert re.search(rf"^(?:async )?def {function}", (ROOT / "tests" / path).read_text(), re.MULTILINE)


@pytest.mark.parametrize("text", [SECURITY, RELIABILITY], ids=["security", "reliability"])
def test_commands_that_other_pages_name_exist(text: str) -> None:
    ours = set(commands(cli, "ik-slack"))
    named = set(re.findall(r"`(ik-slack [a-z-]+(?: [a-z-]+)?)", text))
    assert {one for one in named if one not in ours and one.rsplit(" ", 1)[0] not in ours} == set()


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("lease {} s", lanes.LEASE_MS / 1000),
        ("call's mark {} s", lanes.WAKE_MS / 1000),
        ("looks every {} s", sweep.TICK_S),
        ("a lock of {} s", sweep.LOCK_MS / 1000),
        ("claimed after {} s", ingest.ABANDONED_MS / 1000),
        ("looked for every {} s", ingest.CLAIM_EVERY_S),
        ("lasts about {} s", telling.BUDGET_S),
        ("at most {} s, connecting", gateway.TOTAL_TIMEOUT_S),
        ("connecting {} s", gateway.CONNECT_TIMEOUT_S),
        ("take {} s to connect", connection.CONNECT_S),
        ("{} s for a batch", server.BATCH_S),
    ],
)
def test_the_times_of_the_fault_model_are_those_of_the_code(words: str, seconds: float) -> None:
    assert " ".join(words.format(f"{seconds:g}").split()) in " ".join(RELIABILITY.split())
