"""Values of message planning: pending deliveries in, message contents and planned calls to Slack out."""

from dataclasses import KW_ONLY, dataclass
from enum import StrEnum

from worker.domain.card import Card, can_have_card
from worker.domain.event import Event
from worker.domain.message import Colour
from worker.domain.presentation import appearance, is_routine
from worker.domain.subscription import Subscription

#: Stands for a subscription that was removed, and for operations alerts, which have none.
NO_SUBSCRIPTION = Subscription(id="", integration_id="", destination="")


@dataclass(frozen=True, slots=True)
class PendingDelivery:
    """A taken delivery with its event and its subscription, whose options the planner reads."""

    delivery_id: str
    event: Event
    subscription: Subscription = NO_SUBSCRIPTION  #: With the template that applies.
    _: KW_ONLY
    card_pending: bool = False  #: Its card was left out of a digest, as it gets a message of its own.
    is_replayed: bool = False  #: It was a dead letter and was replayed.

    @property
    def mention(self) -> str:
        """Return the Slack markup of the people to mention for this event; empty for none."""
        has_mention = self.subscription.mention and not self.is_followed
        return self.subscription.mention_for(self.event) if has_mention else ""

    @property
    def is_followed(self) -> bool:
        """Return whether it was created only because its subject has a card: the filters do not match its event."""
        return bool(self.subscription.filters.mismatch_reason(self.event))

    @property
    def template_subscription(self) -> Subscription | None:
        """Return the subscription if it has a template."""
        return self.subscription if self.subscription.template else None

    @property
    def wants_card(self) -> bool:
        """Return whether the style is `card`, and the event can have one."""
        return self.subscription.style != "plain" and can_have_card(self.event)

    @property
    def needs_history(self) -> bool:
        """Return whether the plan depends on the states that were shown before."""
        return self.wants_card or (self.subscription.only_changes and can_have_card(self.event))

    @property
    def is_suppressible(self) -> bool:
        """Return whether the live card of its workflow may replace the message (`--inhibit-resources`)."""
        return self.subscription.inhibit_resources and is_routine(self.event)


@dataclass(frozen=True, slots=True)
class Line:
    """The newest state of one entity in a message."""

    event: Event
    delivery_id: str  #: The delivery that the line shows.
    older_count: int = 0  #: How many older states of the entity the message covers too.
    #: The subscription whose template writes a message of this line alone.
    template_subscription: Subscription | None = None
    failed_count: int = 0  #: How many of the older states were failures, and are not known to have been shown.


@dataclass(frozen=True, slots=True)
class MessageContent:
    """The content of one message: a line per entity, the most urgent first."""

    lines: tuple[Line, ...]
    mentions: tuple[str, ...] = ()
    replayed_count: int = 0  #: How many of its deliveries were dead letters and were replayed.
    urgent_count: int = 0  #: How many more urgent entities get a message of their own after this digest.

    @property
    def event_count(self) -> int:
        """Return how many events the message covers."""
        return sum(1 + line.older_count for line in self.lines)


class CallKind(StrEnum):
    """The kinds of planned calls to Slack."""

    POST = "post"
    EDIT = "edit"
    REPLY = "reply"
    NONE = "none"  # another message covers the deliveries already

    @property
    def method(self) -> str:
        """Return the method of Slack's API that makes the call; empty for none."""
        return {CallKind.EDIT: "chat.update", CallKind.NONE: ""}.get(self, "chat.postMessage")


@dataclass(frozen=True, slots=True)
class CoveredDeliveries:
    """Deliveries of one subject that need no message, because another one shows their state or a newer one."""

    subject_key: str
    delivery_ids: tuple[str, ...]
    shown_by: Card  #: The card or record of the message that covers them; of a repeat, brought up to their state.
    is_card: bool = True  #: `shown_by` is a card, not only the record of a message without a card.
    is_repeat: bool = False  #: Their state is the same as the one shown.
    is_followed: bool = False  #: The filters do not match it, and there is no open card to show it.
    by_workflow: bool = False  #: `shown_by` is the card of their workflow.

    @property
    def reason(self) -> str:
        """Return why they need no message; the id of the delivery that posted `shown_by` completes the sentence."""
        if self.is_followed:
            return "the filters do not match it, and there is no open card to show it; the last state was sent by"
        if self.by_workflow:
            return "held back while its workflow's card is live, that of"
        return "the same state was already sent by" if self.is_repeat else "a newer state was already sent by"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedCall:
    """One call to Slack, its content and the deliveries it covers."""

    kind: CallKind
    content: MessageContent
    delivery_ids: tuple[str, ...]
    #: The subject whose card the call posts, edits or replies to; empty for a message without a card.
    subject_key: str = ""
    card: Card | None = None  #: The card as it is before the call; None when the call posts it.
    replaced: tuple[Card, ...] = ()  #: Cards that go on elsewhere, because their subjects are in this new message.
    card_pending: tuple[str, ...] = ()  #: Pending deliveries that no digest takes from now on: they wait for a card.
    #: For a plan without a call: the deliveries and the messages that cover them.
    covered: tuple[CoveredDeliveries, ...] = ()
    broadcast: bool = False  #: Show a reply in the channel too.

    @property
    def is_recovery(self) -> bool:
        """Return whether it announces that a failed operation succeeded after all."""
        return self.card is not None and self.card.failed and appearance(self.event)[1] is Colour.GOOD

    @property
    def lead_id(self) -> str:
        """Return the delivery that all others are merged into: the most urgent one."""
        return self.content.lines[0].delivery_id

    @property
    def event(self) -> Event:
        """Return the event of the first line: the newest state, of several entities the most urgent."""
        return self.content.lines[0].event
