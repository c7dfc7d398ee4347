"""Planner: from the pending deliveries of a lane to the calls that Slack may get next.

`RULES` decide about one subject (a workflow run, a resource, an alert); `plan_calls` puts the calls in order and joins
new subjects in a digest. Each option of a subscription is read in one function: `mention` and templates in
`merge_events`, filters in `skip_followed`, `--inhibit-resources` in `suppress_by_workflow`, `--only-changes` in
`skip_repeats`, `--style` and `--broadcast` in `get_card_call`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile

from worker.domain.card import Card, can_have_card
from worker.domain.event import Event
from worker.domain.message_plan import CallKind, CoveredDeliveries, Line, MessageContent, PendingDelivery, PlannedCall
from worker.domain.presentation import has_failed, is_finished, is_resolved, urgency
from worker.rendering.digest import LINES_LIMIT

# Of a storm, the most urgent get a card each; the others are in the digest, and get a card with their next state.
CARDS_PER_DIGEST = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The deliveries that were taken together, and what their channel shows already."""

    deliveries: Sequence[PendingDelivery]
    address: str  #: The conversation or user the lane posts to.
    cards: Mapping[str, Card] = field(default_factory=dict)  #: By subject key: the card of the subject.
    #: By subject key: the newest state that a message without a card showed, as a digest or in plain style.
    records: Mapping[str, Card] = field(default_factory=dict)
    #: By the subject key of a resource: the card of the workflow that works on it.
    runs: Mapping[str, Card] = field(default_factory=dict)
    #: How many subjects the last call of the session showed; 0 before its first. Digests and cards take turns.
    last_lines: int = 0
    isolate: bool = False  #: Slack rejected a digest of these: plan a message per subject to find the one at fault.


@dataclass(frozen=True, slots=True)
class _Subject:
    """One thing that events are about, with its deliveries in the batch and what the channel shows of it."""

    key: str
    deliveries: Sequence[PendingDelivery]
    content: MessageContent
    address: str
    card: Card | None
    record: Card | None
    run: Card | None

    @property
    def newest(self) -> Event:
        return self.content.lines[0].event

    @property
    def wants_card(self) -> bool:
        return any(delivery.wants_card for delivery in self.deliveries)

    @property
    def is_followed(self) -> bool:
        """Return whether the filters of the subscriptions match none of its deliveries."""
        return all(delivery.is_followed for delivery in self.deliveries)

    @property
    def is_card_pending(self) -> bool:
        """Return whether a digest left it out, because its card is to be posted."""
        return any(delivery.card_pending for delivery in self.deliveries)

    @property
    def is_suppressible(self) -> bool:
        """Return whether the card of its workflow may replace all its deliveries."""
        return self.card is None and all(delivery.is_suppressible for delivery in self.deliveries)

    def post(self, *, subject_key: str = "") -> PlannedCall:
        """Return the plan of a message of its own; with `subject_key` it becomes the subject's card."""
        ids = tuple(delivery.delivery_id for delivery in self.deliveries)
        replaced = (self.card,) if self.card and self.card.looks_open else ()
        return PlannedCall(
            kind=CallKind.POST, content=self.content, delivery_ids=ids, subject_key=subject_key, replaced=replaced
        )

    def skip(
        self, shown_by: Card, *, is_card: bool = True, by_workflow: bool = False, is_followed: bool = False
    ) -> PlannedCall:
        """Return the plan that makes no call, because `shown_by` covers the newest state."""
        call = self.post()
        is_repeat = not (by_workflow or is_followed) and shown_by.shows_same_state(self.newest, with_steps=False)
        covered = CoveredDeliveries(
            self.key, call.delivery_ids, shown_by, is_card=is_card, is_repeat=is_repeat, by_workflow=by_workflow,
            is_followed=is_followed,
        )  # fmt: skip
        return replace(call, kind=CallKind.NONE, covered=(covered,))


def merge_events(deliveries: Sequence[PendingDelivery], known: Iterable[Card | None] = ()) -> MessageContent:
    """Merge deliveries into one line per subject: its newest state, and how many older ones it covers.

    Of the older ones, failures are counted that came after the states that `known` announced.

    The same event for two subscriptions counts once; the delivery with a template writes the line. Only the state that
    is shown mentions people: an approval that is no longer waited for needs none of them.
    """
    newest: dict[str, PendingDelivery] = {}
    event_ids: dict[str, set[tuple[str, str]]] = {}
    newest_first = sorted(
        deliveries, key=lambda item: (item.event.order, item.template_subscription is not None), reverse=True
    )
    for delivery in newest_first:
        event = delivery.event
        newest.setdefault(event.subject_key, delivery)
        event_ids.setdefault(event.subject_key, set()).add((event.source, event.id))
    announced = max((card.replied for card in known if card), default=())
    failed = {delivery.event.order: delivery.event for delivery in deliveries if has_failed(delivery.event)}
    hidden = Counter(
        event.subject_key
        for order, event in failed.items()
        if announced < order < newest[event.subject_key].event.order
    )
    lines = [
        Line(delivery.event, delivery.delivery_id, len(event_ids[key]) - 1, delivery.template_subscription, hidden[key])
        for key, delivery in newest.items()
    ]
    mentions = (
        delivery.mention
        for delivery in deliveries
        if delivery.mention and delivery.event.order == newest[delivery.event.subject_key].event.order
    )
    return _most_urgent_first(lines, mentions, replayed=sum(delivery.is_replayed for delivery in deliveries))


def _most_urgent_first(lines: Iterable[Line], mentions: Iterable[str], *, replayed: int = 0) -> MessageContent:
    return MessageContent(tuple(sorted(lines, key=_rank)), tuple(dict.fromkeys(mentions)), replayed)


def _rank(line: Line) -> tuple[int, str, tuple[float, int, int]]:
    """Return the sort key of a line: the most urgent first, then the oldest."""
    return -urgency(line.event), line.event.kind, line.event.order


def plan_calls(batch: Batch) -> list[PlannedCall]:
    """Return the calls that may be made next, the best first; the caller makes one and plans again.

    Deliveries that need no call come first, all in one plan. New subjects share one message, except the most urgent of
    a storm, which are posted alone: the first of them before the digest, the others in turn with the next digests.
    """
    groups: dict[str, list[PendingDelivery]] = {}
    for delivery in batch.deliveries:
        groups.setdefault(delivery.event.subject_key, []).append(delivery)
    subjects = {key: _subject(batch, key, deliveries) for key, deliveries in groups.items()}
    calls = {
        key: next((call for rule in RULES if (call := rule(subject))), None) or subject.post()
        for key, subject in subjects.items()
    }
    workflows = [call.event for call in calls.values() if call.kind is CallKind.POST and call.subject_key]
    runs = {key: event for event in workflows for key in event.resource_keys}
    calls = {key: call for key, call in calls.items() if not _awaits_workflow_card(subjects[key], runs)}
    if covered := [call for call in calls.values() if call.kind is CallKind.NONE]:
        return [_join(covered)]
    new = {key for key, call in calls.items() if call.card is None and not subjects[key].is_card_pending}
    posts = [call for key, call in calls.items() if key in new]
    card_calls = [call for key, call in calls.items() if key not in new]
    urgent, waiting = list[PlannedCall](), list[int]()
    if len(posts) > 1 and not batch.isolate:
        waiting = [urgency(subject.newest) for subject in subjects.values() if subject.is_card_pending]
        urgent = _find_urgent(posts, waiting)
        posts = [_join_in_digest(posts, urgent)]
    is_after_digest = batch.last_lines > 1
    if is_after_digest:
        card_calls += urgent
    # Edits come first: they have a rate limit of their own and delay no post.
    card_calls.sort(key=lambda call: (call.kind is CallKind.POST, -urgency(call.event)))
    if is_after_digest:
        return [*card_calls, *posts]
    if urgent and not waiting and batch.last_lines != 1:
        others = tuple(id_ for call in urgent[1:] for id_ in call.delivery_ids)
        posts.insert(0, replace(urgent[0], card_pending=others))
    return [*posts, *card_calls]


def _subject(batch: Batch, key: str, deliveries: Sequence[PendingDelivery]) -> _Subject:
    """Return the subject: states that only follow its card are no part of a message that becomes the card."""
    card, record = batch.cards.get(key), batch.records.get(key)
    content = merge_events(deliveries, (card, record))
    if not (card and card.accepts(content.lines[0].event, batch.address)):
        matching = [delivery for delivery in deliveries if not delivery.is_followed]
        if 0 < len(matching) < len(deliveries):
            deliveries, content = matching, merge_events(matching, (card, record))
    return _Subject(key, deliveries, content, batch.address, card=card, record=record, run=batch.runs.get(key))


def skip_followed(subject: _Subject) -> PlannedCall | None:
    """Skip a state that the filters do not match, unless it changes an open card or is news about the last message."""
    newest, card, record = subject.newest, subject.card, subject.record
    if subject.is_card_pending or not subject.is_followed or (card and card.accepts(newest, subject.address)):
        return None
    known = [shown for shown in (card, record) if shown and shown.address == subject.address]
    last = max(known, key=lambda shown: shown.shown, default=None)
    if last is None or last.needs_reply(newest):
        return None
    return subject.skip(last, is_card=last is card, is_followed=True)


def suppress_by_workflow(subject: _Subject) -> PlannedCall | None:
    """Skip routine states of a resource while the card of its workflow is live (`--inhibit-resources`).

    A resource that has a card of its own is never skipped: its card would show an old state.
    """
    if subject.run and subject.is_suppressible and subject.run.covers_resource(subject.newest, subject.address):
        return subject.skip(subject.run, by_workflow=True)
    return None


def skip_repeats(subject: _Subject) -> PlannedCall | None:
    """Skip a state that is the same as the last one shown, or older (`--only-changes`)."""
    newest = subject.newest
    if not all(delivery.subscription.only_changes for delivery in subject.deliveries):
        return None
    accepted = [shown for shown in (subject.card, subject.record) if shown and shown.accepts(newest, subject.address)]
    if not accepted:
        return None
    has_card = subject.wants_card and accepted[0] is subject.card
    last = accepted[0] if has_card else max(accepted, key=lambda shown: shown.shown)
    if has_card and last.needs_reply(newest):
        return None
    is_new = last.is_older_than(newest)
    if is_new and not last.shows_same_state(newest, with_steps=has_card):
        return None
    return subject.skip(last.with_state(newest).with_reply(newest) if is_new else last, is_card=last is subject.card)


def get_card_call(subject: _Subject) -> PlannedCall | None:
    """Post, update or skip the subject's card (`--style card`); None without a card.

    A card never shows a state that is older than one that another message has shown.
    """
    newest, card, record = subject.newest, subject.card, subject.record
    if not (can_have_card(newest) and subject.wants_card):
        return None
    newest_known = max(newest.order, card.shown) if card else newest.order
    if record and record.address == subject.address and record.shown > newest_known:
        return subject.skip(record, is_card=False)
    if card is None or not card.accepts(newest, subject.address):
        return subject.post(subject_key=subject.key)
    is_new = card.is_older_than(newest)
    if not is_new and not card.needs_reply(newest):
        return subject.skip(card)
    kind = CallKind.EDIT if is_new else CallKind.REPLY
    broadcast = any(delivery.subscription.broadcast for delivery in subject.deliveries)
    call = replace(subject.post(subject_key=subject.key), kind=kind, card=card, replaced=(), broadcast=broadcast)
    return _with_start(call, card.began_at_s) if is_resolved(newest) and card.began_at_s is not None else call


def _with_start(call: PlannedCall, began_at_s: float) -> PlannedCall:
    """Return the call with the start of the card's alert: Grafana 12 writes the end into that of a resolved one."""
    line = call.content.lines[0]
    event = replace(line.event, started_at_s=began_at_s)
    return replace(call, content=replace(call.content, lines=(replace(line, event=event),)))


RULES = (skip_followed, suppress_by_workflow, skip_repeats, get_card_call)
"""The first rule that returns a call decides; where none does, the subject is posted without a card."""


def _awaits_workflow_card(subject: _Subject, runs: Mapping[str, Event]) -> bool:
    """Return whether a resource stays pending, because the card of its workflow is about to be posted."""
    run = runs.get(subject.key)
    return run is not None and subject.is_suppressible and (not is_finished(run) or subject.newest.order <= run.order)


def _join(calls: Sequence[PlannedCall]) -> PlannedCall:
    """Join the deliveries and contents of calls of one kind."""
    content = _most_urgent_first(
        (line for call in calls for line in call.content.lines),
        (mention for call in calls for mention in call.content.mentions),
        replayed=sum(call.content.replayed_count for call in calls),
    )
    ids = tuple(id_ for call in calls for id_ in call.delivery_ids)
    covered = tuple(covered for call in calls for covered in call.covered)
    replaced = tuple(card for call in calls for card in call.replaced)
    return PlannedCall(kind=calls[0].kind, content=content, delivery_ids=ids, covered=covered, replaced=replaced)


def _find_urgent(posts: Sequence[PlannedCall], waiting: Iterable[int]) -> list[PlannedCall]:
    """Return the posts of a storm that stay out of its digest: the most urgent, if they can become cards.

    A storm has more subjects than a digest lists. What is no more urgent than half of it gets no message of its own.
    `waiting` are the urgencies of those that wait for their card already, at most `CARDS_PER_DIGEST` of one urgency.
    """
    if len(posts) <= LINES_LIMIT:
        return []
    ranked = sorted(posts, key=lambda call: _rank(call.content.lines[0]))
    usual = urgency(ranked[len(ranked) // 2].event)
    urgencies = list(waiting)
    urgent: list[PlannedCall] = []
    for call in takewhile(lambda call: urgency(call.event) > usual, ranked):
        level = urgency(call.event)
        if sum(other >= level for other in urgencies) >= CARDS_PER_DIGEST:
            break
        if call.subject_key and not is_finished(call.event):
            urgent.append(call)
            urgencies.append(level)
    return urgent


def _join_in_digest(posts: Sequence[PlannedCall], urgent: Sequence[PlannedCall]) -> PlannedCall:
    """Join new subjects in one message, without the `urgent` ones."""
    keys = {call.subject_key for call in urgent}
    joined = _join([call for call in posts if call.subject_key not in keys])
    card_pending = tuple(id_ for call in urgent for id_ in call.delivery_ids)
    return replace(joined, content=replace(joined.content, urgent_count=len(urgent)), card_pending=card_pending)
