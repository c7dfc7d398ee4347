"""The audit fails for what is known to be vulnerable, and for nothing else."""

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

judged = runpy.run_path(str(Path(__file__).parents[2] / ".ci" / "audit.py"))["judged"]

WELL = {"name": "redis", "version": "7.0", "vulns": []}
UNKNOWN = {"name": "vine", "skip_reason": "Dependency not found on PyPI"}
KNOWN = {"id": "PYSEC-2026-1", "fix_versions": ["3.1.7"], "aliases": []}
BAD = {
    "name": "jinja2",
    "version": "3.1.6",
    "vulns": [KNOWN, {**KNOWN, "id": "PYSEC-2026-2", "fix_versions": []}],
}


def answer(*dependencies: dict[str, Any]) -> str:
    return json.dumps({"dependencies": list(dependencies), "fixes": []})


def test_what_is_known_to_be_vulnerable_fails_with_its_mend() -> None:
    is_well, said = judged(1, answer(WELL, BAD, UNKNOWN), "Found 2 known vulnerabilities in 1 package")
    assert not is_well
    assert said.splitlines() == [
        "jinja2 3.1.6: PYSEC-2026-1, mended in 3.1.7",
        "jinja2 3.1.6: PYSEC-2026-2, mended in none yet",
        "Known vulnerabilities: `make lock` takes newer versions.",
    ]


@pytest.mark.parametrize(
    ("code", "out", "err", "line"),
    [
        (0, answer(WELL), "", "No known vulnerability in 1 packages."),
        (0, answer(WELL, UNKNOWN), "", "No known vulnerability in 1 packages; nothing is known of 1 more."),
        (0, answer(UNKNOWN, UNKNOWN), "",
         "Not audited: the package registry has no advisories for any of 2 packages."),
        (1, "", "WARNING\nERROR: could not connect to pypi.org\n",
         "Not audited: pip-audit could not ask for advisories (ERROR: could not connect to pypi.org)."),
        (1, "<html>", "", "Not audited: pip-audit could not ask for advisories (it said nothing)."),
    ],
)  # fmt: skip
def test_where_nobody_can_be_asked_one_line_says_so(code: int, out: str, err: str, line: str) -> None:
    assert judged(code, out, err) == (True, line)


def test_wrong_use_of_pip_audit_is_a_fault_of_ours() -> None:
    assert judged(2, "", "unrecognized arguments")[0] is False
