"""Lenient fields of events: they use what they can and ignore the rest, so a wrong detail never costs an event."""

import re
from datetime import UTC, datetime
from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, PlainValidator

from worker.domain.event import Link, Step
from worker.domain.mrkdwn import clean, strip_terminal


class Lenient(BaseModel):
    """A part of an event: unknown keys are ignored; null and a value of the wrong type count as absent."""

    model_config = ConfigDict(extra="ignore")


def parse_text(value: object) -> str:
    """Return a JSON scalar as text, without sequences of terminals; empty for any other value, or if nothing is seen.

    The sequences are removed here, before anything is cut, for the text in messages, templates, filters and commands.
    """
    if isinstance(value, str):
        if value.isascii() and value.isprintable() and value[:1] != " ":
            return value
        text = strip_terminal(value)
        return text if clean(text).strip() else ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else ""


def parse_texts(value: object) -> dict[str, str]:
    """Return the scalars of a JSON object as texts, without null and nested values."""
    if not isinstance(value, dict):
        return {}
    return {key: parse_text(item) for key, item in value.items() if isinstance(item, str | int | float)}


def parse_labels(value: object) -> dict[str, str]:
    """Return labels: of a list, `k=v` and `k:v` are key and value, any other text is a key with an empty value."""
    if not isinstance(value, list):
        return parse_texts(value)
    pairs = (re.split("[=:]", text, maxsplit=1) for item in value if (text := parse_text(item)))
    return {key.strip(): "".join(rest).strip() for key, *rest in pairs}


def parse_time(value: object) -> float | None:
    """Parse an RFC 3339 time, UTC where it has no zone, into Unix seconds; None if it cannot be parsed or formatted."""
    if not isinstance(value, str):
        return None
    try:
        at = datetime.fromisoformat(value.strip().upper())
        at_s = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
        datetime.fromtimestamp(at_s, UTC)
    except (ValueError, OverflowError):
        return None
    return at_s


def format_rfc3339(at_s: float) -> str:
    """Format Unix seconds as an RFC 3339 time in UTC, to the millisecond."""
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Person(NamedTuple):
    """A person of an event."""

    name: str = ""
    email: str = ""


def parse_person(value: object) -> Person:
    """Return a person's name, or else e-mail address, and e-mail address; InfraKitchen calls that the identifier."""
    if not isinstance(value, dict):
        name = parse_text(value)
        return Person(name, name if "@" in name else "")
    texts = {key: parse_text(value.get(key)).strip() for key in ("name", "display_name", "email", "identifier")}
    email = texts["email"] or (texts["identifier"] if "@" in texts["identifier"] else "")
    return Person(next(filter(None, texts.values()), ""), email)


def parse_ids(value: object) -> tuple[str, ...]:
    """Return the ids in a list of ids, or of objects that have one."""
    items = value if isinstance(value, list) else ()
    ids = (parse_text(item.get("id") if isinstance(item, dict) else item).strip() for item in items)
    return tuple(dict.fromkeys(filter(None, ids)))


def parse_steps(value: object) -> tuple[Step, ...]:
    """Return a workflow's steps in the order of `position`, which defaults to the step's place in the list."""
    steps = []
    for index, step in enumerate(value if isinstance(value, list) else (), 1):
        if isinstance(step, dict):
            texts = parse_texts(step)
            number = texts.get("position", "").strip()
            position = int(number) if number.isdecimal() and len(number) < 10 else index
            name, *others = (texts.get(key, "") for key in ("name", "status", "error_message", "resource_id"))
            steps.append(Step(name, position, *others))
    return tuple(sorted(steps, key=lambda step: step.position))


def parse_links(value: object) -> tuple[Link, ...]:
    """Return the links of an event: objects with `label` and `url`."""
    links = [parse_texts(item) for item in (value if isinstance(value, list) else ())]
    return tuple(
        Link(one_line(link.get("label", "")) or "Link", link["url"].strip()) for link in links if link.get("url")
    )


def one_line(text: str) -> str:
    """Return a text with each run of white space replaced by one space."""
    return " ".join(text.split())


def spell_out(word: str) -> str:
    """Return an identifier such as `in_progress` as words: `in progress`."""
    return word.replace("_", " ").strip()


Text = Annotated[str, PlainValidator(parse_text)]
Texts = Annotated[dict[str, str], PlainValidator(parse_texts)]
Labels = Annotated[dict[str, str], PlainValidator(parse_labels)]
Timestamp = Annotated[float | None, PlainValidator(parse_time)]
PersonField = Annotated[Person, PlainValidator(parse_person)]
Steps = Annotated[tuple[Step, ...], PlainValidator(parse_steps)]
Ids = Annotated[tuple[str, ...], PlainValidator(parse_ids)]
Links = Annotated[tuple[Link, ...], PlainValidator(parse_links)]


class EventData(Lenient):
    """The fields that one or another of InfraKitchen's events has; an unknown type may have any of them."""

    name: Text = ""
    title: Text = ""
    summary: Text = ""
    message: Text = ""
    description: Text = ""
    action: Text = ""
    state: Text = ""
    status: Text = ""
    previous_state: Text = ""
    previous_status: Text = ""
    severity: Text = ""
    error_message: Text = ""
    steps: Steps = ()
    workflow_id: Text = ""
    resource_id: Text = ""
    event_type: Text = ""
    entity: Texts = Field(default_factory=dict)
    entity_type: Text = ""
    entity_id: Text = ""
    entity_name: Text = ""
    parents: Ids = ()
    requester: PersonField = Person()
    creator: PersonField = Person()
    project: Text = ""
    template: Text = ""
    provider: Text = ""
    fingerprint: Text = ""
    generator_url: Text = ""
    labels: Labels = Field(default_factory=dict)
    annotations: Texts = Field(default_factory=dict)
    values: Texts = Field(default_factory=dict)
    links: Links = ()
    origin: Text = ""
    started_at: Timestamp = None
    completed_at: Timestamp = None
    starts_at: Timestamp = None
    ends_at: Timestamp = None

    @property
    def person(self) -> Person:
        """Return who started it."""
        return self.requester if any(self.requester) else self.creator
