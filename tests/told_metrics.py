"""The metrics that are told, with their labels, for tests of what speaks of them."""

import re

from worker.store.ledger import Balance, LaneCount
from worker.store.metrics import Counted
from worker.web.exposition import Figures, exposition
from worker.web.metrics import ROLES

SOME = {("call", "chat.postMessage", "delivered", "ok"): 1, ("parkings", "lane", "is_archived"): 1}


def metrics_told() -> dict[str, set[str]]:
    """Every metric's labels by its name, that of a histogram without its endings."""
    figures = Figures(
        Balance(*[0] * 13),
        [LaneCount("a/#b", 1, "x", "")],
        Counted(SOME, {}),
        {"x": 1},
        0,
        dict.fromkeys(ROLES, 0),
    )
    told: dict[str, set[str]] = {}
    for line in exposition(figures).decode().splitlines():
        if match := re.match(r"(ikslack_\w+?)(?:_bucket|_sum|_count)?(?:{(.*)})? ", line):
            told.setdefault(match[1], set()).update(re.findall(r"(\w+)=", match[2] or ""))
    return told
