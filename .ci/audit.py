"""Are there known vulnerabilities in what constraints.txt pins? Run by `make audit`.

A finding fails; that nobody could be asked is one line and no failure, so work goes on without a network.
Arguments go to pip-audit: `--ignore-vuln ID` for one that does not concern us, with the reason beside it.
"""

import json
import subprocess
import sys
from pathlib import Path

PINNED = Path(__file__).parents[1] / "constraints.txt"
MOST_S = 120


def judged(code: int, out: str, err: str) -> tuple[bool, str]:
    """Whether it is well, and what to say, from how pip-audit ended."""
    try:
        asked = json.loads(out)["dependencies"]
    except (ValueError, KeyError, TypeError):
        reason = next(reversed(err.strip().splitlines()), "it said nothing")
        return code in (0, 1), f"Not audited: pip-audit could not ask for advisories ({reason[:200]})."
    looked_at = [one for one in asked if "skip_reason" not in one]
    found = [
        f"{one['name']} {one['version']}: {known['id']}, mended in "
        f"{', '.join(known['fix_versions']) or 'none yet'}"
        for one in looked_at
        for known in one["vulns"]
    ]
    if found:
        return False, "\n".join([*found, "Known vulnerabilities: `make lock` takes newer versions."])
    if not looked_at:
        return True, f"Not audited: the package registry has no advisories for any of {len(asked)} packages."
    rest = f"; nothing is known of {len(asked) - len(looked_at)} more" if len(asked) > len(looked_at) else ""
    return True, f"No known vulnerability in {len(looked_at)} packages{rest}."


def main() -> int:
    """The exit code."""
    words = (
        "--requirement",
        str(PINNED),
        "--no-deps",
        "--disable-pip",
        "--format",
        "json",
        "--timeout",
        "10",
    )
    try:
        ended = subprocess.run(  # noqa: S603  # our own words
            [sys.executable, "-m", "pip_audit", *words, "--progress-spinner", "off", *sys.argv[1:]],
            capture_output=True, text=True, check=False, timeout=MOST_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        is_well, line = judged(1, "", f"no answer within {MOST_S} s")
    else:
        is_well, line = judged(ended.returncode, ended.stdout, ended.stderr)
    print(line, file=sys.stdout if is_well else sys.stderr)
    return 0 if is_well else 1


if __name__ == "__main__":
    raise SystemExit(main())
