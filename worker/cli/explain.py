"""`ik-slack explain`: the whole way of one event, as a story."""

import click

from worker.asking.plain import plain_story
from worker.asking.rows import shown
from worker.asking.story import Story, Way, stories
from worker.asking.wording import count, when
from worker.cli.running import as_json, print_json, run
from worker.domain.delivery import Attempt, Outcome, State
from worker.domain.event import Event

SIGNS = {State.DELIVERED: "✓", State.MERGED: "✓", State.PENDING: "…", State.PARKED: "!", State.DEAD: "✗"}


@click.command()
@click.argument("event_id", metavar="EVENT_ID")
@as_json
def command(event_id: str, as_json: bool) -> None:
    """Tell the whole way of an event: for whom it was, every try, and how it ended.

    EVENT_ID is the event's own id; the id of a stream entry or of a delivery will do.

    \b
    ik-slack explain deploy-4711
    ik-slack explain 1754042401120-0 --json
    """
    found = run(lambda made: stories(made, event_id))
    if as_json:
        first, *others = map(plain_story, found)
        print_json({**first, "others": others} if others else first)
        return
    for place, story in enumerate(found):
        if place:
            click.echo()
        print_story(story)


def print_story(story: Story) -> None:
    """A story as people read it."""
    click.echo(f"Event {shown(story.id)}" + (f": {shown(story.event.title)}" if story.event else ""))
    if story.event:
        _print_event(story.event)
    if story.ways:
        named = count(len(story.ways), "subscription")
        click.echo(f"  {story.state}: it is for {named}" + _not_for(len(story.unmatched)))
    else:
        click.echo(f"  {story.state}: {shown(story.reason)}")
    for way in story.ways:
        click.echo()
        print_way(way)
    if story.unmatched:
        click.echo()
    for subscription_id, reason in story.unmatched:
        click.echo(f"– {subscription_id}: {shown(reason)}")


def print_way(way: Way) -> None:
    """A delivery: where to, how it stands, every call to Slack, and what to do."""
    delivery = way.delivery
    click.echo(f"{SIGNS.get(delivery.state, '–')} {delivery.subscription_id} → {delivery.lane}")
    steps = [(delivery.created_at_ms, f"queued as {delivery.id}{_again(delivery.replays)}")]
    steps += [(attempt.at_ms, f"{attempt.method}: {_ended(attempt)}") for attempt in way.attempts]
    steps += [(death.at_ms, f"dead letter, {death.reason}; replayed since") for death in delivery.deaths]
    for at_ms, step in sorted(steps, key=lambda step: step[0]):  # a replay queues it anew
        click.echo(f"    {when(at_ms)}  {step}")
    click.echo(f"    {when(delivery.finished_at_ms) or 'now':<19}  {_outcome(way)}")
    failed = f"its template failed, the default message was used: {way.template_fault}"
    for line in (failed if way.template_fault else "", way.hint, way.permalink):
        if line:
            click.echo(f"    {'':<19}  {shown(line, 1000)}")


def _print_event(event: Event) -> None:
    about = " ".join(filter(None, (event.entity.type, event.entity.name, f"({event.entity.id})")))
    status = ("status", event.status), ("severity", event.severity.name.lower()), ("project", event.project)
    more = "".join(f", {name} {value}" for name, value in status if value)
    click.echo(f"  {shown(event.type)}: {shown(about + more)}")
    click.echo(f"  {when(event.accepted_at_ms)}  accepted from {shown(event.source)}, entry {event.entry_id}")


def _not_for(unmatched: int) -> str:
    return f", not for {count(unmatched, 'other')}" if unmatched else ""


def _again(replays: int) -> str:
    return f", replayed {count(replays, 'time')}" if replays else ""


def _ended(attempt: Attempt) -> str:
    ended = "may have been posted" if attempt.outcome is Outcome.UNKNOWN else str(attempt.outcome)
    code = f" ({attempt.code})" if attempt.code else ""
    return f"{ended}{code}" + (f", waited {attempt.wait_s:.3g} s" if attempt.wait_s else "")


def _outcome(way: Way) -> str:
    """How it stands, in words."""
    delivery = way.delivery
    repeated = ", perhaps twice: an answer of Slack was lost" if delivery.repeated else ""
    match delivery.state:
        case State.MERGED:
            told = delivery.detail or "told by the message of"
            return f"{told} {delivery.merged_into}{repeated}"
        case State.DELIVERED:
            return f"delivered{repeated}"
        case State.DEAD:
            return f"dead letter, {delivery.error}: {shown(delivery.detail)}"
        case State.DISCARDED:
            return f"discarded{f' ({delivery.error})' if delivery.error else ''}"
        case _:
            return f"{delivery.state}: {shown(way.waits)}"
