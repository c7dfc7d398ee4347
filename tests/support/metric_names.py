"""The exported metrics with their labels, for tests of the documents that use them."""

import re

from prometheus_client import generate_latest

from worker.store.ledger import Balance, LaneCount
from worker.store.metrics import MetricTotals
from worker.web.observability import ROLES, Figures

COUNTS = {
    ("call", "chat.postMessage", "delivered", "ok"): 1,
    ("parkings", "lane", "is_archived"): 1,
    ("webhook_faults", "alertmanager", "truncated"): 1,
}


def labels_by_metric() -> dict[str, set[str]]:
    """Return the labels of every metric by its name; the name of a histogram has no suffix."""
    figures = Figures(
        Balance(*[0] * 14),
        [LaneCount("a/#b", 1, "x", "")],
        MetricTotals(COUNTS, {}),
        {"x": 1},
        0,
        dict.fromkeys(ROLES, 0),
    )
    labels: dict[str, set[str]] = {}
    for line in generate_latest(figures).decode().splitlines():
        if match := re.match(r"(ikslack_\w+?)(?:_bucket|_sum|_count)?(?:{(.*)})? ", line):
            labels.setdefault(match[1], set()).update(re.findall(r"(\w+)=", match[2] or ""))
    return labels
