"""Dead letters: show one, replay or discard a selection."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from worker.bootstrap.context import AppContext
from worker.domain.errors import NotFound, UsageError, UserError
from worker.domain.event import Event
from worker.domain.hints import Action, Hint, Step
from worker.pipeline.delivery.event_loader import event_of
from worker.services.deliveries import DeliveryTrace, trace_delivery
from worker.store.dead_letters import DeadLetter, DeadLetters
from worker.store.redis_errors import StoreUnavailable

AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class DeadLetterDetails:
    """A dead letter with its event, if that is kept, and its delivery; both None for an unreadable entry."""

    letter: DeadLetter
    event: Event | None = None
    delivery: DeliveryTrace | None = None


class DeadLetterSelection(BaseModel):
    """Dead letters that a user selects: some by id, all with one reason, or all."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ids: tuple[str, ...] = ()
    reason: str | None = None
    all: bool = False

    def require(self) -> None:
        """Raise UsageError unless exactly one of the three is given, and no id is empty."""
        given = sum(map(bool, (self.ids, self.reason, self.all)))
        if given == 0:
            raise UsageError("Nothing is selected. Give IDs, --reason R, or --all.")
        if given > 1:
            raise UsageError("Select in one way only: IDs, --reason R, or --all.")
        if "" in self.ids:
            raise UsageError("An id is empty: leave it out.")


class BulkOutcome(StrEnum):
    """Outcome of an action on one dead letter."""

    DONE = "done"
    ALREADY_DONE = "already_done"  # it was replayed or discarded before
    UNKNOWN = "unknown"  # no dead letter has this id
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class DeadLetterResult:
    """Result of an action on one dead letter; `text` is a sentence for the user."""

    id: str
    outcome: BulkOutcome
    text: str


@dataclass(frozen=True, slots=True)
class BulkResult:
    """Results of an action on several dead letters, and warnings for the user."""

    results: tuple[DeadLetterResult, ...]
    warnings: tuple[str, ...] = ()


DeadLetterAction = Callable[[AppContext, str, str], Awaitable[DeadLetterResult]]
"""Something done with the dead letter of an id by a person or program, whose name its history keeps."""


async def get_dead_letter(app: AppContext, id_: str) -> DeadLetterDetails:
    """Return one dead letter. Raises NotFound."""
    letter = await app.dead_letters.find(id_)
    if letter is None:
        missing = await _missing(app.dead_letters, id_)
        raise NotFound(missing.text, Hint.of("To see what is kept, ", Step(Action.LIST_DEAD_LETTERS), "."))
    if letter.delivery is None:
        return DeadLetterDetails(letter)
    event = await event_of(app.events, letter.delivery.event_ref)
    return DeadLetterDetails(letter, event, await trace_delivery(app, letter.delivery, event.id if event else ""))


async def replay_one(app: AppContext, id_: str, who: str = "") -> DeadLetterResult:
    """Put a dead letter back into its lane, or an unreadable entry back into the stream. Repeating it is safe."""
    letter = await app.dead_letters.find(id_)
    if letter is None:
        return await _missing(app.dead_letters, id_)
    result = await app.dead_letters.replay(letter, app.stream.stream, who)
    if not result.replayed:
        if await app.dead_letters.find(id_) == letter:
            return DeadLetterResult(id_, BulkOutcome.FAILED, f"{id_} cannot be replayed: its event is no longer kept.")
        return await _missing(app.dead_letters, id_)
    if letter.delivery is None:
        return DeadLetterResult(id_, BulkOutcome.DONE, f"{id_} is back in the stream.")
    if result.wake:
        await app.wake([letter.delivery.lane])
    return DeadLetterResult(id_, BulkOutcome.DONE, f"{id_} is pending again in {letter.delivery.lane}.")


async def discard_one(app: AppContext, id_: str, who: str) -> DeadLetterResult:
    """Discard one dead letter; the ledger still counts it, as discarded."""
    letter = await app.dead_letters.find(id_)
    if letter and await app.dead_letters.discard(letter, who):
        return DeadLetterResult(id_, BulkOutcome.DONE, f"{id_} is discarded.")
    return await _missing(app.dead_letters, id_)


async def apply_to_each(
    app: AppContext, selection: DeadLetterSelection, action: DeadLetterAction, who: str
) -> BulkResult:
    """Apply an action to each selected dead letter, oldest first as in its lane; a failure does not stop the others."""
    ids = list(dict.fromkeys(selection.ids))
    if not ids:
        ids = [letter.id for letter in reversed(await app.dead_letters.list_all(reason=selection.reason or ""))]
    results: list[DeadLetterResult] = []
    for start in range(0, len(ids), AT_ONCE):
        results += await asyncio.gather(*(_apply(app, id_, action, who) for id_ in ids[start : start + AT_ONCE]))
    done = [result.id for result in results if result.outcome is BulkOutcome.DONE]
    warnings: tuple[str, ...] = ()
    try:  # a worker removes from the queue that Flower shows what is missed here
        messages = await app.flower_queue.list_messages() if done else {}
        await app.flower_queue.remove({message for id_ in done for message in messages.get(id_, ())})
    except StoreUnavailable as error:
        lag = f"The broker does not answer ({error}): Flower lists these dead letters until a worker reaches it."
        warnings = (lag,)
    return BulkResult(tuple(results), warnings)


async def _apply(app: AppContext, id_: str, action: DeadLetterAction, who: str) -> DeadLetterResult:
    try:
        return await action(app, id_, who)
    except UserError as error:
        return DeadLetterResult(id_, BulkOutcome.FAILED, str(error))


async def _missing(dead_letters: DeadLetters, id_: str) -> DeadLetterResult:
    """Return the result for an id that is not a dead letter now."""
    if await dead_letters.exists(id_):
        return DeadLetterResult(id_, BulkOutcome.ALREADY_DONE, f"{id_} is no longer a dead letter.")
    return DeadLetterResult(id_, BulkOutcome.UNKNOWN, f"There is no dead letter {id_}.")
