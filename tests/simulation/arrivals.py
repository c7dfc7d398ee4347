"""The events and subscriptions of a run, drawn from the seed."""

import json
from collections.abc import Iterator
from typing import Any

from luck import FAULTY_S, Luck

from worker.domain.event import Kind
from worker.domain.subscription import Filters, Subscription

OPS, DEV, PERSON = "C0000001", "C0000002", "U0000009"
EMAIL = "ada@example.com"
DESTINATIONS = ("#ops", DEV, OPS, EMAIL)
"""Two of them are one channel: they share its pace."""

STORIES = {
    "workflow": ("started", "step_completed", "failed", "started", "completed"),
    "alert": ("firing", "firing", "resolved", "firing"),
    "resource": ("queued", "in_progress", "done"),
    "other": ("happened",),
}
UNREADABLE = b"{ this is no event"


def subscriptions(luck: Luck) -> list[Subscription]:
    """Two or three lanes, sometimes two subscriptions to one; the first wants everything."""
    chosen = luck.random.sample(DESTINATIONS, luck.random.randint(2, 3))
    found = [_subscription(f"s{number}", to, luck, all_=not number) for number, to in enumerate(chosen)]
    if luck.random.random() < 0.3:
        found.append(_subscription("s9", chosen[0], luck, all_=False))
    if luck.random.random() < 0.1:
        found = found[1:]
    return found


def _subscription(id_: str, to: str, luck: Luck, *, all_: bool) -> Subscription:
    kinds = () if all_ else luck.random.choice(((), (Kind.ALERT, Kind.WORKFLOW), (Kind.RESOURCE, Kind.OTHER)))
    style = luck.random.choice(("card", "card", "card", "plain"))
    return Subscription(id_, "acme", to, filters=Filters(kinds=kinds), style=style)


def arrivals(luck: Luck, start_s: float) -> list[tuple[float, bytes]]:
    """Yield the entries with their times: single ones and bursts, some twice, and a few unreadable ones."""
    moments = sorted(luck.within(FAULTY_S - 2) for _ in range(luck.random.randint(3, 8)))
    times = luck.random.choice(("none", "given", "given", "shuffled"))
    stories = _stories(luck)
    found: list[tuple[float, bytes]] = []
    for moment in moments:
        for _ in range(luck.random.choice((1, 1, 1, 2, 4))):
            at_s = moment + luck.random.random() ** 2
            happened_s = {"none": None, "given": at_s, "shuffled": at_s - luck.random.choice((0, 0, 3, 9))}[times]
            body = _body(f"e{len(found)}", next(stories), None if happened_s is None else start_s + happened_s)
            found.append((at_s, body))
            if luck.random.random() < 0.1:
                found.append((luck.within(), body))
        if luck.random.random() < 0.05:
            found.append((moment, UNREADABLE))
    return sorted(found, key=lambda one: one[0])


def _stories(luck: Luck) -> Iterator[tuple[str, str, str]]:
    """Kind, name and what comes next of a few things, in turn."""
    things = [(kind, f"{kind}-{number}") for kind in STORIES for number in (1, 2)]
    chosen = luck.random.sample(things, luck.random.choice((1, 1, 2, 3)))
    counts = dict.fromkeys(chosen, 0)
    while True:
        thing = luck.random.choice(chosen)
        states = STORIES[thing[0]]
        yield (*thing, states[counts[thing] % len(states)])
        counts[thing] += 1


def _body(id_: str, about: tuple[str, str, str], happened_s: float | None) -> bytes:
    kind, name, what = about
    data: dict[str, Any]
    match kind:
        case "workflow":
            sort = f"workflow.{what}"
            data = {"workflow_id": name, "name": name, "error_message": id_ if what == "failed" else ""}
        case "alert":
            sort = f"alert.{what}"
            data = {"name": name, "fingerprint": name, "severity": "critical", "summary": id_}
        case "resource":
            sort = "resource.state_changed"
            data = {"resource_id": name, "name": name, "state": "provision", "status": what, "message": id_}
        case _:
            sort, data = "something.else", {"title": f"{name} {id_}"}
    body: dict[str, Any] = {
        "specversion": "1.0", "id": id_, "source": "/ik", "type": f"io.infrakitchen.{sort}", "data": data,
    }  # fmt: skip
    if happened_s is not None:
        from datetime import UTC, datetime

        body["time"] = datetime.fromtimestamp(happened_s, UTC).isoformat(timespec="milliseconds")
    return json.dumps(body).encode()
