"""What a person can do about a dead letter, by its reason."""

UNREADABLE, EXPIRED = "unreadable", "expired"
REPLAY = "Replay it with `ik-slack dead-letters replay {id}`, or discard it."
HINTS = {
    UNREADABLE: "Mend what publishes it and publish the event again, then discard this one.",
    EXPIRED: "It waited too long to be news. If it still matters, replay it; else discard it.",
    "overflow": "Its lane was full. See what was told since (`ik-slack deliveries list`), then discard it.",
}


def hint(reason: str, id_: str) -> str:
    """The next step."""
    return HINTS.get(reason, REPLAY).replace("{id}", id_)
