"""`.ci/audit.py` fails for known vulnerabilities alone."""

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

summarize = runpy.run_path(str(Path(__file__).parents[2] / ".ci" / "audit.py"))["summarize"]

SOUND = {"name": "redis", "version": "7.0", "vulns": []}
UNKNOWN = {"name": "vine", "skip_reason": "Dependency not found on PyPI"}
KNOWN = {"id": "PYSEC-2026-1", "fix_versions": ["3.1.7"], "aliases": []}
BAD = {
    "name": "jinja2",
    "version": "3.1.6",
    "vulns": [KNOWN, {**KNOWN, "id": "PYSEC-2026-2", "fix_versions": []}],
}


def answer(*dependencies: dict[str, Any]) -> str:
    return json.dumps({"dependencies": list(dependencies), "fixes": []})


def test_a_known_vulnerability_fails_the_audit_and_names_the_fixed_version() -> None:
    passed, report = summarize(1, answer(SOUND, BAD, UNKNOWN), "Found 2 known vulnerabilities in 1 package")
    assert not passed
    assert report.splitlines() == [
        "jinja2 3.1.6: PYSEC-2026-1, fixed in 3.1.7",
        "jinja2 3.1.6: PYSEC-2026-2, fixed in no version yet",
        "Known vulnerabilities: run `make lock` for newer versions.",
    ]


@pytest.mark.parametrize(
    ("code", "out", "err", "line"),
    [
        (0, answer(SOUND), "", "No known vulnerability in 1 packages."),
        (0, answer(SOUND, UNKNOWN), "", "No known vulnerability in 1 packages; no information about 1 more."),
        (0, answer(UNKNOWN, UNKNOWN), "",
         "Not audited: the package registry has no advisories for any of 2 packages."),
        (1, "", "WARNING\nERROR: could not connect to pypi.org\n",
         "Not audited: pip-audit could not fetch advisories (ERROR: could not connect to pypi.org)."),
        (1, "<html>", "", "Not audited: pip-audit could not fetch advisories (no output)."),
    ],
)  # fmt: skip
def test_the_audit_passes_with_a_notice_when_advisories_cannot_be_fetched(
    code: int, out: str, err: str, line: str
) -> None:
    assert summarize(code, out, err) == (True, line)


def test_the_audit_fails_when_pip_audit_rejects_its_arguments() -> None:
    assert summarize(2, "", "unrecognized arguments")[0] is False
