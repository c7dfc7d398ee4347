"""Post: a message and an address become a receipt, or a refusal that says what happens next."""

from collections.abc import Awaitable, Callable

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_before_delay,
    wait_random_exponential,
)

from worker.domain.delivery import Receipt
from worker.domain.errors import Transient
from worker.domain.integration import Secret
from worker.domain.message import Message
from worker.pipeline.gateway import Gateway, Sleep

FIRST_WAIT_S = 0.25
LONGEST_WAIT_S = 4.0


Note = Callable[[Transient, float], Awaitable[None]]
Again = Callable[[], Awaitable[None]]


async def post(
    gateway: Gateway, token: Secret, channel: str, message: Message, *,
    plain: bool, budget_s: float, sleep: Sleep, closing: Note, opening: Again,
) -> Receipt:  # fmt: skip
    """Post, trying again within `budget_s` what was surely not posted.

    `closing` is told of each such failure and the wait that follows, `opening` before each further call.
    """
    try:
        return await gateway.post(token, channel, message, plain=plain)
    except Transient as error:
        first = error  # only now is there anything to try again
    tries = AsyncRetrying(
        retry=retry_if_exception_type(Transient),
        wait=wait_random_exponential(multiplier=FIRST_WAIT_S, max=LONGEST_WAIT_S),
        stop=stop_before_delay(budget_s),
        sleep=sleep,
        before_sleep=_told_to(closing),
        reraise=True,
    )
    async for attempt in tries:
        with attempt:
            if attempt.retry_state.attempt_number == 1:
                raise first
            await opening()
            return await gateway.post(token, channel, message, plain=plain)
    raise AssertionError("tenacity ends by returning or raising")  # pragma: no cover


def _told_to(closing: Note) -> Callable[[RetryCallState], Awaitable[None]]:
    async def before_sleep(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, Transient):
            await closing(error, state.upcoming_sleep)

    return before_sleep
