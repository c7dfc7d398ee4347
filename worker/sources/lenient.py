"""Field types that take what they can use and ignore the rest: a wrong detail never costs the event."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, PlainValidator

from worker.domain.event import Step


class Lenient(BaseModel):
    """A part of an event: unknown keys are ignored, null is absent, a wrong shape counts as absent."""

    model_config = ConfigDict(extra="ignore")


def text(value: object) -> str:
    """A JSON scalar as people write it; empty for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else ""


def texts(value: object) -> dict[str, str]:
    """A flat object's values as texts; what is null or nested is left out."""
    if not isinstance(value, dict):
        return {}
    return {key: text(inner) for key, inner in value.items() if isinstance(inner, str | int | float)}


def moment(value: object) -> float | None:
    """An RFC 3339 time as Unix seconds; without a zone it is UTC. None for anything else, and for what is
    not within the years 1 to 9999 of UTC: nobody could write it.
    """
    if not isinstance(value, str):
        return None
    try:
        at = datetime.fromisoformat(value.strip().upper())
        at_s = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
        datetime.fromtimestamp(at_s, UTC)
    except (ValueError, OverflowError):
        return None
    return at_s


def rfc3339(at_s: float) -> str:
    """Unix seconds as `moment` reads them, to the millisecond."""
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def person(value: object) -> str:
    """A person's name, or else their email; a plain text is taken as it is."""
    if isinstance(value, dict):
        return text(value.get("name")).strip() or text(value.get("email")).strip()
    return text(value)


def steps(value: object) -> tuple[Step, ...]:
    """A workflow's steps by position; a step that gives none stands where it is listed."""
    if not isinstance(value, list):
        return ()
    found = [_step(step, place) for place, step in enumerate(value, 1) if isinstance(step, dict)]
    return tuple(sorted(found, key=lambda step: step.position))


def _step(step: Mapping[str, object], place: int) -> Step:
    position = step.get("position")
    number = text(position).strip()
    return Step(
        name=text(step.get("name")),
        position=int(number) if number.isdecimal() and len(number) < 10 else place,
        status=text(step.get("status")),
        error=text(step.get("error_message")),
        resource_id=text(step.get("resource_id")),
    )


Text = Annotated[str, PlainValidator(text)]
Texts = Annotated[dict[str, str], PlainValidator(texts)]
Moment = Annotated[float | None, PlainValidator(moment)]
PersonName = Annotated[str, PlainValidator(person)]
Steps = Annotated[tuple[Step, ...], PlainValidator(steps)]
