"""Dead letters: which of them a person means, and what their decision did to each."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from worker.asking.rows import AT_ONCE
from worker.domain.errors import Problem, WrongUse
from worker.pipeline.replay import replay
from worker.store.dead_letters import DeadLetter
from worker.store.server import Unavailable

if TYPE_CHECKING:
    from worker.bootstrap import Services

Act = Callable[["Services", str], Awaitable[str]]
"""Does something to one dead letter, by its id: what was done, in words."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which dead letters a person means: some by id, those of one reason, or all."""

    ids: tuple[str, ...] = ()
    reason: str | None = None
    all: bool = False

    def require(self) -> None:
        """WrongUse unless it is one of the three."""
        given = sum(map(bool, (self.ids, self.reason, self.all)))
        if given == 0:
            raise WrongUse("Say which: IDs, --reason R, or --all.")
        if given > 1:
            raise WrongUse("Say it in one way: IDs, --reason R, or --all.")


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


@dataclass(frozen=True, slots=True)
class Done:
    """What became of each, and what people should know besides."""

    results: tuple[Result, ...]
    said: tuple[str, ...] = ()


async def do_to_each(made: "Services", choice: Choice, act: Act) -> Done:
    """Oldest first, so that what goes back to a lane goes back in its order; all that can be done is done."""
    ids = list(dict.fromkeys(choice.ids))
    if not ids:
        ids = [letter.id for letter in reversed(await made.dead_letters.all(reason=choice.reason or ""))]
    results: list[Result] = []
    for start in range(0, len(ids), AT_ONCE):
        results += await asyncio.gather(*(_do(made, id_, act) for id_ in ids[start : start + AT_ONCE]))
    done = [one.id for one in results if one.ending is Ending.DONE]
    return Done(tuple(results), await _take_out_of_flower(made, done) if done else ())


async def put_back(made: "Services", id_: str) -> str:
    """Have one tried again: what was done, in words."""
    return await replay(made.dead_letters, made.stream.stream, made.sweep.wake, id_)


async def discard_one(made: "Services", id_: str) -> str:
    """Nobody needs to be told of it any more: what was done, in words."""
    letter = await made.dead_letters.find(id_)
    if letter:
        await made.dead_letters.discard(letter)
    return f"{id_} is discarded"


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


async def _take_out_of_flower(made: "Services", ids: Sequence[str]) -> tuple[str, ...]:
    """At once; a worker corrects what is missed here."""
    try:
        lying = await made.dead_queue.ids()
        await made.dead_queue.remove({message for id_ in ids for message in lying.get(id_, ())})
    except Unavailable as error:
        return (f"The broker does not answer ({error}): Flower shows them until a worker reaches it.",)
    return ()
