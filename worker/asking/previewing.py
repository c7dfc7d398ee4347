"""What would be posted for events, without posting it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from worker import sources
from worker.asking.rows import Row, shown
from worker.asking.templating import checked_template
from worker.domain.errors import Problem
from worker.domain.event import Event
from worker.domain.folding import Told
from worker.domain.subscription import Subscription
from worker.pipeline.fold import fold
from worker.pipeline.template import Writer
from worker.slack.blocks import arguments
from worker.slack.given import why_not
from worker.slack.limits import near

if TYPE_CHECKING:
    from worker.bootstrap import Services
    from worker.slack.blocks import JsonObject


@dataclass(frozen=True, slots=True)
class Unmatched:
    """An event the subscription does not match, by its place in the file; its id if it has one of its own."""

    place: int
    event_id: str | None
    reason: str


def read(encoded: Sequence[bytes], now_ms: int) -> tuple[dict[int, Event], int]:
    """Events by their place, as if they entered the stream now, and how many are an earlier one again."""
    if not encoded:
        raise Problem("There is nothing to preview: the file holds no event.")
    once: dict[tuple[str, str], tuple[int, Event]] = {}
    for place, raw in enumerate(encoded, 1):
        event = sources.read(raw, f"{now_ms}-{place}")
        once.setdefault((event.source, event.id), (place, event))
    return dict(once.values()), len(encoded) - len(once)


async def as_told(made: "Services", subscription_id: str) -> Subscription:
    """A subscription with the template it is told by, if there is one."""
    found = await made.subscriptions.find(subscription_id)
    connection = (await made.integrations.connections()).get(found.integration_id)
    return found.written(connection.integration.template if connection else "") or found


def sort_out(
    events: Mapping[int, Event], subscription: Subscription | None
) -> tuple[list[Told], list[Unmatched]]:
    """What a subscription tells, and what it does not match; without one all is told."""
    told, unmatched = [], []
    for place, event in events.items():
        if subscription and (reason := subscription.why_not(event)):
            own_id = None if event.id == event.entry_id else event.id
            unmatched.append(Unmatched(place, own_id, shown(reason)))
        else:
            told.append(told_by(str(place), event, subscription))
    return told, unmatched


def told_by(id_: str, event: Event, subscription: Subscription | None) -> Told:
    """An event as a subscription tells it, or as usual for None."""
    mention = subscription.mention_of(event) if subscription else ""
    templated = subscription if subscription and subscription.template else None
    return Told(id_, event, mention, templated=templated)


def by_template(told: Sequence[Told], source: str) -> list[Told]:
    """The same, told by a template nobody has saved; Problem when that is none."""
    try:
        source = checked_template(source or "\n", {one.event.kind for one in told})
    except ValueError as error:
        raise Problem(f"The template cannot be used: {error}.") from None
    tried = Subscription("(not saved)", "", "", template=source)
    return [replace(one, templated=tried) for one in told]


def sent_of(told: Sequence[Told], infrakitchen_url: str) -> "tuple[JsonObject | None, str]":
    """What `chat.postMessage` would be sent for what waits together, None when nothing does; and why the
    template failed, if it did.
    """
    if not told:
        return None, ""
    written = Writer(why_not, infrakitchen_url).write(fold(told))
    return arguments(written.message), str(written.fault or "")


def plain(sent: "JsonObject | None", unmatched: Sequence[Unmatched]) -> Row:
    """A preview as JSON; `text` is null when nothing would be posted."""
    return {
        "text": sent.get("text") if sent else None,
        "blocks": sent.get("blocks", []) if sent else [],
        "attachments": sent.get("attachments", []) if sent else [],
        "limits": [{"name": use.name, "used": use.used, "limit": use.limit} for use in near(sent or {})],
        "unmatched": [asdict(one) for one in unmatched],
    }
