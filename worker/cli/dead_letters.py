"""`ik-slack dead-letters`: what nobody tries again unless a person says so."""

import sys
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING

import click

from worker.asking.letters import Choice, discard_one, do_to_each, put_back
from worker.asking.listing import one_letter
from worker.asking.plain import destination, letter_event_id, plain_examined, plain_letter
from worker.asking.rows import event_ids, first, shown, visible
from worker.asking.wording import count, when
from worker.cli.explain import print_way
from worker.cli.letters import tell
from worker.cli.running import as_json, print_json, print_table, run
from worker.cli.showing import print_facts
from worker.domain.dead_letter import hint
from worker.store.dead_letters import DeadLetter

if TYPE_CHECKING:
    from worker.bootstrap import Services

SHOWN_MOST = 50
SHOWN_OF_A_FIELD = 4_000


@click.group()
def command() -> None:
    """See dead letters, and replay or discard them.

    \b
    ik-slack dead-letters list --reason expired
    ik-slack dead-letters show 1754042401120-0
    ik-slack dead-letters replay --reason invalid_blocks
    ik-slack dead-letters discard --reason overflow
    """


which = click.argument("ids", metavar="[ID]...", nargs=-1)
of_reason = click.option("--reason", metavar="R", help="All with this reason.")
of_all = click.option("--all", "everything", is_flag=True, help="All there are.")


@command.command("list")
@click.option("--reason", metavar="R", help="Only those with this reason.")
@click.option(
    "--limit", type=click.IntRange(0), metavar="N", help=f"0 is all. Default: {SHOWN_MOST}, with --json all."
)
@as_json
def list_(reason: str | None, limit: int | None, as_json: bool) -> None:
    """Dead letters, newest first, and what can be done about them."""
    most = limit if limit is not None else 0 if as_json else SHOWN_MOST

    async def work(made: "Services") -> tuple[list[DeadLetter], dict[str, int], dict[str, str]]:
        some = await first(partial(made.dead_letters.page, reason or ""), most)
        reasons = await made.dead_letters.reasons()
        ids = await event_ids(made, (one.delivery.event_ref for one in some if one.delivery))
        return some, reasons, ids

    found, reasons, ids = run(work)
    if as_json:
        print_json([plain_letter(one, letter_event_id(one, ids)) for one in found])
        return
    rows = [
        (one.id, when(one.died_at_ms), one.reason, shown(letter_event_id(one, ids), 40), destination(one),
         shown(one.detail, 80))
        for one in found
    ]  # fmt: skip
    columns = ("Id", "Died", "Reason", "Event", "To", "Detail")
    print_table(columns, rows, empty="There is no dead letter.")
    asked = {name: number for name, number in reasons.items() if reason in (None, name)}
    if len(found) < (total := sum(asked.values())):
        click.echo(f"The newest {len(found)} of {total:,}; --limit 0 shows all.")
    for name, number in sorted(asked.items(), key=itemgetter(1), reverse=True):
        click.echo(f"\n{name} ({number:,}): {hint(name, 'ID')}")


@command.command()
@click.argument("id_", metavar="ID")
@as_json
def show(id_: str, as_json: bool) -> None:
    """One dead letter: the event and every call to Slack, or the bytes nobody could read."""

    letter, event, way = run(lambda made: one_letter(made, id_))
    if as_json:
        print_json(plain_examined(letter, event, way))
        return
    if way:
        click.echo(
            f"Event {shown(event.id)}: {shown(event.title)}" if event else "Its event is no longer kept."
        )
        print_way(way)
        return
    print_facts((("Entry", letter.id), ("Died", when(letter.died_at_ms)), ("Wrong", shown(letter.detail))))
    for name, value in (letter.raw or {}).items():
        click.echo(
            f"\n{visible(name, 200)} ({count(len(value), 'byte')}):\n{visible(value, SHOWN_OF_A_FIELD)}"
        )
    click.echo(f"\n{hint(letter.reason, letter.id)}")


@command.command()
@which
@of_reason
@of_all
def replay(ids: tuple[str, ...], reason: str | None, everything: bool) -> None:
    """Try dead letters again: deliveries at the end of their lanes, unreadable entries in the stream.

    \b
    ik-slack dead-letters replay 3f9a0c6b1d2e4f5a6b7c
    ik-slack dead-letters replay --reason expired
    """
    choice = Choice(ids, reason, everything)
    choice.require()

    tell(run(lambda made: do_to_each(made, choice, put_back), waking=True), "replayed")


@command.command()
@which
@of_reason
@of_all
@click.option("--yes", is_flag=True, help="Do not ask.")
def discard(ids: tuple[str, ...], reason: str | None, everything: bool, yes: bool) -> None:
    """Nobody needs to be told any more. They stay counted, as discarded.

    \b
    ik-slack dead-letters discard 3f9a0c6b1d2e4f5a6b7c
    ik-slack dead-letters discard --all --yes
    """
    choice = Choice(ids, reason, everything)
    choice.require()
    if everything and not yes and sys.stdin.isatty():
        click.confirm("Discard every dead letter?", abort=True, err=True)
    tell(run(lambda made: do_to_each(made, choice, discard_one)), "discarded")
