"""Words that hints for the command line become on a page where the same is done by a click."""

import re
from collections.abc import Sequence
from dataclasses import replace

from markupsafe import Markup, escape

from worker.pipeline.connect import Check

_CODE = Markup(
    '<span class="copied"><code>{}</code>'
    '<button type="button" class="copy" data-copy="{}" aria-label="Copy it" hidden>Copy</button></span>'
)
_HERE = (
    (r"run `ik-slack integrations (?:rotate|add) [^`]*`", "paste it {}"),
    (r", as `ik-slack manifest` prints one,", " with the manifest shown {},"),
)


def here(text: str, where: str = "here") -> str:
    """A step, for the page whose form takes a token, or for one that leads there."""
    for written, instead in _HERE:
        text = re.sub(written, instead.format(where), text)
    return text


def step(text: str) -> Markup:
    """What stands in back-ticks is code, and can be copied."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    return Markup("").join(
        _CODE.format(part, part) if i % 2 else escape(part) for i, part in enumerate(parts)
    )


def checks_here(checks: Sequence[Check]) -> list[Check]:
    """Checks of a token, for the same page."""
    return [replace(check, mend=here(check.mend)) for check in checks]
