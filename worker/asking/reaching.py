"""Whether a destination can be posted to now, and if not the step that makes it so."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.domain.delivery import Address, Destination, destination_form, lane_name
from worker.domain.errors import Blocked, NotYet, Refusal, filled
from worker.domain.integration import Health, Integration, Secret
from worker.pipeline.connect import Check, mend_of
from worker.pipeline.probe import seen_by_looking
from worker.store.vault import WrongKey

if TYPE_CHECKING:
    from worker.bootstrap import Services

BUDGET_S = 5.0
LOOKED_AT_ONE_BY_ONE = 20  # more destinations than this are looked up in the directory, for the tier's sake


@dataclass(frozen=True, slots=True)
class Unreached:
    """Why nothing can be posted there now, and what to do. `asked` is False when Slack gave no answer."""

    reason: str
    step: str
    asked: bool = True

    def __str__(self) -> str:
        return f"{self.reason}. {self.step}"


async def reach(
    made: "Services",
    integration: Integration,
    destination: str,
    *,
    fresh: bool = False,
    checking: bool = False,
) -> Address | Unreached:
    """Where a destination is; it is pinned for its lane.

    `fresh` trusts nothing that was remembered; `checking` counts what its lane met too.
    """
    ask = looked_at if checking else resolved
    try:
        token = await made.integrations.token(integration.id)
        return await ask(made, integration, token, destination, fresh=fresh, budget_s=BUDGET_S)
    except WrongKey as error:
        return Unreached("The token cannot be opened", str(error), asked=False)
    except NotYet as error:
        return Unreached(f"It is not known yet ({error.reason})", "Ask again in a minute.", asked=False)
    except Refusal as error:
        return refused(error, integration, destination)


def refused(error: Refusal, integration: Integration, destination: str) -> Unreached:
    """A refusal in words that name the things people know."""
    asked = isinstance(error, Blocked)
    reason, step = (
        filled(text, integration=integration.name, bot=integration.bot_name, channel=destination)
        for text in (error.reason, mend_of(error))
    )
    return Unreached(reason, step, asked)


async def check(made: "Services", integration: Integration, destination: str, *, fresh: bool) -> Check:
    """The same as one of the checks of `integrations test`."""
    found = await reach(made, integration, destination, fresh=fresh, checking=True)
    if isinstance(found, Unreached):
        return Check(destination, False, found.reason, found.step)
    where = found.id if found.name in ("", found.id) else f"{found.name}, {found.id}"
    return Check(destination, True, f"can be posted to ({where})")


async def warnings(
    made: "Services", integration: Integration, destinations: Iterable[str], *, fresh: bool = False
) -> list[str]:
    """What keeps new subscriptions from being told, with the step; asks until Slack gives no answer."""
    said = []
    if integration.state is not Health.ACTIVE:
        said.append(f"Integration {integration.name} is {integration.state}. {integration.hint}")
    for destination in destinations:
        is_user = destination_form(destination) is Destination.USER_ID  # of whom nothing is remembered
        found = await reach(made, integration, destination, fresh=fresh or is_user)
        if isinstance(found, Address):
            continue
        state = "cannot be posted to yet" if found.asked else "may not be ready to be posted to"
        said.append(f"{destination} {state}: what is for it waits until it can. {found}")
        if not found.asked:
            break
    return said


async def resolved(
    made: "Services", integration: Integration, token: Secret, destination: str, *,
    fresh: bool, budget_s: float,
) -> Address:  # fmt: skip
    """Where its lane posts; raises what `Resolver.resolve` does."""
    lane = lane_name(integration.id, destination)
    note = await made.upkeep.lane_note(lane)
    pinned = Address(note["address"], note["name"]) if note["address"] else None
    return await made.resolver.resolve(
        lane, destination, pinned, integration, token, budget_s=budget_s, fresh=fresh
    )


async def looked_at(
    made: "Services", integration: Integration, token: Secret, destination: str, *,
    fresh: bool, budget_s: float,
) -> Address:  # fmt: skip
    """The same, for checks: what its lane met counts where Slack tells nothing, or cannot be asked now."""
    note = await made.upkeep.lane_note(lane_name(integration.id, destination))
    met = Blocked(note["parked"], note["reason"], note["hint"]) if note["hint"] else None
    try:
        found = await resolved(made, integration, token, destination, fresh=fresh, budget_s=budget_s)
    except NotYet:
        if met:
            raise met from None
        if not fresh:
            raise
        return await resolved(made, integration, token, destination, fresh=False, budget_s=budget_s)
    if met and not seen_by_looking(destination, met.code):  # a lane that tries once more has no code
        raise met
    return found
