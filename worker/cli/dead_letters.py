"""`ik-slack dead-letters`: what nobody tries again unless a person says so."""

import base64
import sys
from collections.abc import Sequence
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING

import click

from worker.asking.rows import Row, event_ids, first, shown, visible
from worker.asking.story import Way, way_of
from worker.asking.wording import count, when
from worker.cli.explain import plain_event, plain_way, print_way
from worker.cli.letters import Choice, destination, do_to_each, plain_letter, tell
from worker.cli.running import as_json, print_json, print_table, run
from worker.cli.showing import print_facts
from worker.domain.dead_letter import hint
from worker.domain.errors import Problem
from worker.domain.event import Event
from worker.pipeline.reading import event_of
from worker.pipeline.replay import replay as put_back
from worker.store.dead_letters import DeadLetter

if TYPE_CHECKING:
    from worker.bootstrap import Services

SHOWN_MOST = 50
SHOWN_OF_A_FIELD = 4_000
Shown = tuple[DeadLetter, Event | None, Way | None]


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
        print_json([plain_letter(one, _event_id(one, ids)) for one in found])
        return
    rows = [
        (one.id, when(one.died_at_ms), one.reason, shown(_event_id(one, ids), 40), destination(one),
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

    async def work(made: "Services") -> Shown:
        letter = await made.dead_letters.find(id_)
        if letter is None:
            why = (
                " any more" if await made.dead_letters.is_kept(id_) else ": see `ik-slack dead-letters list`"
            )
            raise Problem(f"{id_} is not a dead letter{why}.")
        if letter.delivery is None:
            return letter, None, None
        event = await event_of(made.events, letter.delivery.event_ref)
        return letter, event, await way_of(made, letter.delivery)

    letter, event, way = run(work)
    if as_json:
        print_json(_plain(letter, event, way))
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

    async def put_one_back(made: "Services", id_: str) -> str:
        return await put_back(made.dead_letters, made.stream.stream, made.sweep.wake, id_)

    tell(run(lambda made: do_to_each(made, choice, put_one_back), waking=True), "replayed")


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
    tell(run(lambda made: do_to_each(made, choice, _discard)), "discarded")


async def _discard(made: "Services", id_: str) -> str:
    letter = await made.dead_letters.find(id_)
    if letter:
        await made.dead_letters.discard(letter)
    return f"{id_} is discarded"


def _event_id(letter: DeadLetter, ids: dict[str, str]) -> str:
    return ids.get(letter.delivery.event_ref, "") if letter.delivery else letter.id


def _plain(letter: DeadLetter, event: Event | None, way: Way | None) -> Row:
    event_id = letter.id if way is None else event.id if event else ""
    row = plain_letter(letter, event_id)
    if way is None:
        return {**row, "fields": _fields(letter)}
    return {**row, "event": event and plain_event(event), "delivery": plain_way(way, event_id)}


def _fields(letter: DeadLetter) -> Sequence[Row]:
    """The entry's fields as text that can be read, and exactly."""
    return [
        {
            "name": name.decode("utf-8", "backslashreplace"),
            "value": value.decode("utf-8", "backslashreplace"),
            "base64": base64.b64encode(value).decode(),
        }
        for name, value in (letter.raw or {}).items()
    ]
