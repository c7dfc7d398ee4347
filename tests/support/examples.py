"""How much a test run tries: `make quick` least, `make test` (and CI) the short form, `make thorough` everything."""

import os
from collections.abc import Sequence
from typing import TypeVar

THOROUGH = bool(os.environ.get("THOROUGH"))
QUICK = bool(os.environ.get("QUICK"))

Case = TypeVar("Case")


def examples(count: int) -> int:
    """Return the number of examples to try: `count` in `make thorough`, a quarter in CI, a tenth in `make quick`."""
    return count if THOROUGH else max(count // (10 if QUICK else 4), 5)


def cases(*every: Case, short: int) -> Sequence[Case]:
    """Return the cases of a test: `every` one in `make thorough`, else the first `short` of them."""
    return every if THOROUGH else every[:short]
