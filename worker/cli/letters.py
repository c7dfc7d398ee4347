"""Dead letters as commands need them: which are meant, as rows, and what a person's decision did to each."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import click

from worker.asking.rows import AT_ONCE, Row, iso
from worker.asking.wording import count
from worker.cli.showing import warn
from worker.domain.dead_letter import hint
from worker.domain.delivery import lane_parts
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


class Ending(StrEnum):
    """What became of one that a person meant."""

    DONE = "done"
    BEFORE = "before"  # it is no dead letter any more
    UNKNOWN = "unknown"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Result:
    """What was done to one, in words."""

    id: str
    ending: Ending
    words: str = ""


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
    return lane_parts(letter.delivery.lane)[1] if letter.delivery else ""


async def do_to_each(made: "Services", choice: Choice, act: Act) -> list[Result]:
    """Oldest first, so that what goes back to a lane goes back in its order; all that can be done is done."""
    ids = list(dict.fromkeys(choice.ids))
    if not ids:
        ids = [letter.id for letter in reversed(await made.dead_letters.all(reason=choice.reason or ""))]
    results: list[Result] = []
    for start in range(0, len(ids), AT_ONCE):
        results += await asyncio.gather(*(_do(made, id_, act) for id_ in ids[start : start + AT_ONCE]))
    done = [one.id for one in results if one.ending is Ending.DONE]
    if done:
        await _take_out_of_flower(made, done)
    return results


def tell(results: Sequence[Result], verb: str) -> None:
    """What was done, a line each or counted; Problem when something was not."""
    by_ending = {ending: [one for one in results if one.ending is ending] for ending in Ending}
    well = [one for one in results if one.ending in (Ending.DONE, Ending.BEFORE)]
    if len(well) > SAID_ONE_BY_ONE:
        before = len(by_ending[Ending.BEFORE])
        besides = f"; {before} were none any more" if before else ""
        click.echo(f"{count(len(by_ending[Ending.DONE]), 'dead letter')} {verb}{besides}")
    else:
        for one in well:
            click.echo(one.words)
    if not results:
        click.echo("There is no such dead letter.")
    wrong = [one.words for one in by_ending[Ending.FAILED]]
    if len(wrong) > SAID_ONE_BY_ONE:
        wrong[SAID_ONE_BY_ONE:] = [f"{len(wrong) - SAID_ONE_BY_ONE} more were not {verb}."]
    if unknown := ", ".join(one.id for one in by_ending[Ending.UNKNOWN]):
        wrong.insert(0, f"There is no dead letter {unknown}: see `ik-slack dead-letters list`.")
    if wrong:
        raise Problem(" ".join(wrong))


async def _do(made: "Services", id_: str, act: Act) -> Result:
    letter = await made.dead_letters.find(id_)
    if letter is None:
        if await made.dead_letters.is_kept(id_):
            return Result(id_, Ending.BEFORE, f"{id_} is not a dead letter any more")
        return Result(id_, Ending.UNKNOWN)
    try:
        words = await act(made, id_)
    except Problem as error:
        return Result(id_, Ending.FAILED, str(error))
    after = await made.dead_letters.find(id_)
    if after is not None and _replays(after) == _replays(
        letter
    ):  # else it was told meanwhile, and died again
        return Result(id_, Ending.FAILED, f"{words}.")
    return Result(id_, Ending.DONE, words)


def _replays(letter: DeadLetter) -> int:
    return letter.delivery.replays if letter.delivery else 0


async def _take_out_of_flower(made: "Services", ids: Sequence[str]) -> None:
    """At once; a worker corrects what is missed here."""
    try:
        lying = await made.dead_queue.ids()
        await made.dead_queue.remove({message for id_ in ids for message in lying.get(id_, ())})
    except Unavailable as error:
        warn([f"The broker does not answer ({error}): Flower shows them until a worker reaches it."])
