"""Shapes: what answers look like. The rows are made in `worker.asking`; these say what is in them.

Those of events and what became of them are in `told.py`.
"""

from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from worker.asking.checks import Level
from worker.asking.rules import Rule
from worker.domain.integration import Health


class Shape(BaseModel):
    """A row; one that has more than is said here keeps it."""

    model_config = ConfigDict(extra="allow")


RowShape = TypeVar("RowShape", bound=Shape | Rule)


class Rows(BaseModel, Generic[RowShape]):
    """A part of a list. `next` is the `after` of the next part, null at the end."""

    rows: list[RowShape]
    next: str | None = None


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
