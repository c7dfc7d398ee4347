"""The code keeps its size, says what it is, and uses the words of its field."""

import ast
import re
import statistics
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted(path for package in ("worker", "config") for path in (ROOT / package).rglob("*.py"))
PROSE = sorted(
    path
    for pattern in (
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "Makefile",
        "docs/*.md",
        "docs/*.yml",
        "worker/**/*.lua",
        "worker/templates/**/*.*",
    )
    for path in ROOT.glob(pattern)
)
EMPTY_WORDS = frozenset({"util", "utils", "helper", "helpers", "misc", "common"})
MODULE_LINES, FUNCTION_LINES = 500, 60

BANNED = {
    "tell, told": r"(?<![a-z])(?:tells?|told|telling)(?![a-z])",
    "mend": r"(?<![a-z])mend(?:s|ed|ing)?(?![a-z])",
    "nobody, somebody, whoever": r"(?<![a-z])(?:nobody|somebody|anybody|whoever)(?![a-z])",
    "so many": r"\bso many\b",
    "lie down": r"\bl(?:ies?|ay|ying) down\b",
    "as people": r"\bas people\b",
    "of ours": r"\bof ours\b",
    "a fault of this program": r"\bfault of this program\b",
    "is there": r"\bis there(?=[.,;:!?)]|$)",
    "stand": r"(?<![a-z])(?:stands?|stood)(?! (?:in|for|by|beside)\b)(?!-)(?![a-z])",
    "a nominal docstring": r'^\s*"""(?:What|Who|Whether|The same|So|Of|As|Until|One that)\b',
}
"""Phrases of a dialect that readers of the code had to learn."""
QUOTED = re.compile(r'"told"|:told:')
"""The part of a Redis key, which stored data have."""


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Yield each function's name and its number of lines."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def words(identifier: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", identifier)}


def banned_in(path: Path) -> list[tuple[int, str]]:
    """Return the line and the key of every banned phrase; underscores separate words, and quoted names do not count."""
    return [
        (number, key)
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        for key, pattern in BANNED.items()
        if re.search(pattern, QUOTED.sub("", line).replace("_", " "), 0 if "docstring" in key else re.IGNORECASE)
    ]


def test_half_of_the_modules_have_at_most_150_lines() -> None:
    assert statistics.median(map(lines, MODULES)) <= 150


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_module_is_at_most_500_lines_long(path: Path) -> None:
    assert lines(path) <= MODULE_LINES


def test_the_tasks_unpack_arguments_and_call_the_pipeline() -> None:
    assert lines(ROOT / "worker" / "tasks.py") <= 80


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_function_is_at_most_60_lines_long(path: Path) -> None:
    assert [(function, count) for function, count in functions(path) if count > FUNCTION_LINES] == []


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_module_has_a_docstring(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_the_name_of_a_module_has_no_empty_word(path: Path) -> None:
    assert words(path.stem) & EMPTY_WORDS == set()


@pytest.mark.parametrize("path", [*MODULES, *PROSE], ids=name)
def test_no_banned_phrase(path: Path) -> None:
    assert banned_in(path) == []


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("test_*.py")), ids=name)
def test_the_name_of_a_test_has_no_banned_phrase(path: Path) -> None:
    named = [function.replace("_", " ") for function, _ in functions(path) if function.startswith("test_")]
    assert [text for text in named for pattern in BANNED.values() if re.search(pattern, text)] == []


def test_banned_phrases_are_found(tmp_path: Path) -> None:
    sample = tmp_path / "sample.py"
    for bad in ('"""What waits."""', "read_told = 1", "# nobody is there.", "# it lies down", "mend: str", "it stands"):
        sample.write_text(bad)
        assert banned_in(sample), bad
    for good in ("untold = 1", "amended = 2", "# stands for a header", "# stand-in", "# is there a header"):
        sample.write_text(good)
        assert banned_in(sample) == [], good


# As Slack writes them: numbers of ten digits and more, then a long part with both letters and digits.
REAL = re.compile(
    r"(?:xox[a-z]|xapp|xoxe\.xox[bp])-(?=[\w-]{30,})[\w-]*?\d{9,}[\w-]*|hooks\.slack\.com/services/T\w{8,}/B\w{8,}/\w{20,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY|\bAKIA[0-9A-Z]{16}\b"
)


def test_no_file_contains_a_possible_real_secret() -> None:
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
    assert words("http_utils") == {"http", "utils"}
    assert words("subprocess") == {"subprocess"}
