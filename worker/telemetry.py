"""What is told to the log: one canonical line per attempt and per step worth knowing, never a secret."""

import logging

Told = str | int | float | bool


def say(log: logging.Logger, level: int, what: str, **about: Told) -> None:
    """One line: `what key=value …` for people, the same keys as JSON for machines (`config/logs.py`)."""
    shown = {
        name: round(value, 3) if isinstance(value, float) else value
        for name, value in about.items()
        if value not in ("", 0.0) or isinstance(value, bool)
    }
    log.log(level, "%s", what, extra=shown)
