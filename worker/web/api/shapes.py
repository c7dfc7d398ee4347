"""Shapes: what answers look like. The rows are made in `worker.asking`; these say what is in them."""

from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from worker.asking.checks import Level
from worker.asking.letters import Ending
from worker.asking.rules import Rule
from worker.domain.delivery import Outcome, State
from worker.domain.event import Kind
from worker.domain.integration import Health


class Shape(BaseModel):
    """A row; one that has more than is said here keeps it."""

    model_config = ConfigDict(extra="allow")


RowShape = TypeVar("RowShape", bound=Shape | Rule)


class Rows(BaseModel, Generic[RowShape]):
    """A part of a list. `next` is the `after` of the next part, null at the end."""

    rows: list[RowShape]
    next: str | None = None


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


class BalanceShape(Shape):
    """`created` = delivered + merged + pending + parked + dead + discarded; `unaccounted` must be 0."""

    accepted: int
    repeats_ignored: int
    rejected: int
    suppressed: int
    created: int
    delivered: int
    merged: int
    pending: int
    parked: int
    dead: int
    discarded: int
    repeated: int
    unaccounted: int


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


class RuleAdded(Rule):
    """A subscription as it is stored now, and what people should know."""

    warnings: tuple[str, ...] = ()


class PlacedRule(Rule):
    """A subscription, its lane, and how that is."""

    lane: str
    address: str
    waiting: int
    parked: str
    reason: str
    hint: str
    template_fault: str


class Posted(Shape):
    """A test message, and where it can be read."""

    id: str
    destination: str
    channel: str
    ts: str
    link: str


class IntegrationShape(Shape):
    """An integration, never its token."""

    id: str
    name: str
    description: str
    team_id: str
    team: str
    url: str
    bot_user_id: str
    bot_name: str
    labels: list[str]
    scopes: list[str]
    missing_scopes: list[str]
    state: Health
    reason: str
    hint: str
    since_ms: int


class CheckShape(Shape):
    """One check, and its mend when it failed."""

    name: str
    passed: bool
    detail: str
    mend: str


class TestedIntegration(IntegrationShape):
    """An integration with its checks."""

    checks: list[CheckShape]


class RotatedIntegration(IntegrationShape):
    """An integration with its new token, and what people should know."""

    warnings: tuple[str, ...] = ()


class ChannelShape(Shape):
    """A channel of the directory."""

    id: str
    name: str
    integration: str
    is_member: bool
    is_archived: bool
    is_private: bool


class Discarded(BaseModel):
    """How many deliveries that waited were discarded."""

    discarded: int


class Words(BaseModel):
    """What was done."""

    words: str


class LimitUse(Shape):
    """How near a message is to one of Slack's limits."""

    name: str
    used: int
    limit: int


class PreviewShape(Shape):
    """What would be posted; `text` is null when nothing."""

    text: str | None
    blocks: list[dict[str, Any]]
    attachments: list[dict[str, Any]]
    limits: list[LimitUse]
    unmatched: list[dict[str, Any]]
    template_fault: str


class FindingShape(Shape):
    """One thing that was looked at, with its mend."""

    check: str
    ok: bool
    detail: str
    mend: str
    level: Level
