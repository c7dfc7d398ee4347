"""Post: a call that tells something becomes a receipt, or a refusal that says what happens next."""

from collections.abc import Awaitable, Callable

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    retry_if_not_exception_type,
    wait_random_exponential,
)

from worker.domain.delivery import Receipt
from worker.domain.errors import Transient, Unlisted
from worker.pipeline.gateway import Sleep

FIRST_WAIT_S = 0.25
LONGEST_WAIT_S = 4.0

Send = Callable[[], Awaitable[Receipt]]
Note = Callable[[Transient, float], Awaitable[None]]
Again = Callable[[], Awaitable[bool]]


async def post(
    send: Send, *, left_s: Callable[[], float], sleep: Sleep, closing: Note, opening: Again,
) -> Receipt:  # fmt: skip
    """Send, trying again what was surely not posted while the wait for it ends within `left_s()`.

    `closing` is told of each such failure and the wait that follows; `opening` says before each further call
    whether to make it.
    """
    try:
        return await send()
    except Unlisted:
        raise  # what nobody knows is tried a few times only, a snooze apart
    except Transient as error:
        failures = [error]  # only now is there anything to try again
    is_over = False

    async def noting(state: RetryCallState) -> None:
        await closing(failures[-1], state.upcoming_sleep)

    async for attempt in AsyncRetrying(
        retry=retry_if_exception_type(Transient) & retry_if_not_exception_type(Unlisted),
        wait=wait_random_exponential(multiplier=FIRST_WAIT_S, max=LONGEST_WAIT_S),
        stop=lambda state: is_over or state.upcoming_sleep >= left_s(),
        sleep=sleep,
        before_sleep=noting,
        reraise=True,
    ):
        with attempt:
            if attempt.retry_state.attempt_number == 1:
                raise failures[0]
            if is_over := not await opening():
                raise failures[-1]
            try:
                return await send()
            except Transient as error:
                failures.append(error)
                raise
    raise AssertionError("tenacity ends by returning or raising")  # pragma: no cover
