"""How the demo is told: who hears what, the scenes at their times, and waiting until all has arrived."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence

from worker.cli.demo_story import Sample, Scene
from worker.cli.sandbox import NOT_INVITED
from worker.cli.stage import LOOK_S, Stage
from worker.domain.errors import Problem
from worker.domain.event import Kind, Severity
from worker.domain.integration import Integration, Secret
from worker.domain.subscription import Filters, Subscription
from worker.pipeline.connect import add_integration
from worker.publish import encode
from worker.store.ledger import Balance, take_census

AT_ONCE = 200
PARKS_MOST_S = 20.0


async def connect(on: Stage) -> None:
    """The sandbox's workspace as an integration, and a subscription for each of its channels."""
    made = on.made
    acme = await add_integration(
        made.integrations, made.gateway, "acme", Secret(on.acme.token), description="the demo's workspace"
    )
    await made.subscriptions.change(save=_subscriptions(acme, await made.server.now_ms()))


def _subscriptions(acme: Integration, now_ms: int) -> list[Subscription]:
    loud = Filters(kinds=(Kind.ALERT,), min_severity=Severity.WARNING)
    rules = (
        ("sub-deployments", "#deployments", Filters(kinds=(Kind.WORKFLOW,)), ""),
        ("sub-platform", "#platform", Filters(kinds=(Kind.RESOURCE, Kind.OTHER)), ""),
        ("sub-alerts", "#alerts", loud, "<!here>"),
        ("sub-payments", "#team-payments", Filters(projects=("payments",)), ""),
        ("sub-not-invited", f"#{NOT_INVITED}", Filters(statuses=("error", "approval_pending")), ""),
    )
    return [
        Subscription(id_, acme.id, destination, filters, mention=mention, created_at_ms=now_ms + place)
        for place, (id_, destination, filters, mention) in enumerate(rules)
    ]


async def tell(on: Stage, scenes: Iterable[Scene], told: Callable[[Scene], None]) -> None:
    """Publish each scene at its time; what `told` does follows it."""
    began_s = time.monotonic()
    for scene in scenes:
        await asyncio.sleep(max(began_s + scene.at_s - time.monotonic(), 0))
        await enact(on, scene)
        told(scene)


async def enact(on: Stage, scene: Scene) -> None:
    """Publish a scene's samples, in their order. What no one can read goes in as it is."""
    stream = on.made.settings.events_stream
    for start in range(0, len(scene.samples), AT_ONCE):
        some = scene.samples[start : start + AT_ONCE]
        raw = [sample if isinstance(sample, bytes) else encode(sample) for sample in some]
        await on.made.server.each([("XADD", stream, "*", "event", one) for one in raw])


async def invite(on: Stage, half: asyncio.Event) -> None:
    """Invite the bot where it was missing: half way through, once something waits there for it."""
    await half.wait()
    until_s = time.monotonic() + PARKS_MOST_S
    while time.monotonic() < until_s and not (await balance(on)).parked:  # noqa: ASYNC110  # it is in Redis
        await asyncio.sleep(LOOK_S)
    on.acme.invite(NOT_INVITED)


async def balance(on: Stage) -> Balance:
    """The ledger now."""
    return (await take_census(on.made.server))[0]


async def all_told(
    on: Stage, samples: Sequence[Sample], deadline_s: float, seen: Callable[[Balance], None]
) -> Balance:
    """Wait until every sample is accounted for and none waits; Problem with what is missing when late."""
    rejected = sum(isinstance(sample, bytes) for sample in samples)
    until_s = time.monotonic() + deadline_s
    while True:
        now = await balance(on)
        seen(now)
        missing = _missing(now, len(samples) - rejected, rejected)
        if not missing:
            return now
        if now.dead or time.monotonic() > until_s:
            raise Problem(f"Not all was told: {missing}. What the programs said is in {on.folder / 'log'}.")
        await asyncio.sleep(2 * LOOK_S)


def _missing(now: Balance, accepted: int, rejected: int) -> str:
    """What keeps a balance from being that of so many events, all told; empty when nothing does."""
    wanted = {
        "accepted": accepted,
        "rejected": rejected,
        "pending": 0,
        "parked": 0,
        "dead": 0,
        "unaccounted": 0,
    }
    wrong = [
        f"{name} is {getattr(now, name):,} instead of {number:,}"
        for name, number in wanted.items()
        if getattr(now, name) != number
    ]
    return ", ".join(wrong)
