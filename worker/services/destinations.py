"""Destinations: whether the bot can post there now and the step that makes it possible; test messages."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from worker.bootstrap.context import AppContext
from worker.domain.delivery import Address, Destination, Receipt, destination_form, lane_name
from worker.domain.errors import (
    CHANNEL_MAX,
    Blocked,
    RetryLater,
    SlackError,
    Throttled,
    Uncertain,
    UserError,
    format_hint,
)
from worker.domain.hints import NO_HINT, Action, Hint, Step
from worker.domain.integration import Health, Integration
from worker.domain.message import Colour, Context, Message, Section
from worker.domain.mrkdwn import code, cut, escape
from worker.domain.subscription import Subscription
from worker.pipeline.delivery.session import wait_for_slot
from worker.pipeline.directory_refresher import Progress
from worker.pipeline.integration_setup import CHECK_NETWORK, CheckResult, fix_for
from worker.pipeline.maintenance.prober import can_check_without_posting
from worker.services.formatting import pluralize
from worker.services.lanes import NOT_FOUND, did_you_mean, find_similar_channels
from worker.store.lanes import LaneStatus
from worker.store.token_cipher import WrongKey

BUDGET_S = 5.0
MAX_SLOT_WAIT_S = 15.0
TRY_AGAIN = Hint.of("Try again in a minute.")
#: More destinations than this are looked up in the directory, so that the checks stay below Slack's rate limit.
MAX_ASKED_ONE_BY_ONE = 20
FEW_DESTINATIONS = 5  # more new ones are checked together, after one reading of the directory
CHECKED_AT_ONCE = 100  # in a directory that was just read
READ_S, CHECK_MANY_S = 3.0, 3.7
FRESH_S = 10.0


@dataclass(frozen=True, slots=True)
class Unreachable:
    """Why nothing can be posted to a destination now, and the fix."""

    reason: str
    fix: Hint
    is_certain: bool = True  #: False when Slack gave no answer, so that the reason may be a temporary one.
    #: Whether Slack cannot be asked yet: the directory is being read, or a rate limit is reached.
    must_wait: bool = False
    code: str = ""  #: Slack's code, if it gave one.

    def __str__(self) -> str:
        return f"{self.reason}. {self.fix}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SentTestMessage:
    """A test message of a subscription, and where Slack posted it."""

    id: str  #: The subscription's id and destination.
    destination: str
    team: str  #: The name of the workspace.
    name: str  #: The name of the conversation, or its id if the name is not known.
    channel: str
    ts: str
    link: str


async def find_address(
    app: AppContext, integration: Integration, destination: str, *,
    bypass_cache: bool = False, directory_only: bool = False, with_lane_state: bool = False,
    timeout_s: float | None = None,
) -> Address | Unreachable:  # fmt: skip
    """Return the address of a destination and keep it for its lane, or why there is none.

    `bypass_cache` asks Slack even for what the directory knows, `directory_only` never asks for a channel;
    `with_lane_state` also reports what parked the lane.
    """
    lane = lane_name(integration.id, destination)
    try:
        token, status = await app.integrations.get_token(integration.id), await app.lanes.get_status(lane)
        resolve = partial(
            app.resolver.resolve, lane, destination, status.address, integration, token,
            budget_s=timeout_s / 2 if timeout_s else BUDGET_S,
        )  # fmt: skip
        async with asyncio.timeout(timeout_s):
            if with_lane_state:
                return await _resolve_with_lane_state(resolve, status, destination, bypass_cache=bypass_cache)
            return await resolve(bypass_cache=bypass_cache, directory_only=directory_only)
    except TimeoutError:
        return Unreachable(f"Slack did not answer within {timeout_s:g} s", CHECK_NETWORK, is_certain=False)
    except WrongKey as error:
        return Unreachable(error.text.removesuffix("."), error.fix, is_certain=False)
    except RetryLater as error:
        reason = f"Slack has not been asked yet ({error.reason})"
        return Unreachable(reason, TRY_AGAIN, is_certain=False, must_wait=True)
    except SlackError as error:
        refusal = _explain_refusal(error, integration, destination)
        return refusal if directory_only else await _with_similar_channels(app, integration, destination, refusal)


async def _with_similar_channels(
    app: AppContext, integration: Integration, destination: str, refusal: Unreachable
) -> Unreachable:
    """Return a refusal with the channels that a name which was not found may mean."""
    similar = await find_similar_channels(app, integration.id, destination) if refusal.code == NOT_FOUND else []
    return replace(refusal, fix=did_you_mean(similar) + refusal.fix) if similar else refusal


async def _resolve_with_lane_state(
    resolve: Callable[..., Awaitable[Address]], status: LaneStatus, destination: str, *, bypass_cache: bool
) -> Address:
    """Return the address of a destination; raise what parked its lane when a lookup cannot disprove it."""
    parked = Blocked(status.parked, status.reason, status.hint) if status.hint else None
    try:
        address = await resolve(bypass_cache=bypass_cache)
    except RetryLater:
        if parked:
            raise parked from None
        if not bypass_cache:
            raise
        return await resolve(bypass_cache=False)
    if parked and not can_check_without_posting(destination, parked.code):  # a lane that is being retried has no code
        raise parked
    return address


def _explain_refusal(error: SlackError, integration: Integration, destination: str) -> Unreachable:
    """Return Slack's refusal and its fix with the names of the integration, its bot and the destination."""
    fill = partial(format_hint, integration=integration.name, bot=integration.bot_name, channel=destination)
    fix = fix_for(error).map(fill)
    return Unreachable(fill(error.reason), fix, is_certain=isinstance(error, Blocked), code=error.code)


async def check_destinations(
    app: AppContext, integration: Integration, subscriptions: Iterable[Subscription], timeout_s: float | None = None
) -> dict[str, Address | Unreachable]:
    """Return the address of each fixed destination of these subscriptions, or why the bot cannot post there."""
    own = (sub for sub in subscriptions if sub.integration_id == integration.id)
    destinations = sorted({destination for sub in own for destination in sub.fixed_destinations})
    ask_slack = len(destinations) <= MAX_ASKED_ONE_BY_ONE
    find = partial(find_address, app, integration, bypass_cache=ask_slack, with_lane_state=True, timeout_s=timeout_s)
    return dict(zip(destinations, await asyncio.gather(*map(find, destinations)), strict=True))


async def find_warnings(
    app: AppContext, integration: Integration, destinations: Sequence[str], *, bypass_cache: bool = False,
    progress: Progress = lambda *_: None,
) -> list[str]:  # fmt: skip
    """Return a warning for each destination that cannot be posted to yet. Stops when Slack does not answer.

    One reading of the directory, with `progress`, answers for many channels; what could not be checked within
    CHECK_MANY_S shares one warning.
    """
    warnings = []
    if integration.state is not Health.ACTIVE:
        warnings.append(f"Integration {integration.name} is {integration.state}. {integration.hint}")
    if len(destinations) > FEW_DESTINATIONS:
        return warnings + await _find_warnings_of_many(app, integration, destinations, progress)
    for destination in destinations:
        is_user = destination_form(destination) is Destination.USER_ID  # users are not in the directory
        address = await find_address(app, integration, destination, bypass_cache=bypass_cache or is_user)
        if isinstance(address, Address):
            continue
        warnings.append(_warn_about(destination, address))
        if not address.is_certain:
            break
    return warnings


def _warn_about(destination: str, address: Unreachable) -> str:
    wait = "wait" if address.is_certain else "may have to wait"
    return f"Deliveries to {cut(destination, CHANNEL_MAX)} {wait}: {address}"


async def _find_warnings_of_many(
    app: AppContext, integration: Integration, destinations: Sequence[str], progress: Progress
) -> list[str]:
    is_person = {name: destination_form(name) in (Destination.USER_ID, Destination.EMAIL) for name in destinations}
    people = [name for name in destinations if is_person[name]]
    channels = [name for name in destinations if not is_person[name]]
    answers: dict[str, Address | Unreachable] = {}
    unread: Unreachable | None = None

    async def check(names: Sequence[str], *, ask_slack: bool = False) -> None:
        find = partial(find_address, app, integration, bypass_cache=ask_slack, directory_only=True)
        at_once = 1 if ask_slack else CHECKED_AT_ONCE
        for start in range(0, len(names), at_once):
            batch = names[start : start + at_once]
            answers.update(zip(batch, await asyncio.gather(*map(find, batch)), strict=True))

    with suppress(TimeoutError):
        async with asyncio.timeout(CHECK_MANY_S):
            for only_joined in (True, False):  # the channels that the bot is in take a call or two
                left = [name for name in channels if not isinstance(answers.get(name), Address)]
                if left and (unread is None or unread.must_wait):
                    unread = await _read_directory(app, integration, progress, only_joined=only_joined)
                    answers |= await _find_joined(app, integration, left)
                    if not only_joined or (unread and not unread.must_wait):
                        await check([name for name in left if name not in answers])
            if unread is None or unread.must_wait:
                await check(people, ask_slack=True)
    warnings, unchecked = list[str](), 0
    for name in destinations:
        answer = answers.get(name)
        if answer is None or (unread and isinstance(answer, Unreachable) and answer.code == NOT_FOUND):
            unchecked += 1
        elif isinstance(answer, Unreachable):
            if len(warnings) < MAX_ASKED_ONE_BY_ONE:
                answer = await _with_similar_channels(app, integration, name, answer)
            warnings.append(_warn_about(name, answer))
    if unchecked:
        people_only = all(name in answers for name in channels)
        reason = unread or (
            Unreachable("Slack limits how many people are looked up a minute", NO_HINT)
            if people_only
            else Unreachable("The check of all of them takes longer", NO_HINT)
        )
        checks = pluralize(unchecked, "destination was", "destinations were")
        warnings.append(f"{checks} not checked; deliveries wait until they can be posted. {reason}".rstrip())
    return warnings


async def _find_joined(app: AppContext, integration: Integration, destinations: Iterable[str]) -> dict[str, Address]:
    """Return the addresses of channels that the directory says the bot is in, and keep each for its lane.

    A lane that has another channel's address is left out.
    """
    channels = await app.directory.list_channels(integration.id)
    addresses = {
        written: Address(channel.id, f"#{channel.name}")
        for channel in channels
        if channel.is_member and not channel.is_archived
        for written in (f"#{channel.name}", channel.id)
    }
    by_lane = {lane_name(integration.id, name): name for name in destinations if name in addresses}
    known = await app.lanes.find_addresses(list(by_lane))
    new = {lane: addresses[name] for lane, name in by_lane.items() if lane not in known}
    await asyncio.gather(*(app.lanes.pin_address(lane, address) for lane, address in new.items()))
    return {
        name: addresses[name] for lane, name in by_lane.items() if known.get(lane, addresses[name]) == addresses[name]
    }


async def _read_directory(
    app: AppContext, integration: Integration, progress: Progress, *, only_joined: bool
) -> Unreachable | None:
    """Read the channels of a workspace, or only those the bot is in; return why they could not all be read."""
    refresher = app.directory_refresher
    try:
        token = await app.integrations.get_token(integration.id)
        async with asyncio.timeout(READ_S):
            if only_joined:
                await refresher.refresh_memberships(integration, token, budget_s=READ_S)
            else:
                await refresher.refresh(integration, token, unless_younger_s=FRESH_S, progress=progress)
    except TimeoutError:
        return Unreachable("Reading all channels of the workspace takes longer", TRY_AGAIN, must_wait=True)
    except WrongKey as error:
        return Unreachable(error.text.removesuffix("."), error.fix)
    except RetryLater as error:
        return Unreachable(f"Slack has not been asked yet ({error.reason})", TRY_AGAIN, must_wait=True)
    except SlackError as error:
        return _explain_refusal(error, integration, "")
    return None


async def send_test_message(app: AppContext, subscription: Subscription) -> SentTestMessage:
    """Post a test message to a subscription's destination. Raises UserError when it cannot be posted."""
    if not subscription.is_fixed:
        preview = Hint.of(
            "To see where recent events would go, ", Step(Action.PREVIEW_SUBSCRIPTION, subscription.id), "."
        )
        raise UserError(f"{subscription.destination} is made from each event: there is no one place to test.", preview)
    integration = await app.integrations.find(subscription.integration_id)
    text = f"This is a test: subscription {subscription.id} posts InfraKitchen's events here."
    command = f"ik-slack subscriptions test {subscription.id}"
    posted = await _post_now(app, integration, subscription.destination, text, command)
    if isinstance(posted, Unreachable):
        raise UserError(f"The test of {subscription.destination} failed: {posted.reason}.", posted.fix)
    address, receipt = posted
    return SentTestMessage(
        id=subscription.id,
        destination=subscription.destination,
        team=integration.team,
        name=address.name or address.id,
        channel=receipt.channel,
        ts=receipt.ts,
        link=integration.message_url(receipt.channel, receipt.ts),
    )


async def check_posting(app: AppContext, integration: Integration, destination: str) -> CheckResult:
    """Check a destination by posting a test message."""
    text = f"This is a test: integration {escape(integration.name, 100)} can post here."
    command = f"ik-slack integrations test {integration.name} --post '{destination}'"
    posted = await _post_now(app, integration, destination, text, command)
    name = f"post to {destination}"
    if isinstance(posted, Unreachable):
        return CheckResult(name, False, posted.reason, posted.fix, posted.code)
    _, receipt = posted
    return CheckResult(name, True, integration.message_url(receipt.channel, receipt.ts) or "posted")


async def _post_now(
    app: AppContext, integration: Integration, destination: str, text: str, command: str
) -> tuple[Address, Receipt] | Unreachable:
    """Post a test message, with the command that does so, in a rate-limit slot of the conversation."""
    if integration.state is Health.DISABLED:
        return Unreachable(f"Integration {integration.name} is disabled", integration.hint)
    address = await find_address(app, integration, destination, bypass_cache=True)
    if isinstance(address, Unreachable):
        return address
    workspace, name = integration.workspace_id, escape(integration.name, 100)
    source = Context(f"Sent by hand with {code(command, 200)}  ·  integration {name}")
    message = Message(text, (Section(f"👋 {text}"),), (source,), Colour.QUIET)
    try:
        await wait_for_slot(app.rate_limiter, workspace, address.id, longest_s=MAX_SLOT_WAIT_S, sleep=asyncio.sleep)
        token = await app.integrations.get_token(integration.id)
        return address, await app.gateway.post(token, address.id, message)
    except RetryLater as error:
        return Unreachable(f"The wait for a rate-limit slot is too long ({error.reason})", TRY_AGAIN)
    except Uncertain as error:
        return Unreachable(
            f"{error.reason}; the message may have been posted", Hint.of("Look in Slack, then try again.")
        )
    except SlackError as error:
        if isinstance(error, Throttled):
            await app.rate_limiter.close_channel(workspace, address.id, error.retry_after_s)
        return _explain_refusal(error, integration, destination)
