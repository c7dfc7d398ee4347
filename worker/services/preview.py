"""Previews: the message that would be posted for events, without posting it."""

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from worker import sources
from worker.bootstrap.context import AppContext
from worker.domain.delivery import Delivery, State
from worker.domain.errors import TemplateError, UserError
from worker.domain.event import Event
from worker.domain.message_plan import NO_SUBSCRIPTION, PendingDelivery
from worker.domain.subscription import Subscription
from worker.pipeline.delivery.planner import merge_events
from worker.rendering.message_builder import MessageBuilder
from worker.services.deliveries import find_events
from worker.services.formatting import printable
from worker.services.integrations import select_integration
from worker.services.schemas import UnmatchedEvent
from worker.services.subscription_schema import SubscriptionSpec, subscription_from_spec
from worker.services.template_validation import validate_template
from worker.slack.blocks import JsonObject, arguments, rejection_reason
from worker.store.pagination import DeliveryFilter
from worker.templating.renderer_process import run_in_template_thread, shared_renderer

READ_AT_ONCE, MAX_READ_BYTES = 100, 4 * 1024 * 1024
MAX_REASONS = 3
MAX_MERGED = 100
MAX_DESTINATIONS = 20
UNSAVED = "(not saved)"


@dataclass(frozen=True, slots=True)
class Preview:
    """A message that would be posted."""

    message: JsonObject | None = None  #: Arguments of `chat.postMessage`; None when nothing would be posted.
    template_fault: str = ""  #: Why the default message would be posted instead of the template's.
    unmatched: Sequence[UnmatchedEvent] = ()
    destinations: Mapping[str, int] = field(default_factory=dict)  #: Where the events go, with their numbers.
    repeats: int = 0  #: The number of events with the source and id of an earlier one, which are left out.


@dataclass(frozen=True, slots=True)
class RecentPreview:
    """Which of `examined` recent events a subscription matches, and the message of the newest."""

    examined: int
    matched: Sequence[Event]  #: Newest first.
    newest: Preview
    reasons: Sequence[tuple[str, int]]  #: The commonest reasons why events do not match, with their numbers.
    destinations: Mapping[str, int]  #: Where the matching events go, most first, with their numbers.
    nowhere: Mapping[str, int]  #: The reasons why matching events go nowhere, with their numbers.

    @property
    def route(self) -> str:
        """Where the matching events go, such as `#team-payments 12, #team-shop 3, nowhere 2`."""
        parts = [f"{destination} {number:,}" for destination, number in self.destinations.items()]
        more = [f"{len(parts) - MAX_DESTINATIONS:,} more destinations"] if len(parts) > MAX_DESTINATIONS else []
        nowhere = [f"nowhere {sum(self.nowhere.values()):,}"] if self.nowhere else []
        return ", ".join((*parts[:MAX_DESTINATIONS], *more, *nowhere))


async def get_templated_subscription(app: AppContext, subscription_id: str) -> Subscription:
    """Return a subscription with the template that applies: its own, or else its integration's. Raises NotFound."""
    subscription = await app.subscriptions.find(subscription_id)
    return (await _templated_subscriptions(app)).get(subscription.id, subscription)


async def preview_events(
    encoded: Sequence[bytes], *, now_ms: int, subscription: Subscription | None, template: str | None,
    infrakitchen_url: str,
) -> Preview:  # fmt: skip
    """Preview the message of events that are pending together; `template` takes the place of the subscription's.

    Raises Unreadable for an event, UserError without events or for a wrong template.
    """
    if not encoded:
        raise UserError("There is nothing to preview: the file holds no event.")
    events: dict[tuple[str, str], tuple[int, Event]] = {}
    for place, raw in enumerate(encoded, 1):
        event = sources.parse(raw, f"{now_ms}-{place}")
        events.setdefault((event.source, event.id), (place, event))
    pending, unmatched = [], []
    for place, event in events.values():
        if subscription and (reason := subscription.mismatch_reason(event, now_ms)):
            own_id = None if event.id == event.entry_id else event.id
            unmatched.append(UnmatchedEvent(place=place, event_id=own_id, reason=printable(reason)))
        else:
            pending.append(PendingDelivery(str(place), event, subscription or NO_SUBSCRIPTION))
    if template is not None:
        kinds = {delivery.event.kind for delivery in pending}
        try:
            source = await run_in_template_thread(validate_template, template or "\n", kinds)
        except ValueError as error:
            raise UserError(f"The template cannot be used: {error}.") from None
        templated = replace(subscription or Subscription(UNSAVED, "", ""), id=UNSAVED, template=source)
        pending = [replace(delivery, subscription=templated) for delivery in pending]
    chosen = Counter(subscription.choose(delivery.event).destination for delivery in pending) if subscription else {}
    return replace(
        await _build(pending, infrakitchen_url, {}), unmatched=unmatched, destinations=chosen,
        repeats=len(encoded) - len(events),
    )  # fmt: skip


async def preview_recent(app: AppContext, spec: SubscriptionSpec, integration_name: str | None) -> RecentPreview:
    """Preview a subscription that is not saved, on the newest events; fewer of them when they are very large."""
    integration = await select_integration(app, integration_name)
    subscription = subscription_from_spec(spec, UNSAVED, integration.id, 0)
    refs, events, size = await app.events.list_recent(), list[Event](), 0
    for start in range(0, len(refs), READ_AT_ONCE):
        for kept in filter(None, await app.events.bodies(refs[start : start + READ_AT_ONCE])):
            with contextlib.suppress(sources.Unreadable):  # another version stored it
                events.append(sources.parse(kept.body, kept.entry_id))
            size += len(kept.body)
        if size > MAX_READ_BYTES:
            break
    reasons = [subscription.filters.mismatch_reason(event) for event in events]
    matched = [event for event, reason in zip(events, reasons, strict=True) if not reason]
    choices = [subscription.choose(event) for event in matched]
    templated = subscription.with_template(integration.template)
    pending = [PendingDelivery(event.id, event, templated) for event in matched[:1]]
    newest = await _build(pending, app.settings.infrakitchen_url or "", app.subscriptions.switched_off)
    return RecentPreview(
        examined=len(events),
        matched=matched,
        newest=newest,
        reasons=Counter(printable(reason, 120) for reason in reasons if reason).most_common(MAX_REASONS),
        destinations=dict(Counter(choice.destination for choice in choices if choice.destination).most_common()),
        nowhere=dict(Counter(choice.reason for choice in choices if not choice.destination).most_common()),
    )


async def find_merged_deliveries(app: AppContext, delivery: Delivery) -> list[Delivery]:
    """Return the deliveries merged into a delivery's message, oldest first, of the MAX_MERGED before it in its lane."""
    if delivery.state is not State.DELIVERED or not delivery.finished_at_ms:
        return []
    before = f"{delivery.finished_at_ms + 1}-0"
    page = await app.deliveries.page(DeliveryFilter(lanes=(delivery.lane,)), before, MAX_MERGED)
    return [other for other in reversed(page.rows) if other.merged_into == delivery.id]


async def preview_deliveries(app: AppContext, deliveries: Sequence[Delivery]) -> Preview:
    """Preview the message of stored deliveries as it would be posted now."""
    events = await find_events(app, (delivery.event_ref for delivery in deliveries))
    subscriptions = await _templated_subscriptions(app)
    pending = [
        PendingDelivery(delivery.id, event, subscriptions.get(delivery.subscription_id, NO_SUBSCRIPTION))
        for delivery in deliveries
        if (event := events[delivery.event_ref])
    ]
    return await _build(pending, app.settings.infrakitchen_url or "", app.subscriptions.switched_off)


async def _build(
    pending: Sequence[PendingDelivery], infrakitchen_url: str, switched_off: Mapping[str, TemplateError]
) -> Preview:
    if not pending:
        return Preview()
    builder = MessageBuilder(rejection_reason, shared_renderer(), infrakitchen_url)
    built = await builder.build(merge_events(pending), switched_off=switched_off)
    return Preview(arguments(built.message), str(built.template_error or ""))


async def _templated_subscriptions(app: AppContext) -> Mapping[str, Subscription]:
    integrations = {integration.id: integration for integration in await app.integrations.list_all()}
    return {
        sub.id: sub.with_template(integrations[sub.integration_id].template)
        for sub in await app.subscriptions.list_all()
        if sub.integration_id in integrations
    }
