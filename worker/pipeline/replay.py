"""Replay: a person wants a dead letter tried again."""

from collections.abc import Awaitable, Callable, Sequence

from worker.store.dead_letters import DeadLetters


async def replay(
    dead_letters: DeadLetters, stream: str, wake: Callable[[Sequence[str]], Awaitable[None]], id_: str
) -> str:
    """Put it back, once however many ask: what was done, in words."""
    letter = await dead_letters.find(id_)
    if letter is None:
        return f"{id_} is not a dead letter (any more)"
    was_dead, awake = await dead_letters.replay(letter, stream)
    if not was_dead:
        return f"{id_} was replayed by someone else, or its event is no longer kept"
    if letter.delivery is None:
        return f"{id_} is back in the stream"
    if awake:
        await wake([letter.delivery.lane])
    return f"{id_} is pending again in {letter.delivery.lane}"
