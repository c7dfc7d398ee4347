"""The documents say what the code does: settings, commands, metrics, paths and times cannot drift apart."""

import re
import runpy
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.metric_names import labels_by_metric

from config.settings import Settings
from worker import __version__
from worker.cli import cli
from worker.pipeline import ingest
from worker.pipeline.delivery import session as telling
from worker.pipeline.maintenance import sweeper as sweep
from worker.slack import gateway
from worker.store import lanes
from worker.store import redis_client as connection
from worker.store import redis_client as server
from worker.templating.filters import OURS
from worker.templating.variables import NAMES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = {path.name: path.read_text() for path in sorted((ROOT / "docs").glob("*.md"))}
ROOT_PAGES = ("README.md", "CONTRIBUTING.md", "SECURITY.md")
DOCUMENTS = {**{name: (ROOT / name).read_text() for name in ROOT_PAGES}, **PAGES}
RELIABILITY, SECURITY = PAGES["reliability.md"], PAGES["security.md"]
FOLDERS = ("worker", "config", "tests", "benchmarks", "docs", ".ci", ".github")
FILES = r"(?:Makefile|Procfile|LICENSE|[\w.-]+\.(?:md|toml|txt|ya?ml))"
# Files that a reader makes or InfraKitchen has, named in examples.
EXAMPLE_FILES = frozenset(
    {"events.json", "subscriptions.yaml", "subscriptions.yml", "manifest.yaml", "docker-compose.yml", "message.txt"}
)
generate = runpy.run_path(str(ROOT / "docs" / "generate.py"), run_name="generate")


def section(page: str, heading: str) -> str:
    """Return the text below a heading, up to the next heading of the same level or above."""
    match = re.search(rf"^(#+) {heading}\n(.*?)(?=^#{{1,6}} |\Z)", page, re.MULTILINE | re.DOTALL)
    assert match, f"there is no heading {heading!r}"
    return match[2]


def test_the_readme_has_at_most_200_lines() -> None:
    assert len(README.splitlines()) <= 200


@pytest.mark.parametrize("page", generate["PAGES"])
def test_a_generated_page_is_up_to_date(page: str) -> None:
    assert (ROOT / "docs" / page).read_text() == generate["PAGES"][page](), "run `make docs`"


def test_every_setting_has_a_description() -> None:
    assert generate["describe_settings"]().keys() == Settings.model_fields.keys()


def test_every_metric_is_explained_with_its_labels_and_no_other() -> None:
    explained = {
        name: set(filter(None, labels.split(",")))
        for name, labels in re.findall(r"`(ikslack_\w+)(?:{(.*?)})?`", section(PAGES["observability.md"], "Metrics"))
    }
    assert explained == {name: labels - {"le"} for name, labels in labels_by_metric().items()}


def test_every_variable_and_filter_of_templates_is_documented() -> None:
    text = PAGES["templates.md"]
    assert {name for name in {*NAMES, "event.NAME"} - {"event"} if f"`{name}`" not in text} == set()
    assert {name for name in OURS if not re.search(rf"`{name}[`(]", text)} == set()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_path_in_the_docs_exists(document: str) -> None:
    named = set(re.findall(rf"`((?:{'|'.join(map(re.escape, FOLDERS))})/[^\s`:]*|{FILES})`", DOCUMENTS[document]))
    missing = {path for path in named - EXAMPLE_FILES if not any(ROOT.glob(path.rstrip("/")))}
    assert missing == set()


def anchors(page: str) -> set[str]:
    """Return the anchors of a page's headings, as code hosts make them."""
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_has_a_target(document: str) -> None:
    folder = ROOT if document in ROOT_PAGES else ROOT / "docs"
    for path, anchor in re.findall(r"\]\((?!https?:|mailto:)([^)#\s]*)#?([^)\s]*)\)", DOCUMENTS[document]):
        target = folder / path if path else folder / document
        assert target.exists(), path
        if anchor:
            assert anchor in anchors(target.read_text()), f"{path}#{anchor}"


def test_every_link_to_another_site_is_listed() -> None:
    """No test opens them: open a new link before you add it to tests/external-links.txt, and all before a release."""
    links = re.findall(r"\]\((https?://[^)\s]+)\)|<(https?://[^>\s]+)>", "\n".join(DOCUMENTS.values()))
    other = {link for pair in links for link in pair if link and "://127.0.0.1" not in link}
    assert sorted(other) == (ROOT / "tests" / "external-links.txt").read_text().split()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_in_the_docs_exists(document: str) -> None:
    known = {path for path, _ in generate["commands"](cli, "ik-slack")}
    named = set(re.findall(r"\b(ik-slack [a-z-]+(?: [a-z-]+)?)", " ".join(re.findall(r"`[^`]+`", DOCUMENTS[document]))))
    assert {command for command in named if not {command, command.rsplit(" ", 1)[0]} & (known - {"ik-slack"})} == set()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_extra_in_the_docs_exists(document: str) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = re.findall(r"(?:infrakitchen-slack|'\.)\[([\w,]+)\]", DOCUMENTS[document])
    assert {extra for names in named for extra in names.split(",")} <= set(extras)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_make_target_in_the_docs_exists(document: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)`", DOCUMENTS[document])) <= targets


def test_the_changelog_has_unreleased_changes_or_the_current_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert f"## [{__version__}]" in changelog or "## [Unreleased]" in changelog


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
def test_every_protection_is_proved_by_tests_that_exist(named: str) -> None:
    path, _, function = named.partition("::")
    assert re.search(rf"^(?:async )?def {function}", (ROOT / "tests" / path).read_text(), re.MULTILINE)


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("lease {} s", lanes.LEASE_MS / 1000),
        ("call's mark {} s", lanes.WAKE_MS / 1000),
        ("looks every {} s", sweep.TICK_S),
        ("a lock of {} s", sweep.LOCK_MS / 1000),
        ("claimed after {} s", ingest.CLAIM_IDLE_MS / 1000),
        ("looked for every {} s", ingest.MAINTENANCE_EVERY_S),
        ("lasts about {} s", telling.BUDGET_S),
        ("at most {} s, connecting", gateway.TOTAL_TIMEOUT_S),
        ("connecting {} s", gateway.CONNECT_TIMEOUT_S),
        ("take {} s to connect", connection.CONNECT_TIMEOUT_S),
        ("{} s for a batch", server.BATCH_TIMEOUT_S),
    ],
)
def test_the_times_in_the_fault_model_equal_those_in_the_code(words: str, seconds: float) -> None:
    assert " ".join(words.format(f"{seconds:g}").split()) in " ".join(RELIABILITY.split())
