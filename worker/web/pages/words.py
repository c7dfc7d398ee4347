"""Words that hints for the command line become on a page where the same is done by a click."""

import re
from collections.abc import Sequence
from dataclasses import replace

from worker.pipeline.connect import Check

_HERE = (
    (r"run `ik-slack integrations (?:rotate|add) [^`]*`", "paste it here"),
    (r", as `ik-slack manifest` prints one,", " with the manifest shown here,"),
)


def here(text: str) -> str:
    """A step, for the page whose form takes a token."""
    for written, instead in _HERE:
        text = re.sub(written, instead, text)
    return text


def checks_here(checks: Sequence[Check]) -> list[Check]:
    """Checks of a token, for the same page."""
    return [replace(check, mend=here(check.mend)) for check in checks]
