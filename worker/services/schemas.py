"""JSON schemas: the only description of each JSON shape, for the HTTP API, `--json` and the OpenAPI document.

Times are ISO 8601 in UTC. Dataclasses that are JSON as they are have no schema of their own.
"""

import base64
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator, WithJsonSchema, model_validator

from worker.domain.delivery import Change, Outcome, State, lane_parts
from worker.domain.event import Entity, EventState, Kind, Severity, Step
from worker.domain.hints import Hint, dead_letter_hint
from worker.domain.integration import Health
from worker.services.formatting import format_json_time
from worker.slack.blocks import LimitUse, find_near_limits

if TYPE_CHECKING:
    from worker.services.dead_letters import DeadLetterDetails
    from worker.services.deliveries import EventTrace
    from worker.services.preview import Preview
    from worker.store.dead_letters import DeadLetter

#: A hint; in JSON the text that the command line prints.
HintField = Annotated[
    Hint, PlainValidator(lambda hint: hint), PlainSerializer(str, return_type=str), WithJsonSchema({"type": "string"})
]


class Schema(BaseModel):
    """Base of the schemas; a domain object is validated by its attributes, a time by its attribute `…_ms` or `…_s`."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    @classmethod
    def of(cls, *sources: object, **values: object) -> Self:
        """Build the schema from `values` and, for other fields, from the first of the sources that has them."""
        for source in sources:
            values = cls._read_attributes(source) | values
        return cls.model_validate(values)

    @model_validator(mode="before")
    @classmethod
    def _of_object(cls, source: object) -> object:
        return source if isinstance(source, dict | BaseModel) else cls._read_attributes(source)

    @classmethod
    def _read_attributes(cls, source: object) -> dict[str, object]:
        values: dict[str, object] = {}
        for name, field in cls.model_fields.items():
            attribute = str(field.validation_alias or name)
            if hasattr(source, attribute):
                value = getattr(source, attribute)
                values[attribute] = value.name.lower() if isinstance(value, Severity) else value
            elif hasattr(source, f"{name}_ms"):
                values[name] = format_json_time(getattr(source, f"{name}_ms"))
            elif hasattr(source, f"{name}_s"):
                values[name] = format_json_time(int((getattr(source, f"{name}_s") or 0) * 1000))
        return values


class EntrySchema(Schema):
    """An entry of the stream that is not an event."""

    id: str
    entry_id: str


class EventSchema(EntrySchema):
    """An event."""

    source: str
    type: str
    kind: Kind
    entity: Entity
    severity: Literal["info", "warning", "error", "critical"]
    title: str
    status: str
    severity_word: str
    state: str
    previous: str
    action: str
    text: str
    error: str
    project: str
    requester: str
    template: str
    url: str
    labels: dict[str, str]
    steps: list[Step]
    fingerprint: str
    accepted_at: str | None
    time: str | None
    started_at: str | None
    ended_at: str | None


class AttemptSchema(Schema):
    """A call to Slack."""

    at: str | None
    method: str
    outcome: Outcome
    code: str
    wait_s: float


class DeathSchema(Schema):
    """When and why a delivery was a dead letter before it was replayed."""

    at: str | None
    reason: str


class HistoryStepSchema(Schema):
    """A queueing, death, replay or discard of a delivery: who did it, if a person did, and the reason of a death."""

    at: str | None
    change: Change
    who: str
    reason: str


class _DeliveryFields(Schema):
    id: str
    event_id: str
    subscription_id: str
    lane: str
    state: State
    channel: str
    ts: str
    error: str
    detail: str
    created_at: str | None
    finished_at: str | None
    merged_into: str
    repeated: bool
    replays: int
    deaths: list[DeathSchema]
    history: list[HistoryStepSchema]
    severity: Literal["info", "warning", "error", "critical"] | None


class DeliverySchema(_DeliveryFields):
    """A delivery in a list. A merged one has the `channel` and `ts` of the message that contains it."""

    attempts: int


class DeliveryTraceSchema(_DeliveryFields):
    """A delivery with its calls to Slack, what it waits for and the fix."""

    attempts: list[AttemptSchema]
    waits: str
    hint: HintField
    permalink: str
    template_fault: str


class MatchSchema(Schema):
    """A subscription that an event matched, and its delivery.

    `reason` has the values that made the destination, or says why there is a delivery against the filters.
    """

    subscription_id: str
    reason: str
    delivery: DeliveryTraceSchema


class Mismatch(Schema):
    """A subscription that an event created no delivery for, and why."""

    subscription_id: str
    reason: str


class EventTraceSchema(Schema):
    """Everything that happened to an event. `reason` says why there is no delivery, `hint` the fix."""

    event: EventSchema | EntrySchema
    state: EventState
    reason: str
    hint: HintField
    matched: list[MatchSchema]
    unmatched: list[Mismatch] = Field(validation_alias="mismatches")
    others: list["EventTraceSchema"]  #: The events of other sources with the same id.

    @classmethod
    def of_traces(cls, traces: Sequence["EventTrace"]) -> Self:
        """Build the schema of the first trace; the rest are its `others`."""
        trace, *others = traces
        return cls.of(
            trace,
            event=EventSchema.of(trace.event) if trace.event else EntrySchema.of(trace),
            matched=[
                MatchSchema(
                    subscription_id=it.delivery.subscription_id,
                    reason=it.reason,
                    delivery=DeliveryTraceSchema.of(it, it.delivery),
                )
                for it in trace.deliveries
            ],
            others=[cls.of_traces([other]) for other in others],
        )


class ParkedLaneSchema(Schema):
    """A parked lane, why it is parked, and the fix."""

    lane: str
    channel: str
    reason: str
    detail: str
    hint: HintField
    pending: int
    whole_integration: bool
    since: str | None


class DeadLetterSchema(Schema):
    """A dead letter: a delivery, or an unreadable entry, whose last fields are null."""

    id: str
    reason: str
    detail: str
    event_id: str
    channel: str
    died_at: str | None
    hint: HintField
    lane: str | None = None
    subscription_id: str | None = None
    attempts: int | None = None
    replays: int | None = None
    created_at: str | None = None

    @classmethod
    def of_letter(cls, letter: "DeadLetter", event_ids: Mapping[str, str], **values: object) -> Self:
        """Build the schema of a dead letter; `event_ids` has the event's id by its reference."""
        return cls.of(
            letter,
            letter.delivery,
            event_id=event_id_of_letter(letter, event_ids),
            channel=lane_parts(letter.delivery.lane)[1] if letter.delivery else "",
            hint=dead_letter_hint(letter.reason, letter.id),
            **values,
        )


def event_id_of_letter(letter: "DeadLetter", event_ids: Mapping[str, str]) -> str:
    """Return the id of a dead letter's event; for an unreadable entry that of the entry."""
    return event_ids.get(letter.delivery.event_ref, "") if letter.delivery else letter.id


class RawFieldSchema(Schema):
    """A field of an unreadable entry: as text, and its exact bytes."""

    name: str
    value: str
    base64: str


class DeadLetterDetailsSchema(DeadLetterSchema):
    """A dead letter with its event and delivery, or the fields of an unreadable entry."""

    event: EventSchema | None
    delivery: DeliveryTraceSchema | None
    fields: list[RawFieldSchema] | None

    @classmethod
    def of_details(cls, details: "DeadLetterDetails") -> Self:
        """Build the schema of one dead letter."""
        letter, event, trace = details.letter, details.event, details.delivery
        decode = partial(bytes.decode, errors="backslashreplace")
        raw = [
            RawFieldSchema(name=decode(name), value=decode(value), base64=base64.b64encode(value).decode())
            for name, value in (letter.raw or {}).items()
        ]
        return cls.of_letter(
            letter,
            {letter.delivery.event_ref: event.id} if letter.delivery and event else {},
            event=event,
            delivery=trace and DeliveryTraceSchema.of(trace, trace.delivery),
            fields=None if letter.delivery else raw,
        )


class IntegrationSchema(Schema):
    """An integration, without its token."""

    id: str
    name: str
    description: str
    template: str
    team_id: str
    team: str
    url: str
    bot_user_id: str
    bot_name: str
    labels: tuple[str, ...]
    scopes: tuple[str, ...]
    missing_scopes: tuple[str, ...]
    state: Health
    reason: str
    hint: HintField
    since_ms: int


class SavedIntegrationSchema(IntegrationSchema):
    """An integration as it is saved with its new token, and warnings."""

    warnings: list[str]


class CheckSchema(Schema):
    """A check of an integration, and the fix if it failed."""

    name: str
    passed: bool
    detail: str
    hint: HintField = Field(validation_alias="fix")


class CheckedIntegrationSchema(IntegrationSchema):
    """An integration with its checks."""

    checks: list[CheckSchema]


class ChannelSchema(Schema):
    """A channel of the directory, and the name of its integration."""

    id: str
    name: str
    integration: str
    is_member: bool
    is_archived: bool
    is_private: bool


class UnmatchedEvent(Schema):
    """An event that the subscription does not match, by its number among those given, from 1."""

    place: int
    event_id: str | None
    reason: str


class PreviewSchema(Schema):
    """A message that would be posted; `text` is null when nothing would be."""

    text: str | None
    blocks: list[dict[str, Any]]
    attachments: list[dict[str, Any]]
    limits: list[LimitUse]
    unmatched: list[UnmatchedEvent]
    destinations: dict[str, int]  #: Where the subscription sends the events, with their numbers.
    template_fault: str

    @classmethod
    def of_preview(cls, preview: "Preview") -> Self:
        """Build the schema of a preview."""
        message: Mapping[str, Any] = preview.message or {}
        parts = {name: message.get(name, []) for name in ("blocks", "attachments")}
        return cls.of(preview, text=message.get("text"), limits=find_near_limits(message), **parts)
