"""A followed card: its subscription gets every later state of the subject, whatever the filters say of it."""

from dataclasses import dataclass, replace
from typing import Self

from worker.domain.card import can_have_card, operation
from worker.domain.event import Event, Kind
from worker.domain.presentation import has_failed, is_finished, is_resolved


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
