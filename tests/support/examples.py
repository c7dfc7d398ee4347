"""The number of examples of a property test."""

import os

QUICK = bool(os.environ.get("QUICK"))


def examples(count: int) -> int:
    """Return `count`, or a tenth of it in `make quick`."""
    return max(count // 10, 5) if QUICK else count
