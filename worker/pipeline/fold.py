"""Fold: pending deliveries become what each call tells, and which delivery merges into which."""

from collections.abc import Container, Iterable, Mapping, Sequence
from types import MappingProxyType

from worker.domain.card import Card, Order, has_card
from worker.domain.folding import Already, Call, Choice, Folding, Line, Told
from worker.domain.looks import is_over, urgency
from worker.domain.runs import runs_by_resource, shows, will_show
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
    runs: Mapping[str, Card] = MappingProxyType({}),
    after_digest: bool = False,
    singly: bool = False,
) -> list[Choice]:
    """What may be told next, the best first.

    `cards` are those these things have, by what they are about; `records` say the same of what was told
    without one, by a digest or in plain; `runs` are the cards of the workflows that work on these resources.
    All that is new goes into one message, and that first, but not twice in a row while a card waits to be
    made or changed; nor at all where each thing is to be told `singly`.
    """
    groups = _by_about(told)
    choices = {
        about: _inhibited(group, cards.get(about), runs.get(about), address)
        or _unchanged(group, cards.get(about), records.get(about), address)
        or _alone(group, cards.get(about), records.get(about), address)
        for about, group in groups.items()
    }
    for about in _waiting_for_run(choices, groups, cards):
        del choices[about], groups[about]
    already = [one for one in choices.values() if one.call is Call.NONE]
    if already:
        return [_no_call(already)]
    owed = {about for about, group in groups.items() if any(one.owed for one in group)}
    fresh = {about: one for about, one in choices.items() if one.card is None and about not in owed}
    others = [one for about, one in choices.items() if about not in fresh]
    # Edits have a pace of their own, and starve nobody.
    others.sort(key=lambda one: (one.call is Call.POST, -urgency(one.event)))
    new = list(fresh.values())
    if len(new) > 1 and not singly:
        waiting = [urgency(choices[about].event) for about in owed] if len(new) > LINES_MOST else None
        carded = {one.delivery_id for about in fresh for one in groups[about] if one.gets_card}
        new = [_together(new, carded, waiting)]
    return [*others, *new] if after_digest else [*new, *others]


def _by_about(told: Sequence[Told]) -> dict[str, list[Told]]:
    groups: dict[str, list[Told]] = {}
    for one in told:
        groups.setdefault(one.event.about, []).append(one)
    return groups


def _alone(group: Sequence[Told], card: Card | None, record: Card | None, address: str) -> Choice:
    """What is to be told of one thing. A card never shows what is older than what any message told."""
    folding = fold(group)
    ids = tuple(one.delivery_id for one in group)
    newest = folding.lines[0].event
    if not (has_card(newest) and any(one.wants_card for one in group)):
        return Choice(Call.POST, folding, ids)
    if record and record.address == address and record.shown > newest.order and _is_later(record, card):
        return _no_news(folding, ids, record, is_card=False)
    if card is None or not card.is_of(newest, address):
        return Choice(Call.POST, folding, ids, newest.about)
    if not card.lacks(newest) and not card.owes_reply(newest):
        return _no_news(folding, ids, card, is_card=True)
    call = Call.EDIT if card.lacks(newest) else Call.REPLY
    broadcast = any(one.broadcast for one in group)
    return Choice(call, folding, ids, newest.about, card, broadcast=broadcast)


def _inhibited(group: Sequence[Told], card: Card | None, run: Card | None, address: str) -> Choice | None:
    """No call, where the live card of its workflow tells enough; None when it is to be told.

    What has a card of its own is shown there: a card that stood still would lie.
    """
    if run is None or card or not all(one.is_inhibited for one in group):
        return None
    folding = fold(group)
    newest = folding.lines[0].event
    if not shows(run, newest, address):
        return None
    ids = tuple(one.delivery_id for one in group)
    return Choice(Call.NONE, folding, ids, already=(Already(newest.about, ids, run, is_inhibited=True),))


def _waiting_for_run(
    choices: Mapping[str, Choice], groups: Mapping[str, Sequence[Told]], cards: Mapping[str, Card]
) -> list[str]:
    """The resources whose workflow is about to get the card that stands for them."""
    calm = [
        about
        for about, group in groups.items()
        if about not in cards and all(one.is_inhibited for one in group)
    ]
    if not calm:
        return []
    runs = runs_by_resource(one.event for one in choices.values() if one.call is Call.POST and one.about)
    return [
        about
        for about in calm
        if about in runs and will_show(choices[runs[about]].event, choices[about].event)
    ]


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
    told = last.showing(newest).told(newest) if last.lacks(newest) else last
    return _no_news(folding, ids, told, is_card=last is card)


def _no_news(folding: Folding, ids: tuple[str, ...], told: Card, *, is_card: bool) -> Choice:
    """Nothing but what `told` told already, or something newer."""
    newest = folding.lines[0].event
    is_repeat = told.repeats(newest, with_steps=False)
    already = Already(newest.about, ids, told, is_card=is_card, is_repeat=is_repeat)
    return Choice(Call.NONE, folding, ids, already=(already,))


def _is_later(record: Card, card: Card | None) -> bool:
    """Whether a message told something newer than the card shows."""
    return card is None or record.shown > card.shown


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
