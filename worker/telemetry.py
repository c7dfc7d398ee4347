"""What is told to the log: one canonical line per attempt and per step worth knowing, never a secret."""

import logging

Field = str | int | float | bool


def say(log: logging.Logger, level: int, what: str, **about: Field) -> None:
    """One line, `what key=value …`; as JSON the same keys beside the message."""
    told = {name: value for name, value in about.items() if value not in ("", None)}
    log.log(
        level,
        "%s%s",
        what,
        "".join(f" {name}={_shown(value)}" for name, value in told.items()),
        extra={"about": told},
    )


def _shown(value: Field) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    text = str(value)
    return (
        text
        if text and not any(sign in text for sign in ' "=\n')
        else '"' + text.replace('"', "'").replace("\n", " ") + '"'
    )
