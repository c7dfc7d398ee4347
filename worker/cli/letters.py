"""Dead letters as commands need them: which are meant, as rows, and what a person's decision did to each."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from worker.cli.rows import AT_ONCE, Row, iso
from worker.cli.showing import count, warn
from worker.domain.dead_letter import hint
from worker.domain.errors import Problem
from worker.store.dead_letters import DeadLetter
from worker.store.server import Unavailable

if TYPE_CHECKING:
    from worker.bootstrap import Services

SAID_ONE_BY_ONE = 20
Act = Callable[["Services", str], Awaitable[str]]
"""Does something to one dead letter, by its id: what was done, in words."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which dead letters a person means: some by id, those of one reason, or all."""

    ids: tuple[str, ...] = ()
    reason: str | None = None
    all: bool = False

    def require(self) -> None:
        """UsageError unless it is one of the three."""
        given = sum(map(bool, (self.ids, self.reason, self.all)))
        if given == 0:
            raise click.UsageError("Say which: IDs, --reason R, or --all.")
        if given > 1:
            raise click.UsageError("Say it in one way: IDs, --reason R, or --all.")


@dataclass(slots=True)
class Done:
    """What became of each: done, not a dead letter any more, never one, or still one and why."""

    done: dict[str, str] = field(default_factory=dict)
    before: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


async def letters(made: "Services", reason: str | None = None) -> list[DeadLetter]:
    """All of them, newest first, or those with one reason."""
    ids = await made.dead_letters.ids()
    found: list[DeadLetter] = []
    for start in range(0, len(ids), AT_ONCE):
        some = await asyncio.gather(*map(made.dead_letters.find, ids[start : start + AT_ONCE]))
        found += [letter for letter in some if letter and reason in (None, letter.reason)]
    return found


def plain_letter(letter: DeadLetter, event_id: str) -> Row:
    """A dead letter as JSON."""
    delivery = letter.delivery
    row: Row = {
        "id": letter.id,
        "reason": letter.reason,
        "detail": letter.detail,
        "event_id": event_id,
        "channel": destination(letter),
        "died_at": iso(letter.died_at_ms),
        "hint": hint(letter.reason, letter.id),
    }
    if delivery:
        row |= {name: getattr(delivery, name) for name in ("lane", "subscription_id", "attempts", "replays")}
        row["created_at"] = iso(delivery.created_at_ms)
    return row


def destination(letter: DeadLetter) -> str:
    """Where it was to go, as a person wrote it; nowhere for an entry nobody could read."""
    return letter.delivery.lane.partition("/")[2] if letter.delivery else ""


async def do_to_each(made: "Services", choice: Choice, act: Act) -> Done:
    """Oldest first, so that what goes back to a lane goes back in its order; all that can be done is done."""
    ids = list(dict.fromkeys(choice.ids))
    if not ids:
        ids = [letter.id for letter in reversed(await letters(made, choice.reason))]
    done = Done()
    for start in range(0, len(ids), AT_ONCE):
        await asyncio.gather(*(_do(made, id_, act, done) for id_ in ids[start : start + AT_ONCE]))
    if done.done:
        await _take_out_of_flower(made, done.done)
    return done


def tell(done: Done, verb: str) -> None:
    """What was done, a line each or counted; Problem when something was not."""
    total = len(done.done) + len(done.before)
    if total > SAID_ONE_BY_ONE:
        click.echo(f"{count(len(done.done), 'dead letter')} {verb}" + _besides(done.before))
    else:
        for words in (*done.done.values(), *(f"{id_} is not a dead letter any more" for id_ in done.before)):
            click.echo(words)
    if not total and not done.unknown and not done.failed:
        click.echo("There is no such dead letter.")
    wrong = []
    if done.unknown:
        wrong.append(f"There is no dead letter {', '.join(done.unknown)}: see `ik-slack dead-letters list`.")
    wrong += list(done.failed.values())[:SAID_ONE_BY_ONE]
    if len(done.failed) > SAID_ONE_BY_ONE:
        wrong.append(f"{len(done.failed) - SAID_ONE_BY_ONE} more were not {verb}.")
    if wrong:
        raise Problem(" ".join(wrong))


async def _do(made: "Services", id_: str, act: Act, done: Done) -> None:
    if await made.dead_letters.find(id_) is None:
        (done.before if await made.dead_letters.is_kept(id_) else done.unknown).append(id_)
        return
    try:
        words = await act(made, id_)
    except Problem as error:
        done.failed[id_] = str(error)
        return
    is_still = await made.dead_letters.find(id_) is not None
    (done.failed if is_still else done.done)[id_] = f"{words}." if is_still else words


async def _take_out_of_flower(made: "Services", ids: Sequence[str] | dict[str, str]) -> None:
    """At once; a worker corrects what is missed here."""
    try:
        lying = await made.dead_queue.ids()
        await made.dead_queue.remove({message for id_ in ids for message in lying.get(id_, ())})
    except Unavailable as error:
        warn([f"The broker does not answer ({error}): Flower shows them until a worker reaches it."])


def _besides(before: Sequence[str]) -> str:
    return f"; {len(before)} were none any more" if before else ""
