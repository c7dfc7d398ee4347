"""`ik-slack dead-letters`: deliveries and entries that are not retried unless a user replays them."""

import sys
from collections.abc import Callable
from functools import partial, wraps
from operator import itemgetter

import click

from worker.cli.context import AppContext, current_user, run
from worker.cli.deliveries import limit_of, limit_option, print_delivery_trace
from worker.cli.output import as_json, print_facts, print_json, print_prose, print_table, warn
from worker.domain.delivery import lane_parts
from worker.domain.errors import UserError
from worker.domain.hints import dead_letter_hint
from worker.services import dead_letters as service
from worker.services.deliveries import find_event_ids
from worker.services.formatting import format_time, pluralize, printable, printable_bytes
from worker.services.schemas import DeadLetterDetailsSchema, DeadLetterSchema, event_id_of_letter
from worker.store.dead_letters import DeadLetter
from worker.store.pagination import take_rows

LISTED_MAX = 20  # more results are only counted
FIELD_MAX = 4_000  # characters of an unreadable entry's field


@click.group()
def command() -> None:
    """See dead letters, and replay or discard them.

    \b
    ik-slack dead-letters list --reason expired
    """


def selection_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that select dead letters in exactly one way; the command gets them as `selection`."""

    @click.argument("ids", metavar="[ID]...", nargs=-1)
    @click.option("--reason", metavar="R", help="All dead letters with this reason.")
    @click.option("--all", "select_all", is_flag=True, help="All dead letters.")
    @wraps(command)
    def with_selection(ids: tuple[str, ...], reason: str | None, select_all: bool, **values: object) -> None:
        selection = service.DeadLetterSelection(ids=ids, reason=reason, all=select_all)
        selection.require()
        command(selection, **values)

    return with_selection


@command.command("list")
@click.option("--reason", metavar="R", help="Only dead letters with this reason.")
@limit_option
@as_json
def list_(reason: str | None, limit: int | None, as_json: bool) -> None:
    """List dead letters, newest first, and the fix for each reason."""

    async def work(app: AppContext) -> tuple[list[DeadLetter], dict[str, int], dict[str, str]]:
        letters = await take_rows(partial(app.dead_letters.page, reason or ""), limit_of(limit, as_json=as_json))
        ids = await find_event_ids(app, (letter.delivery.event_ref for letter in letters if letter.delivery))
        return letters, await app.dead_letters.count_by_reason(), ids

    letters, counts, ids = run(work)
    if as_json:
        print_json([DeadLetterSchema.of_letter(letter, ids) for letter in letters])
        return
    rows = [
        (
            letter.id,
            format_time(letter.died_at_ms),
            letter.reason,
            printable(event_id_of_letter(letter, ids), 40),
            lane_parts(letter.delivery.lane)[1] if letter.delivery else "",
            printable(letter.detail, 80),
        )
        for letter in letters
    ]
    print_table(("Id", "Died", "Reason", "Event", "Destination", "Detail"), rows, empty="There is no dead letter.")
    counts = {name: count for name, count in counts.items() if reason in (None, name)}
    if len(letters) < (total := sum(counts.values())):
        click.echo(f"The newest {len(letters)} of {total:,}; --limit 0 lists all.")
    for name, count in sorted(counts.items(), key=itemgetter(1), reverse=True):
        click.echo()
        print_prose(f"{name} ({count:,}): {dead_letter_hint(name, 'ID')}")


@command.command()
@click.argument("id_", metavar="ID")
@as_json
def show(id_: str, as_json: bool) -> None:
    """Show one dead letter: its event and every call to Slack, or the bytes of an unreadable entry."""
    details = run(lambda app: service.get_dead_letter(app, id_))
    letter, event, trace = details.letter, details.event, details.delivery
    if as_json:
        print_json(DeadLetterDetailsSchema.of_details(details))
        return
    if trace:
        click.echo(
            f"Event {printable(event.id)}: {printable(event.title)}" if event else "Its event is no longer kept."
        )
        print_delivery_trace(trace)
        return
    print_facts(("Entry", letter.id), ("Died", format_time(letter.died_at_ms)), ("Error", printable(letter.detail)))
    for name, value in (letter.raw or {}).items():
        click.echo(f"\n{printable_bytes(name, 200)} ({pluralize(len(value), 'byte')}):")
        click.echo(printable_bytes(value, FIELD_MAX))
    click.echo(f"\n{dead_letter_hint(letter.reason, letter.id)}")


@command.command()
@selection_options
def replay(selection: service.DeadLetterSelection) -> None:
    """Send dead letters again.

    Deliveries go to the end of their lanes, unreadable entries back into the stream.

    \b
    ik-slack dead-letters replay --reason expired
    """
    print_results(
        run(
            lambda app: service.apply_to_each(app, selection, service.replay_one, f"command, {current_user()}"),
            can_wake=True,
        ),
        "replayed",
    )


@command.command()
@selection_options
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def discard(selection: service.DeadLetterSelection, yes: bool) -> None:
    """Discard dead letters. They are not sent; the ledger counts them as discarded.

    \b
    ik-slack dead-letters discard 3f9a0c6b1d2e4f5a6b7c
    """
    if selection.all and not yes and sys.stdin.isatty():
        click.confirm("Discard every dead letter?", abort=True, err=True)
    print_results(
        run(lambda app: service.apply_to_each(app, selection, service.discard_one, f"command, {current_user()}")),
        "discarded",
    )


def print_results(bulk: service.BulkResult, done: str) -> None:
    """Print each result, or their number when there are many; raise UserError when an action failed."""
    warn(bulk.warnings)
    by_outcome = {outcome: [r for r in bulk.results if r.outcome is outcome] for outcome in service.BulkOutcome}
    succeeded = [r for r in bulk.results if r.outcome in (service.BulkOutcome.DONE, service.BulkOutcome.ALREADY_DONE)]
    if len(succeeded) > LISTED_MAX:
        before = len(by_outcome[service.BulkOutcome.ALREADY_DONE])
        note = f"; {before:,} had already been replayed or discarded" if before else ""
        click.echo(f"{pluralize(len(succeeded) - before, 'dead letter')} {done}{note}")
    else:
        for result in succeeded:
            click.echo(result.text)
    if not bulk.results:
        click.echo("There is no such dead letter.")
    errors = [result.text for result in by_outcome[service.BulkOutcome.FAILED]]
    if len(errors) > LISTED_MAX:
        errors[LISTED_MAX:] = [f"{len(errors) - LISTED_MAX} more were not {done}."]
    if unknown := ", ".join(result.id for result in by_outcome[service.BulkOutcome.UNKNOWN]):
        errors.insert(0, f"There is no dead letter {unknown}: see `ik-slack dead-letters list`.")
    if errors:
        raise UserError(" ".join(errors))
