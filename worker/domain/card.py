"""A card: the one living message about a workflow run, a resource operation or an alert, in one lane."""

import json
from dataclasses import dataclass, replace

from worker.domain.delivery import Receipt
from worker.domain.event import Event, Kind
from worker.domain.looks import has_failed, is_over

STALE_S = 86_400  # what happens after a day of silence is news again, not an edit far up in the channel
OPEN, OVER, FAILED = "open", "over", "failed"

Order = tuple[float, int, int]
"""Which of two states is newer, as of `Event.order`."""


@dataclass(frozen=True, slots=True)
class Card:
    """Where it is, and which state it shows.

    `address` is where it was posted to, `channel` the conversation Slack named for that; `lead` the delivery
    that posted it. `shown` is the state it shows, which `state` and `steps` describe, `replied` the newest
    one its post or thread told, and `said` what sort of state that was.
    """

    address: str
    channel: str
    ts: str
    lead: str
    operation: str
    began_at_s: float | None
    shown: Order
    replied: Order
    over: bool
    said: str
    state: str = ""
    steps: str = ""

    @property
    def at(self) -> Receipt:
        """Slack's proof of it, by which it is edited and replied to."""
        return Receipt(self.channel, self.ts)

    def is_of(self, event: Event, address: str) -> bool:
        """Whether a state of the same thing belongs on this card, or begins a new one."""
        if self.address != address:
            return False  # the destination is another conversation by now
        if event.order <= self.shown:
            return True
        begun_anew = self.over and not is_over(event)
        other = self.operation != operation(event) or _other_episode(self.began_at_s, event)
        return not (begun_anew or other or event.order[0] - self.shown[0] > STALE_S)

    def lacks(self, event: Event) -> bool:
        """Whether it shows an older state than this."""
        return event.order > self.shown

    def repeats(self, event: Event, *, with_steps: bool) -> bool:
        """Whether nothing changed since: a card that is edited shows how far its steps are too."""
        return self.state == state_of(event) and (not with_steps or self.steps == steps_of(event))

    def owes_reply(self, event: Event) -> bool:
        """Whether its thread is still to tell this: an edit alone makes nobody look.

        A state that came late and is older than the one shown is no news any more.
        """
        return event.order > self.replied and event.order >= self.shown and self._is_news(event)

    def showing(self, event: Event) -> "Card":
        """After it was edited to this state."""
        return replace(
            self, shown=event.order, over=is_over(event), state=state_of(event), steps=steps_of(event)
        )

    def told(self, event: Event) -> "Card":
        """After its thread told this state."""
        return replace(self, replied=event.order, said=_sort(event))

    def _is_news(self, event: Event) -> bool:
        """Failures, recoveries and resolutions are told, all else is only shown."""
        sort = _sort(event)
        ended = sort == OVER and (self.said == FAILED or event.kind is Kind.ALERT)
        return sort != self.said and (sort == FAILED or ended)


def has_card(event: Event) -> bool:
    """Whether more may come about the same thing: what names nothing is told once and for all."""
    named = event.entity.id or (event.kind is Kind.ALERT and event.fingerprint)
    return event.kind is not Kind.OTHER and bool(named)


def new_card(event: Event, address: str, receipt: Receipt, lead: str) -> Card:
    """What the message just posted became."""
    return Card(
        address, receipt.channel, receipt.ts, lead, operation(event), event.started_at_s,
        event.order, event.order, is_over(event), _sort(event), state_of(event), steps_of(event),
    )  # fmt: skip


def state_of(event: Event) -> str:
    """What must differ for a state to be a change: what is done to the thing, how that stands, how bad."""
    return f"{event.action}|{event.state}|{event.status}|{event.severity.name}"


def steps_of(event: Event) -> str:
    """How far its steps are."""
    return "|".join(step.status for step in event.steps)


def _sort(event: Event) -> str:
    return FAILED if has_failed(event) else OVER if is_over(event) else OPEN


def _other_episode(began_at_s: float | None, event: Event) -> bool:
    """An alert that fires again: nobody looks at the card of the last time."""
    known = began_at_s is not None and event.started_at_s is not None
    return known and event.kind is Kind.ALERT and began_at_s != event.started_at_s


def operation(event: Event) -> str:
    """What is being done to the thing: a resource that is destroyed is another story than its making."""
    return event.state.removesuffix("ed") if event.kind is Kind.RESOURCE else ""


def pack_card(card: Card) -> str:
    """A card as it is kept. Of a digest there may be ten thousand: `asdict` would take four times as long."""
    return json.dumps({name: getattr(card, name) for name in Card.__slots__})


def unpack_card(kept: str) -> Card:
    """The card that `pack_card` packed."""
    found = json.loads(kept)
    for name in ("shown", "replied"):
        at_s, ms, n = found[name]
        found[name] = (float(at_s), int(ms), int(n))
    return Card(**found)
