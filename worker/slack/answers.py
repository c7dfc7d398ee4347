"""What every answer of Slack's is read with."""

from collections.abc import Mapping

from worker.domain.errors import Uncertain


def unreadable() -> Uncertain:
    """The Refusal for an answer that does not say what Slack did."""
    return Uncertain("unreadable_answer", "Slack was asked and its answer cannot be read")


def text_of(body: object, *path: str) -> str:
    """The text at a path of an answer; empty when any part of it is not there or of another type."""
    for key in path:
        body = body.get(key) if isinstance(body, Mapping) else None
    return body if isinstance(body, str) else ""
