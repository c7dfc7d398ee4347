"""The house stays small, says what it is, and speaks one language."""

import ast
import re
import statistics
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


def test_identifiers_are_split_into_words() -> None:
    assert words("DLQEntry") == {"dlq", "entry"}
    assert words("process_one") == {"process", "one"}
    assert words("subprocess") == {"subprocess"}
