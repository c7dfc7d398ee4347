"""`ik-slack deliveries`, `explain` and `parked`: what happened to each event, and the lanes that need a person."""

import click

from worker.cli.context import AppContext, run
from worker.cli.output import as_json, print_json, print_table
from worker.domain.delivery import Attempt, Change, Delivery, HistoryStep, Outcome, State
from worker.domain.event import Severity
from worker.domain.hints import Action
from worker.services import deliveries as service
from worker.services.deliveries import DeliveryTrace, EventTrace
from worker.services.formatting import format_time, parse_since_ms, pluralize, printable
from worker.services.lanes import match_lanes, unknown_lane
from worker.services.schemas import DeliverySchema, DeliveryTraceSchema, EventTraceSchema
from worker.services.subscription_schema import LEVELS
from worker.store.pagination import DeliveryFilter

SIGNS = {State.DELIVERED: "✓", State.MERGED: "✓", State.PENDING: "…", State.PARKED: "!", State.DEAD: "✗"}
DEFAULT_LIMIT = 50
limit_option = click.option(
    "--limit", type=click.IntRange(0), metavar="N", help=f"0 lists all. Default: {DEFAULT_LIMIT}; with --json all."
)


def limit_of(limit: int | None, *, as_json: bool) -> int:
    """Return the limit of a list (0 for all), by default DEFAULT_LIMIT, with --json all."""
    return limit if limit is not None else 0 if as_json else DEFAULT_LIMIT


@click.group()
def command() -> None:
    """See the deliveries of events.

    \b
    ik-slack deliveries list --event deploy-4711
    ik-slack deliveries show 3f9a0c6b1d2e4f5a6b7c
    """


@command.command("list")
@click.option("--state", type=click.Choice([*map(str, State)]), help="Only deliveries in this state.")
@click.option("--lane", metavar="LANE", help="Only deliveries of this lane, 'ops/#alerts', or destination, '#alerts'.")
@click.option("--channel", metavar="NAME", help="Only deliveries to this channel, by its name or id in Slack.")
@click.option("--severity", multiple=True, type=click.Choice(LEVELS), help="Only events of this severity. Repeatable.")
@click.option("--since", metavar="TIME", help="Only deliveries queued since then: 2h, 3d, 08:00 or '2026-11-25 08:00'.")
@click.option("--event", "event_id", metavar="ID", help="Only deliveries of this event.")
@limit_option
@as_json
def list_(
    state: str | None, lane: str | None, channel: str | None, severity: tuple[str, ...], since: str | None,
    event_id: str | None, limit: int | None, as_json: bool,
) -> None:  # fmt: skip
    """List deliveries, newest first.

    \b
    ik-slack deliveries list --lane 'ops/#alerts' --state pending
    ik-slack deliveries list --severity critical --state dead --since 24h
    """

    async def work(app: AppContext) -> tuple[list[Delivery], dict[str, str], bool]:
        lanes = await match_lanes(app, lane=lane or "", channel=channel or "")
        if lanes == ():
            raise await unknown_lane(app, lane or channel or "", Action.LIST_DELIVERIES)
        try:
            since_ms = parse_since_ms(since or "", await app.redis.now_ms())
        except ValueError as error:
            raise click.UsageError(f"--since: {error}.") from None
        severities = tuple(map(Severity.ranked, severity))
        where = DeliveryFilter(State(state) if state else None, lanes, severities, since_ms)
        deliveries, has_more = await service.list_deliveries(app, where, event_id, limit_of(limit, as_json=as_json))
        return deliveries, await service.find_event_ids(app, (delivery.event_ref for delivery in deliveries)), has_more

    deliveries, ids, has_more = run(work)
    if as_json:
        print_json([DeliverySchema.of(delivery, event_id=ids[delivery.event_ref]) for delivery in deliveries])
        return
    rows = [
        (
            d.id, format_time(d.created_at_ms), d.state, d.severity.name.lower() if d.severity is not None else "",
            d.lane, printable(ids[d.event_ref], 60), _note(d),
        )
        for d in deliveries
    ]  # fmt: skip
    columns = ("Id", "Created", "State", "Severity", "Lane", "Event", "Note")
    print_table(columns, rows, empty="No delivery found.")
    if has_more:
        click.echo(f"The newest {pluralize(len(deliveries), 'delivery', 'deliveries')}; --limit 0 lists all.")


def _note(delivery: Delivery) -> str:
    match delivery.state:
        case State.MERGED:
            return f"in message of {delivery.merged_into}"
        case State.DEAD:
            return printable(f"{delivery.error}: {delivery.detail}", 80)
        case State.DISCARDED:
            return delivery.error
        case _:
            calls = pluralize(delivery.attempts, "call") if delivery.attempts > 1 else ""
            return ", ".join(filter(None, (calls, "perhaps twice" if delivery.repeated else "")))


@command.command()
@click.argument("delivery_id", metavar="ID")
@as_json
def show(delivery_id: str, as_json: bool) -> None:
    """Show one delivery with every call to Slack."""
    trace = run(lambda app: service.get_delivery_trace(app, delivery_id))
    if as_json:
        print_json(DeliveryTraceSchema.of(trace, trace.delivery))
        return
    click.echo(f"Event {printable(trace.event_id) or 'no longer kept'}")
    print_delivery_trace(trace)


@click.command()
@click.argument("event_id", metavar="EVENT_ID")
@as_json
def explain(event_id: str, as_json: bool) -> None:
    """Show everything that happened to an event.

    Shows the subscriptions that match and those that do not, each delivery with every call to Slack, and the
    outcome. EVENT_ID is the event's own id, the id of its stream entry, or the id of a delivery.

    \b
    ik-slack explain deploy-4711
    """
    traces = run(lambda app: service.trace_event(app, event_id))
    if as_json:
        print_json(EventTraceSchema.of_traces(traces))
        return
    for number, trace in enumerate(traces):
        if number:
            click.echo()
        _print_event_trace(trace)


def _print_event_trace(trace: EventTrace) -> None:
    click.echo(f"Event {printable(trace.id)}" + (f": {printable(trace.event.title)}" if trace.event else ""))
    if event := trace.event:
        entity = " ".join(filter(None, (event.entity.type, event.entity.name, f"({event.entity.id})")))
        severity = event.severity.name.lower()
        values = {"status": event.status, "action": event.action, "severity": severity, "project": event.project}
        fields = ", ".join(f"{name} {value}" for name, value in values.items() if value)
        click.echo(f"  {printable(event.type)}\n  {printable(entity)}, {printable(fields)}")
        accepted_at = format_time(event.accepted_at_ms)
        click.echo(f"  {accepted_at}  accepted from {printable(event.source)}, entry {event.entry_id}")
    if trace.deliveries:
        others = f", not {pluralize(len(trace.mismatches), 'other')}" if trace.mismatches else ""
        click.echo(f"  {trace.state}: matches {pluralize(len(trace.deliveries), 'subscription')}{others}")
    else:
        click.echo(f"  {trace.state}: {printable(trace.reason)}")
    if trace.hint:
        click.echo(f"  {trace.hint}")
    for delivery in trace.deliveries:
        click.echo()
        print_delivery_trace(delivery)
    if trace.mismatches:
        click.echo()
    for mismatch in trace.mismatches:
        click.echo(f"– {mismatch.subscription_id}: {printable(mismatch.reason)}")


def print_delivery_trace(trace: DeliveryTrace) -> None:
    """Print a delivery's lane, every call to Slack, its state and the fix."""
    delivery = trace.delivery
    reason = f" ({printable(trace.reason)})" if trace.reason else ""
    click.echo(f"{SIGNS.get(delivery.state, '–')} {delivery.subscription_id} → {delivery.lane}{reason}")
    steps = [(attempt.at_ms, f"{attempt.method}: {_describe_attempt(attempt)}") for attempt in trace.attempts]
    changes = delivery.history[:-1] if delivery.state in (State.DEAD, State.DISCARDED) else delivery.history
    steps += [(step.at_ms, _describe_step(step, delivery)) for step in changes]
    for at_ms, text in sorted(steps, key=lambda step: step[0]):
        click.echo(f"    {format_time(at_ms)}  {text}")
    click.echo(f"    {format_time(delivery.finished_at_ms) or 'now':<19}  {_describe_state(trace)}")
    template_error = f"its template failed, the default message was used: {trace.template_fault}"
    note = delivery.detail if delivery.state is State.DELIVERED else ""
    for line in (template_error if trace.template_fault else "", note, str(trace.hint), trace.permalink):
        if line:
            click.echo(f"{'':<25}{printable(line, 1000)}")


def _describe_step(step: HistoryStep, delivery: Delivery) -> str:
    match step.change:
        case Change.QUEUED:
            return f"queued as {delivery.id}"
        case Change.DIED:
            return f"dead letter, {step.reason}"
        case _:
            return f"{step.change} by {printable(step.who, 80)}" if step.who else f"{step.change} automatically"


def _describe_attempt(attempt: Attempt) -> str:
    outcome = "may have been posted" if attempt.outcome is Outcome.UNKNOWN else str(attempt.outcome)
    code = f" ({attempt.code})" if attempt.code else ""
    return f"{outcome}{code}" + (f", waited {attempt.wait_s:.3g} s" if attempt.wait_s else "")


def _describe_state(trace: DeliveryTrace) -> str:
    delivery = trace.delivery
    repeated = ", perhaps twice: an answer of Slack was lost" if delivery.repeated else ""
    match delivery.state:
        case State.MERGED:
            return f"{delivery.detail or 'in the message of'} {delivery.merged_into}{repeated}"
        case State.DELIVERED:
            return f"delivered{repeated}"
        case State.DEAD:
            return f"dead letter, {delivery.error}: {printable(delivery.detail)}"
        case State.DISCARDED:
            step = delivery.history[-1]
            by = f" by {printable(step.who, 80)}" if step.who else ""
            return f"discarded{by}{f' ({step.reason})' if step.reason else ''}"
        case _:
            return f"{delivery.state}: {printable(trace.waits)}"
