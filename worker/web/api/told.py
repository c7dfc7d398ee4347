"""Shapes of events, their deliveries, parked lanes and dead letters."""

from typing import Literal

from pydantic import BaseModel

from worker.asking.letters import Ending
from worker.domain.delivery import Outcome, State
from worker.domain.event import Kind
from worker.web.api.shapes import Shape


class Call(Shape):
    """A call to Slack."""

    at: str | None
    method: str
    outcome: Outcome
    code: str
    wait_s: float


class Told(Shape):
    """A delivery; a merged one has the channel and ts of the message that tells it."""

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


class DeliveryShape(Told):
    """A delivery in a list."""

    attempts: int


class Waiting(Told):
    """What a delivery waits for, and where it can be read."""

    waits: str
    hint: str
    permalink: str
    template_fault: str


class WayShape(Waiting):
    """A delivery of an event, with every call."""

    attempts: list[Call]


class OneDelivery(Waiting):
    """A delivery by itself: how many calls, and each."""

    attempts: int
    history: list[Call]


class EntityShape(Shape):
    """What an event is about."""

    type: str
    id: str
    name: str


class StepShape(Shape):
    """A step of a workflow."""

    name: str
    position: int
    status: str
    error: str


class UnreadEvent(Shape):
    """An event nobody could read, or has read yet."""

    id: str
    entry_id: str


class EventShape(UnreadEvent):
    """An event."""

    source: str
    type: str
    kind: Kind
    entity: EntityShape
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
    steps: list[StepShape]
    fingerprint: str
    accepted_at: str | None
    time: str | None
    started_at: str | None
    ended_at: str | None


class Matched(Shape):
    """A subscription it is for."""

    subscription_id: str
    delivery: WayShape


class Unmatched(Shape):
    """A subscription it is not for, and why."""

    subscription_id: str
    reason: str


class StoryShape(Shape):
    """The whole way of an event. `reason` says why it has no delivery; `others` have its id too."""

    event: EventShape | UnreadEvent
    state: str
    matched: list[Matched]
    unmatched: list[Unmatched]


class ParkedShape(Shape):
    """A lane that waits for a person."""

    lane: str
    channel: str
    reason: str
    detail: str
    hint: str
    pending: int
    whole_integration: bool
    since: str | None


class LetterShape(Shape):
    """A dead letter; a delivery has its lane, subscription, attempts, replays and `created_at` too."""

    id: str
    reason: str
    detail: str
    event_id: str
    channel: str
    died_at: str | None
    hint: str


class Field(Shape):
    """A field of an entry nobody could read: as text, and exactly."""

    name: str
    value: str
    base64: str


class ExaminedLetter(LetterShape):
    """A dead letter with its event and its way, or with the fields nobody could read."""

    event: EventShape | None = None
    delivery: WayShape | None = None
    fields: list[Field] | None = None


class ResultShape(Shape):
    """What became of one."""

    id: str
    ending: Ending
    words: str


class Results(BaseModel):
    """What became of each, and what people should know besides."""

    results: list[ResultShape]
    warnings: list[str]
