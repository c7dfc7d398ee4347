"""Progress: how far a workflow has come, step by step, and what a failed step says."""

from collections.abc import Sequence
from itertools import pairwise

from worker.domain.event import Event, Step
from worker.domain.looks import has_failed, is_done, step_sign, why
from worker.domain.markup import bold, line, line_ends
from worker.domain.message import Section

NAMED_MOST = 8  # so many steps are all named; of more there is a bar
SQUARES_MOST = 20
AROUND = 2  # how many steps beside the one that matters are named
QUOTED_MOST = 2
NAME, ERROR = 60, 300


def progress(event: Event) -> Section | None:
    """The steps of a workflow with their signs; of many a bar, and those around the one that matters."""
    steps = event.steps
    if not steps:
        return None
    done = sum(map(is_done, steps))
    count = f"{done} of {len(steps)} steps done"
    told = [] if count in event.title else [f"*{count}*"]
    if len(steps) <= NAMED_MOST:
        told.append(_named(steps))
    elif done < len(steps):
        told[:0] = [_bar(steps)]
        told.append(_around(steps))
    return Section("\n".join([*told, *_quoted(event)]))


def _named(steps: Sequence[Step]) -> str:
    return "  ".join(f"{step_sign(step.status)} {line(step.name, NAME)}" for step in steps)


def _bar(steps: Sequence[Step]) -> str:
    """A square for each step; of very many, for as many as share one, which shows the worst of them."""
    squares = min(len(steps), SQUARES_MOST)
    edges = [place * len(steps) // squares for place in range(squares + 1)]
    return "".join(_square(steps[start:end]) for start, end in pairwise(edges))


def _square(some: Sequence[Step]) -> str:
    signs = {step_sign(step.status) for step in some}
    for sign, square in (("❌", "🟥"), ("🟡", "🟨"), ("⏳", "🟦")):
        if sign in signs:
            return square
    return "🟩" if all(map(is_done, some)) else "⬜"


def _around(steps: Sequence[Step]) -> str:
    """The first that failed, else the first that is not done, with its neighbours."""
    signs = [step_sign(step.status) for step in steps]
    here = (
        signs.index("❌") if "❌" in signs else next(i for i, step in enumerate(steps) if not is_done(step))
    )
    start, end = max(here - AROUND, 0), min(here + AROUND + 1, len(steps))
    before, after = "…  " if start else "", "  …" if end < len(steps) else ""
    return before + _named(steps[start:end]) + after


def _quoted(event: Event) -> list[str]:
    """What failed steps say, unless it is said above already."""
    told = why(event) if has_failed(event) or event.error else ""
    failed = [step for step in event.steps if step_sign(step.status) == "❌" and step.error]
    new = [step for step in failed if step.error.strip() not in told]
    return [f"> {bold(step.name, NAME)}: {line_ends(step.error, ERROR)}" for step in new[:QUOTED_MOST]]
