"""A card: the one living message about a workflow run, a resource operation or an alert, in one lane.

A followed card has a subscription that gets every later state of the subject, whatever the filters say of it.
"""

import json
from dataclasses import dataclass, replace
from typing import Self

from worker.domain.delivery import Receipt
from worker.domain.event import Event, Kind
from worker.domain.presentation import has_failed, is_finished, is_rejected, is_resolved

STALE_S = 86_400  # after a day of silence an event gets a new message, not an edit far up in the channel
OPEN, OVER, FAILED, WAITS, REJECTED = "open", "over", "failed", "waits", "rejected"
PROVISION = "provision"
_ALWAYS_NEWS = frozenset((FAILED, WAITS, REJECTED))
_KINDS_BY_STATUS = {"approval_pending": WAITS, "rejected": REJECTED}

Order = tuple[float, int, int]
"""Sort key that says which of two states is newer, as `Event.order`."""


@dataclass(frozen=True, slots=True)
class Card:
    """Where a card is and which state it shows, or the record of a message without a card; field names are stored."""

    address: str  #: The conversation or user id it was posted to.
    channel: str  #: The conversation that Slack's receipt names.
    ts: str
    lead: str  #: The delivery that posted it.
    operation: str  #: What is being done to a resource; empty for other kinds.
    began_at_s: float | None
    shown: Order  #: The newest state that the message shows.
    replied: Order  #: The newest state that the message or its thread announced: an edit announces nothing.
    over: bool  #: Whether the state shown is final.
    said: str  #: `OPEN`, `OVER`, `FAILED` …: the kind of the state announced last; `OPEN` again once a retry began.
    state: str = ""  #: The state shown, and the status of its steps, to recognise a repeat.
    steps: str = ""
    failed: bool = False  #: Whether it showed a failure, and no recovery was announced since.
    event: str = ""  #: The reference of the event whose state is shown, to render the message again.

    @property
    def receipt(self) -> Receipt:
        """Return Slack's receipt, by which the message is edited and replied to."""
        return Receipt(self.channel, self.ts)

    def accepts(self, event: Event, address: str) -> bool:
        """Return whether a state of the same subject belongs on this card; otherwise it starts a new one."""
        if self.address != address:
            return False  # the destination is another conversation now
        if event.order <= self.shown:
            return True
        if is_resolved(event):
            return True  # it ends the open episode, however long that was: Grafana 12 writes the end into its start
        starts_again = self.over and not self.failed and not is_finished(event)
        is_timed = self.began_at_s is not None and event.started_at_s is not None
        fires_again = is_timed and event.kind is Kind.ALERT and self.began_at_s != event.started_at_s
        is_other = fires_again or operation(event) not in ("", self.operation or PROVISION)
        return not (starts_again or is_other or event.order[0] - self.shown[0] > STALE_S)

    @property
    def looks_open(self) -> bool:
        """Return whether its message looks as if something went on or were still wrong."""
        return not self.over or self.failed

    def is_older_than(self, event: Event) -> bool:
        """Return whether the card shows an older state than the event's."""
        return event.order > self.shown

    def shows_same_state(self, event: Event, *, with_steps: bool) -> bool:
        """Return whether the event changes nothing; `with_steps` compares the status of the steps too."""
        return self.state == state_of(event) and (not with_steps or self.steps == steps_of(event))

    def needs_reply(self, event: Event) -> bool:
        """Return whether a reply in the thread is due, because Slack does not notify people of an edit.

        Failures, rejections, approvals that wait, recoveries and resolutions need one, unless a newer state is already
        shown.
        """
        kind = _news_kind(event)
        has_ended = kind == OVER and (self.failed or self.said == FAILED or event.kind is Kind.ALERT)
        is_news = kind != self.said and (kind in _ALWAYS_NEWS or has_ended)
        return event.order > self.replied and event.order >= self.shown and is_news

    def covers_resource(self, event: Event, address: str) -> bool:
        """Return whether this run's card replaces a resource's message: for states before its end, however late."""
        is_live = not self.over and event.order[0] - self.shown[0] <= STALE_S
        return self.address == address and (is_live or event.order <= self.shown)

    def with_state(self, event: Event) -> "Card":
        """Return the card after an edit to this state."""
        kind = _news_kind(event)
        return replace(
            self, shown=event.order, over=is_finished(event), state=state_of(event), steps=steps_of(event),
            operation=operation(event) or self.operation, said=OPEN if kind == OPEN else self.said,
            failed=self.failed or kind == FAILED, event=event.ref,
        )  # fmt: skip

    def with_reply(self, event: Event) -> "Card":
        """Return the card after a reply about this state."""
        kind = _news_kind(event)
        return replace(self, replied=event.order, said=kind, failed=kind == FAILED or (self.failed and kind != OVER))


def can_have_card(event: Event) -> bool:
    """Return whether the event can have a card: later events must be able to name the same subject."""
    is_named = event.entity.id or (event.kind is Kind.ALERT and event.fingerprint)
    return event.kind is not Kind.OTHER and bool(is_named)


def new_card(event: Event, address: str, receipt: Receipt, lead_id: str) -> Card:
    """Return the card of a message that was just posted."""
    return Card(
        address=address, channel=receipt.channel, ts=receipt.ts, lead=lead_id,
        operation=operation(event), began_at_s=event.started_at_s, shown=event.order, replied=event.order,
        over=is_finished(event), said=_news_kind(event), state=state_of(event), steps=steps_of(event),
        failed=has_failed(event), event=event.ref,
    )  # fmt: skip


def state_of(event: Event) -> str:
    """Return what must differ for a change of state: action, state, status and severity."""
    return f"{event.action}|{event.state}|{event.status}|{event.severity.name}"


def steps_of(event: Event) -> str:
    """Return the status of each step."""
    return "|".join(step.status for step in event.steps)


def operation(event: Event) -> str:
    """Return what is done to a resource: to destroy it is another operation than to create it. Empty if unknown.

    What is rejected is known by the card: a resource whose destroy is rejected is in the state `provisioned`.
    """
    return event.state.removesuffix("ed") if event.kind is Kind.RESOURCE and not is_rejected(event) else ""


def _news_kind(event: Event) -> str:
    if event.kind is not Kind.ALERT and event.status in _KINDS_BY_STATUS:
        return _KINDS_BY_STATUS[event.status]
    return FAILED if has_failed(event) else OVER if is_finished(event) else OPEN


def pack_card(card: Card) -> str:
    """Encode a card for the store. `asdict` would take four times as long, and a digest can have 10,000."""
    return json.dumps({name: getattr(card, name) for name in Card.__slots__})


def unpack_card(packed: str) -> Card:
    """Decode what `pack_card` encoded."""
    fields = json.loads(packed)
    return Card(**fields | {name: tuple(fields[name]) for name in ("shown", "replied")})


@dataclass(frozen=True, slots=True)
class FollowedCard:
    """The part of the stream in which one subscription gets every state of one subject.

    Places of the stream compare as texts. Routing an entry again gives the same answer, whatever was read meanwhile.
    """

    opened: str  #: The place of the newest event that the filters matched and that did not end the card.
    episode: str  #: The operation on the resource, or the start of the alert; empty for other kinds.
    ended: str = ""  #: The place of the event that ended the card; empty while it is open.
    destination: str = ""  #: Where the card is; empty for one of an earlier version.

    @classmethod
    def after(cls, known: Self | None, event: Event, destination: str, *, is_match: bool) -> Self | None:
        """Return what is known after an event that makes a delivery; the same object if that changes nothing."""
        if known and known.covers(event):
            return replace(known, ended=place_of(event)) if _ends(event) else known
        opens = is_match and can_have_card(event) and not _ends(event)
        return cls(place_of(event), _episode(event), destination=destination) if opens else known

    @property
    def changed(self) -> str:
        """Return the place of the event that changed this last."""
        return max(self.opened, self.ended)

    def covers(self, event: Event) -> bool:
        """Return whether the event is a later state of the same card."""
        place, episode = place_of(event), _episode(event)
        is_same = is_resolved(event) or "" in (episode, self.episode) or episode == self.episode
        return place > self.opened and not (self.ended and place > self.ended) and is_same


def place_of(event: Event) -> str:
    """Return the place of an event in the stream, as a text that sorts like it."""
    _, ms, number = event.order
    return f"{ms:020}-{number:020}"


def _episode(event: Event) -> str:
    return str(event.started_at_s or "") if event.kind is Kind.ALERT else operation(event)


def _ends(event: Event) -> bool:
    """Return whether no later state belongs on the card; a failure may be retried."""
    return is_finished(event) and not has_failed(event)
