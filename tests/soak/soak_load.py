"""The events of a soak: every kind, in both formats, with unmatched and unreadable ones."""

import json

from support.events import numbered_alert, own_notification

CHANNELS = [f"soak-{number:02}" for number in range(40)]
RULES = [{"destination": f"#{CHANNELS[0]}", "kind": "other"}]
"""InfraKitchen's own notifications have no project, so all of them go to one channel."""

STARTED = 45


def entry(number: int) -> bytes:
    """Return the stream entry with this number.

    Of a hundred, 45 start something that 45 later ones end, 7 are InfraKitchen's own notifications, 2 match no
    subscription, 1 is unreadable.
    """
    place = number % 100
    if place == 99:
        return b'{"number": %d, ' % number
    if place >= 97:
        return _encode(numbered_alert(number, "unmatched"))
    if place >= 2 * STARTED:
        return _encode(own_notification(number, entity_type="executor", entity_id=f"e{number}"))
    return _encode(_start(number) if place < STARTED else _end(number))


def count_deliveries(entries: int) -> int:
    """Return the number of deliveries of the first `entries` entries."""
    return sum(number % 100 < 97 for number in range(entries))


def _start(number: int) -> dict[str, object]:
    if number % 3 == 0:
        return _workflow(number, number, "started", status="in_progress")
    return numbered_alert(number, _channel(number))


def _end(number: int) -> dict[str, object]:
    first = number - STARTED
    if first % 3 == 0:
        return _workflow(first, number, "completed", status="done")
    ended = numbered_alert(number, _channel(first), fingerprint=f"f{first}", name=f"evt-{first}")
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


def _encode(event: dict[str, object]) -> bytes:
    return json.dumps(event).encode()
