"""What one message tells: the newest state of each entity, and what merges into it."""

from dataclasses import dataclass
from enum import StrEnum

from worker.domain.card import Card, has_card
from worker.domain.event import Event
from worker.domain.runs import is_calm
from worker.domain.subscription import Subscription


@dataclass(frozen=True, slots=True)
class Told:
    """A delivery with its event, and whom its subscription mentions for it.

    `owed`: a digest has told it, and its card is still to come. `templated` is its subscription, when that
    has a template. `only_changes`: its subscription wants to hear of a state only when it differs from the
    last one told. `broadcast`: it wants what a card's thread tells in the channel too. `inhibited`: it wants
    no calm state of a resource while its workflow's card is live. `late`: it was a dead letter.
    """

    delivery_id: str
    event: Event
    mention: str = ""
    wants_card: bool = False
    owed: bool = False
    templated: Subscription | None = None
    only_changes: bool = False
    broadcast: bool = False
    inhibited: bool = False
    late: bool = False

    @property
    def gets_card(self) -> bool:
        """Whether its subscription wants a card, and more may come about the same thing."""
        return self.wants_card and has_card(self.event)

    @property
    def is_compared(self) -> bool:
        """Whether what was told of the same thing before is to be looked at."""
        return has_card(self.event) and (self.wants_card or self.only_changes)

    @property
    def is_inhibited(self) -> bool:
        """Whether a live card of its workflow tells enough."""
        return self.inhibited and not self.owed and is_calm(self.event)


@dataclass(frozen=True, slots=True)
class Line:
    """The newest state of one entity, how many older ones this message tells too, and whose template."""

    event: Event
    delivery_id: str
    older: int = 0
    templated: Subscription | None = None


@dataclass(frozen=True, slots=True)
class Folding:
    """What one message tells: a line per entity, most urgent first; `late` so many that were dead letters."""

    lines: tuple[Line, ...]
    mentions: tuple[str, ...] = ()
    late: int = 0

    @property
    def events(self) -> int:
        """How many events it tells."""
        return sum(1 + line.older for line in self.lines)


class Call(StrEnum):
    """How Slack is told."""

    POST = "post"
    EDIT = "edit"
    REPLY = "reply"
    NONE = "none"  # the same state was told already, or a newer one


@dataclass(frozen=True, slots=True)
class Already:
    """Deliveries that need no call, and what told their state, or a newer one, before.

    `is_repeat`: nothing changed since; `told` is then as new as they are. `is_card`: it is a card, else only
    a record of what a message told. `is_inhibited`: it is the card of their workflow.
    """

    about: str
    ids: tuple[str, ...]
    told: Card
    is_card: bool = True
    is_repeat: bool = False
    is_inhibited: bool = False

    @property
    def why(self) -> str:
        """Why they need no call, in words that the leading delivery's id follows."""
        if self.is_inhibited:
            return "held back while its workflow's card is live, that of"
        return "its state was told already by" if self.is_repeat else "a newer state was told already by"


@dataclass(frozen=True, slots=True)
class Choice:
    """One call, what it tells and of which deliveries.

    `about` names the card it makes or changes, `card` is that as it is now. `owed` are deliveries that stay
    for a card of their own. `already` is all there is to a choice without a call.
    `broadcast`: a reply is to be seen in the channel too.
    """

    call: Call
    folding: Folding
    ids: tuple[str, ...]
    about: str = ""
    card: Card | None = None
    owed: tuple[str, ...] = ()
    already: tuple[Already, ...] = ()
    broadcast: bool = False

    @property
    def lead(self) -> str:
        """The delivery all others it tells are merged into: the most urgent one that is finished by it."""
        return next(line.delivery_id for line in self.folding.lines if line.delivery_id not in self.owed)

    @property
    def event(self) -> Event:
        """The newest state it tells, the most urgent of several."""
        return self.folding.lines[0].event
