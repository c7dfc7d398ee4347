"""The house stays small, says what it is, and speaks one language."""

import ast
import re
import statistics
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted(path for package in ("worker", "config") for path in (ROOT / package).rglob("*.py"))
NOT_OUR_WORDS = frozenset(
    {"notification", "job", "jobs", "item", "payload", "dlq", "process", "handle", "manager"}
    | {"helper", "helpers", "util", "utils"}
)
"""Each has a word of ours: event, delivery, message, dead letter; the rest say nothing."""


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Each function's name and how many lines it has."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def public_names(path: Path) -> Iterator[str]:
    """The module's own name, and those of its public functions, classes, methods, fields and arguments."""
    yield path.stem
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        if isinstance(node, ast.ClassDef):
            yield from (
                field.target.id
                for field in node.body
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
            )


def words(identifier: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", identifier)}


def test_half_of_the_modules_have_at_most_100_lines() -> None:
    assert statistics.median(map(lines, MODULES)) <= 100


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_no_module_has_more_than_300_lines(path: Path) -> None:
    assert lines(path) <= 300


def test_the_tasks_unpack_ids_and_nothing_else() -> None:
    assert lines(ROOT / "worker" / "tasks.py") <= 80


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_no_function_has_more_than_40_lines(path: Path) -> None:
    assert [(function, count) for function, count in functions(path) if count > 40] == []


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_every_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_one_word_has_one_meaning(path: Path) -> None:
    names = {found for found in public_names(path) if not found.startswith("_")}
    assert {found for found in names if words(found) & NOT_OUR_WORDS} == set()


# As Slack writes them: numbers of ten digits and more, then a long part with both letters and digits.
REAL = re.compile(
    r"(?:xox[a-z]|xapp|xoxe\.xox[bp])-(?=[\w-]{30,})[\w-]*?\d{9,}[\w-]*|hooks\.slack\.com/services/T\w{8,}/B\w{8,}/\w{20,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY|\bAKIA[0-9A-Z]{16}\b"
)


def test_no_file_holds_what_could_be_a_real_secret() -> None:
    kept = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False).stdout
    files = [ROOT / name for name in kept.decode().split("\0") if name]
    assert files or not (ROOT / ".git").exists()
    found = {
        name(path): secret
        for path in files
        if path.is_file() and (secret := REAL.search(path.read_bytes().decode("utf-8", "replace")))
    }
    assert found == {}


def test_a_real_secret_would_be_found() -> None:
    assert REAL.search("xoxb-" + "1234567890123-1234567890123-AbCdEfGhIjKlMnOpQrStUvWx")
    assert REAL.search("xapp-" + "1-A0123456789-1234567890123-" + "0123456789abcdef" * 4)
    assert REAL.search("https://hooks.slack.com/services/" + "T012345678/B012345678/AbCdEfGhIjKlMnOpQrStUvWx")
    assert not REAL.search("xoxb-123456789012-abcDEF and xoxb-1-very-secret")


def test_identifiers_are_split_into_words() -> None:
    assert words("DLQEntry") == {"dlq", "entry"}
    assert words("process_one") == {"process", "one"}
    assert words("subprocess") == {"subprocess"}
