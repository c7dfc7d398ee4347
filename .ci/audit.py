"""Look for known vulnerabilities of the packages in constraints.txt: `make audit`.

A vulnerability fails the audit. Without a network the audit passes with a notice, so that work can go on.
Arguments go to pip-audit, such as `--ignore-vuln ID`; write the reason beside it.
"""

import json
import subprocess
import sys
from pathlib import Path

PINNED = Path(__file__).parents[1] / "constraints.txt"
TIMEOUT_S = 120
OPTIONS = ("--no-deps", "--disable-pip", "--format", "json", "--timeout", "10", "--progress-spinner", "off")


def summarize(code: int, out: str, err: str) -> tuple[bool, str]:
    """Return whether the audit passes, and its report, from pip-audit's exit code and output."""
    try:
        packages = json.loads(out)["dependencies"]
    except (ValueError, KeyError, TypeError):
        reason = next(reversed(err.strip().splitlines()), "no output")
        return code in (0, 1), f"Not audited: pip-audit could not fetch advisories ({reason[:200]})."
    audited = [package for package in packages if "skip_reason" not in package]
    vulnerabilities = [
        f"{package['name']} {package['version']}: {advisory['id']}, "
        f"fixed in {', '.join(advisory['fix_versions']) or 'no version yet'}"
        for package in audited
        for advisory in package["vulns"]
    ]
    if vulnerabilities:
        return False, "\n".join([*vulnerabilities, "Known vulnerabilities: run `make lock` for newer versions."])
    if not audited:
        return True, f"Not audited: the package registry has no advisories for any of {len(packages)} packages."
    unknown = len(packages) - len(audited)
    skipped = f"; no information about {unknown} more" if unknown else ""
    return True, f"No known vulnerability in {len(audited)} packages{skipped}."


def main() -> int:
    """Run pip-audit, print the report and return the exit code."""
    try:
        ended = subprocess.run(  # noqa: S603  # no argument comes from outside
            [sys.executable, "-m", "pip_audit", "--requirement", str(PINNED), *OPTIONS, *sys.argv[1:]],
            capture_output=True, text=True, check=False, timeout=TIMEOUT_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        passed, report = summarize(1, "", f"no answer within {TIMEOUT_S} s")
    else:
        passed, report = summarize(ended.returncode, ended.stdout, ended.stderr)
    print(report, file=sys.stdout if passed else sys.stderr)
    return 0 if passed else 1


if __name__ == "__main__":
    raise SystemExit(main())
