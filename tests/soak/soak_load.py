"""What a soak publishes: every kind of event, in both forms, with what everyday life brings along."""

import json

from installation import alert, own_body

CHANNELS = [f"soak-{number:02}" for number in range(40)]
RULES = [{"destination": f"#{CHANNELS[0]}", "kind": "other"}]
"""InfraKitchen's own body knows no project: what is of that form here is all for one channel."""

BEGUN = 45


def entry(number: int) -> bytes:
    """The entry with this number.

    Of a hundred, 45 begin something that 45 later ones end, 7 are of InfraKitchen's own form, 2 are for
    nobody, 1 is unreadable.
    """
    place = number % 100
    if place == 99:
        return b'{"number": %d, ' % number
    if place >= 97:
        return _written(alert(number, "nobody"))
    if place >= 2 * BEGUN:
        return _written(own_body(number, entity_type="executor", entity_id=f"e{number}"))
    return _written(_begun(number) if place < BEGUN else _ended(number))


def told(entries: int) -> int:
    """How many deliveries so many entries make."""
    return sum(number % 100 < 97 for number in range(entries))


def _begun(number: int) -> dict[str, object]:
    if number % 3 == 0:
        return _workflow(number, number, "started", status="in_progress")
    return alert(number, _channel(number))


def _ended(number: int) -> dict[str, object]:
    first = number - BEGUN
    if first % 3 == 0:
        return _workflow(first, number, "completed", status="done")
    ended = alert(number, _channel(first), fingerprint=f"f{first}", name=f"evt-{first}")
    return {**ended, "type": "io.infrakitchen.alert.resolved"}


def _workflow(number: int, event: int, what: str, **data: object) -> dict[str, object]:
    about = {"workflow_id": f"w{number}", "name": f"evt-{number}", "project": _channel(number)}
    return {
        "specversion": "1.0",
        "id": f"evt-{event}",
        "source": "/tests",
        "type": f"io.infrakitchen.workflow.{what}",
        "data": {**about, **data},
    }


def _channel(number: int) -> str:
    return CHANNELS[number % len(CHANNELS)]


def _written(event: dict[str, object]) -> bytes:
    return json.dumps(event).encode()
