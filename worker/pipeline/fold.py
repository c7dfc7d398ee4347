"""Fold: pending deliveries become what each call tells, and which delivery merges into which."""

from collections.abc import Container, Iterable, Mapping, Sequence
from types import MappingProxyType

from worker.domain.card import Card, Order, has_card
from worker.domain.folding import Already, Call, Choice, Folding, Line, Told
from worker.domain.looks import is_over, urgency
from worker.pipeline.digest import LINES_MOST

# The worst of a digest that cannot list all; any other thing gets its card with its next state.
CARDS_OF_DIGEST = 10


def fold(told: Sequence[Told]) -> Folding:
    """One line per entity, of its newest state; the same event for two subscriptions is told once."""
    newest: dict[str, Told] = {}
    seen: dict[str, set[tuple[str, str]]] = {}
    for one in told:
        about = one.event.about
        seen.setdefault(about, set()).add((one.event.source, one.event.id))
        if about not in newest or _rank(one) > _rank(newest[about]):
            newest[about] = one
    lines = [
        Line(one.event, one.delivery_id, len(seen[about]) - 1, one.templated) for about, one in newest.items()
    ]
    return _worst_first(
        lines, (one.mention for one in told if one.mention), late=sum(one.late for one in told)
    )


def _rank(one: Told) -> tuple[Order, bool]:
    """What is told of several: the newest; of the same event, the one somebody wrote a template for."""
    return one.event.order, one.templated is not None


def _worst_first(lines: Iterable[Line], mentions: Iterable[str], *, late: int = 0) -> Folding:
    """Whoever is mentioned is mentioned once."""
    ordered = sorted(lines, key=lambda line: (-urgency(line.event), line.event.kind, line.event.order))
    return Folding(tuple(ordered), tuple(dict.fromkeys(mentions)), late)


def choose(
    told: Sequence[Told],
    cards: Mapping[str, Card],
    address: str,
    *,
    records: Mapping[str, Card] = MappingProxyType({}),
    after_digest: bool = False,
) -> list[Choice]:
    """What may be told next, the best first.

    `cards` are those these things have, by what they are about; `records` say the same of what was told
    without a card. All that is new goes into one message, and that first, but not twice in a row while a card
    waits to be made or changed.
    """
    groups: dict[str, list[Told]] = {}
    for one in told:
        groups.setdefault(one.event.about, []).append(one)
    choices = {
        about: _unchanged(group, cards.get(about), records.get(about), address)
        or _alone(group, cards.get(about), address)
        for about, group in groups.items()
    }
    already = [one for one in choices.values() if one.call is Call.NONE]
    if already:
        return [_no_call(already)]
    owed = {about for about, group in groups.items() if any(one.owed for one in group)}
    fresh = {about: one for about, one in choices.items() if one.card is None and about not in owed}
    others = [one for about, one in choices.items() if about not in fresh]
    # Edits have a pace of their own, and starve nobody.
    others.sort(key=lambda one: (one.call is Call.POST, -urgency(one.event)))
    new = list(fresh.values())
    if len(new) > 1:
        waiting = [urgency(choices[about].event) for about in owed] if len(new) > LINES_MOST else None
        carded = {one.delivery_id for about in fresh for one in groups[about] if one.gets_card}
        new = [_together(new, carded, waiting)]
    return [*others, *new] if after_digest else [*new, *others]


def _alone(group: Sequence[Told], card: Card | None, address: str) -> Choice:
    """What is to be told of one thing."""
    folding = fold(group)
    ids = tuple(one.delivery_id for one in group)
    newest = folding.lines[0].event
    if not (has_card(newest) and any(one.wants_card for one in group)):
        return Choice(Call.POST, folding, ids)
    if card is None or not card.is_of(newest, address):
        return Choice(Call.POST, folding, ids, newest.about)
    call = Call.EDIT if card.lacks(newest) else Call.REPLY if card.owes_reply(newest) else Call.NONE
    is_repeat = card.repeats(newest, with_steps=False)
    already = (Already(newest.about, ids, card, is_repeat=is_repeat),) if call is Call.NONE else ()
    broadcast = any(one.broadcast for one in group)
    return Choice(call, folding, ids, newest.about, card, already=already, broadcast=broadcast)


def _unchanged(group: Sequence[Told], card: Card | None, record: Card | None, address: str) -> Choice | None:
    """No call, where only changes are wanted and this is none; None when it is to be told."""
    if not (card or record) or any(one.owed or not one.only_changes for one in group):
        return None
    folding = fold(group)
    newest = folding.lines[0].event
    on_card = any(one.wants_card for one in group)
    card, record = (one if one and one.is_of(newest, address) else None for one in (card, record))
    if card and on_card and card.owes_reply(newest):
        return None
    last = card if card and on_card else max(filter(None, (card, record)), key=_shown, default=None)
    if last is None or (last.lacks(newest) and not last.repeats(newest, with_steps=on_card and last is card)):
        return None
    ids = tuple(one.delivery_id for one in group)
    already = Already(
        newest.about,
        ids,
        last.showing(newest).told(newest) if last.lacks(newest) else last,
        is_card=last is card,
        is_repeat=last.repeats(newest, with_steps=False),
    )
    return Choice(Call.NONE, folding, ids, already=(already,))


def _shown(told: Card) -> Order:
    return told.shown


def _no_call(some: Sequence[Choice]) -> Choice:
    """All that was told already, settled in one step."""
    folding = _worst_first((line for one in some for line in one.folding.lines), ())
    ids = tuple(id_ for one in some for id_ in one.ids)
    return Choice(Call.NONE, folding, ids, already=tuple(each for one in some for each in one.already))


def _together(some: Sequence[Choice], carded: Container[str], waiting: list[int] | None) -> Choice:
    """One message of several things.

    The worst stay for a card each, unless `waiting` is None: so many of any urgency, with those that wait for
    theirs already. `carded` are the deliveries that can get one.
    """
    foldings = [one.folding for one in some]
    folding = _worst_first(
        (line for one in foldings for line in one.lines),
        (mention for one in foldings for mention in one.mentions),
        late=sum(one.late for one in foldings),
    )
    owed: list[str] = []
    urgencies = list(waiting or ())
    for line in folding.lines if waiting is not None else ():
        rank = urgency(line.event)
        if sum(one >= rank for one in urgencies) >= CARDS_OF_DIGEST:
            break
        if line.delivery_id in carded and not is_over(line.event):
            owed.append(line.delivery_id)
            urgencies.append(rank)
    return Choice(Call.POST, folding, tuple(id_ for one in some for id_ in one.ids), owed=tuple(owed))
