"""A large backlog: what commands and the console's lists take while very many deliveries wait for a person.

python benchmarks/backlog.py [--deliveries 200000] [--lanes 100]
"""

import argparse
import asyncio
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

import stage
from aiohttp import ClientSession
from memory import changed, used

from worker.bootstrap import Services, Stopping, services
from worker.domain.delivery import Receipt, State
from worker.domain.integration import Integration, Secret
from worker.domain.subscription import Filters, Subscription
from worker.publish import encode
from worker.store.held import Held
from worker.store.ledger import take_census
from worker.store.pages import Page, Where

TIMES = 9
PAGE_MOST_MS, COMMAND_MOST_S = 100, 1.0
OPEN = ("bench:open", "bench:open")
Turn = Callable[[str | None], Awaitable[Page[object]]]


async def measure(deliveries: int, lanes: int) -> None:
    """Fill the lanes and park them; then let half of it be told and a quarter die."""
    with stage.server() as redis, tempfile.TemporaryDirectory() as folder:
        environment = stage.settings(redis, "http://127.0.0.1:9/", folder)
        stage.os.environ.update(environment)
        from config.settings import Settings

        async with services(Settings.load()) as made:
            names = await prepare(made, lanes)
            before = await used(made.server)
            await fill(made, deliveries, lanes)
            for name in names:
                held = await hold(made, name)
                hint = "Unarchive it in Slack, or point the subscription at another channel."
                await made.lanes.park(
                    held, "is_archived", "the channel is archived", hint, probe_s=3600, called=False
                )
            each = (await used(made.server) - before) / deliveries
            print(f"{deliveries:,} pending deliveries, {lanes} parked lanes: {each:.0f} bytes of Redis each")
            commands(names[0])
            await pages(made, names[1])
            await console(made, names[1])
            await live(made, names[1:])
            balance, _ = await take_census(made.server)
            assert balance.unaccounted == 0
            print(
                f"\n{balance.delivered:,} delivered, {balance.merged:,} merged, {balance.dead:,} dead, "
                f"{balance.parked:,} parked"
            )
            await pages(made, names[1])
            await console(made, names[1])
            commands(names[-1])


async def prepare(made: Services, lanes: int) -> list[str]:
    """One subscription a lane: the lanes."""
    await made.integrations.save(Integration("bench", "bench"), Secret("xoxb-bench"))
    rules = [
        Subscription(f"sub-{n:08d}", "bench", f"#channel-{n}", Filters(projects=(f"p{n}",)))
        for n in range(lanes)
    ]
    await made.subscriptions.change(save=rules)
    await made.stream.join()
    return [one.lane for one in rules]


async def fill(made: Services, deliveries: int, lanes: int) -> None:
    """As ingest does."""
    for start in range(0, deliveries, 500):
        bodies = [encode(changed(number, lanes)) for number in range(start, min(start + 500, deliveries))]
        await made.server.each([("XADD", made.settings.events_stream, "*", "event", body) for body in bodies])
        while entries := await made.stream.read(most=500, wait_ms=1):
            await made.ingest.accept(entries)
        await made.stream.trim()


async def live(made: Services, names: list[str]) -> None:
    """Half of the lanes tell all they have, in messages of a thousand; a quarter's deliveries die."""
    for number, name in enumerate(names):
        if number % 4 == 3:
            continue
        await made.lanes.resume(name, certain=True)
        while isinstance(held := await made.lanes.acquire(name, "bench"), Held):
            taken = await made.lanes.take(held, OPEN, most=1_000)
            assert isinstance(taken, tuple)
            if number % 4 == 2:
                await made.lanes.bury(held, "invalid_blocks" if number % 8 == 2 else "msg_too_long", "no")
                await made.lanes.release(held)
            else:
                await made.lanes.settle(held, Receipt("C1", "1700000000.000100"), taken[0].delivery_id)


async def hold(made: Services, lane: str) -> Held:
    """The lane, which nobody holds."""
    held = await made.lanes.acquire(lane, "bench")
    assert isinstance(held, Held)
    return held


async def pages(made: Services, lane: str) -> None:
    """Each list: its first page, and one from the middle."""
    looks: list[tuple[str, Turn]] = [
        ("parked lanes", made.parked.page),
        ("deliveries", lambda after: made.deliveries.page(Where(), after)),
        *(
            (f"deliveries {state}", lambda after, state=state: made.deliveries.page(Where(state), after))
            for state in State
        ),
        ("deliveries of a lane", lambda after: made.deliveries.page(Where(lane=lane), after)),
        *(
            (
                f"deliveries {state} of a lane",
                lambda after, state=state: made.deliveries.page(Where(state, lane), after),
            )
            for state in (State.PARKED, State.DEAD, State.MERGED)
        ),
        ("dead letters", lambda after: made.dead_letters.page("", after)),
        ("dead letters of a reason", lambda after: made.dead_letters.page("msg_too_long", after)),
    ]
    for name, turn in looks:
        first_ms, first = await timed(lambda turn=turn: turn(None))
        page, turns = first, 0
        while page.next and turns < 40:
            page, turns = await turn(page.next), turns + 1
        later_ms, _ = await timed(lambda turn=turn, page=page: turn(page.next))
        say(f"  page of {name}", f"{len(first.rows):>3} rows", max(first_ms, later_ms), PAGE_MOST_MS)
    say("  ledger", "", (await timed(lambda: take_census(made.server)))[0], PAGE_MOST_MS)
    say("  dead letters by reason", "", (await timed(made.dead_letters.reasons))[0], PAGE_MOST_MS)


async def console(made: Services, lane: str) -> None:
    """The same lists as pages over HTTP, with all that is on them; and one of each kind."""
    from worker.web.app import listen, make_app, serve

    stopping = Stopping()
    with listen("127.0.0.1", 0) as listening:
        serving = asyncio.create_task(serve(make_app(made), listening, stopping))
        base = f"http://127.0.0.1:{listening.getsockname()[1]}"
        async with ClientSession(base) as client:
            for path in await addresses(made, lane):
                began_ms, size = await timed(lambda path=path: fetched(client, path))
                say(f"  console {path[:60]}", f"{size // 1024} KiB", began_ms, PAGE_MOST_MS)
        stopping.set()
        await serving


async def fetched(client: ClientSession, path: str) -> int:
    """How large a page is, which must be there."""
    async with client.get(path) as answer:
        assert answer.status == 200, (path, answer.status)
        return len(await answer.read())


async def addresses(made: Services, lane: str) -> list[str]:
    """Of pages."""
    found = await made.deliveries.page(Where(lane=lane))
    told = (await made.deliveries.page(Where(State.DELIVERED))).rows or found.rows
    of_lane, deep = f"lane={quote(lane, safe='')}", found
    for _ in range(20):
        deep = await made.deliveries.page(Where(), deep.next) if deep.next else deep
    return [
        "/", "/subscriptions", "/subscriptions/add", f"/subscriptions/{found.rows[0].subscription_id}",
        f"/subscriptions/{found.rows[0].subscription_id}/remove",
        "/deliveries", f"/deliveries?after={deep.next or ''}", f"/deliveries?{of_lane}",
        *(f"/deliveries?state={state}" for state in State), f"/deliveries?{of_lane}&state=dead",
        f"/deliveries/{found.rows[0].id}", f"/deliveries/{told[0].id}", "/parked", "/dead-letters",
        "/dead-letters?reason=msg_too_long", f"/explain/{found.rows[0].id}",
    ]  # fmt: skip


async def timed(call: Callable[[], Awaitable[Any]]) -> tuple[float, Any]:
    """The median of a few, in milliseconds."""
    times = []
    for _ in range(TIMES):
        began = time.perf_counter()
        answer = await call()
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times), answer


def commands(lane: str) -> None:
    """As a person types them: the start of the program included."""
    for words in (
        ("--version",),  # the start of the program alone
        ("parked", "list"),
        ("parked", "list", "--json"),
        ("ledger",),
        ("parked", "resume", lane),
        ("deliveries", "list", "--state", "parked"),
        ("deliveries", "list", "--state", "delivered"),
        ("deliveries", "list", "--state", "dead", "--lane", lane),
        ("deliveries", "list", "--lane", lane),
        ("dead-letters", "list"),
        ("dead-letters", "list", "--reason", "msg_too_long"),
    ):
        before_s, began = processor_s(), time.perf_counter()
        subprocess.run([stage.program("ik-slack"), *words], check=True, capture_output=True)
        took_s, used_s = time.perf_counter() - began, processor_s() - before_s
        slow = "" if took_s <= COMMAND_MOST_S else "  TOO SLOW"
        print(f"  ik-slack {' '.join(words):<52} {took_s:6.2f} s, {used_s:.2f} s of a processor{slow}")


def processor_s() -> float:
    """Processor time of the commands run so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def say(what: str, note: str, took_ms: float, most_ms: float) -> None:
    """A line; what is too slow says so."""
    print(f"{what:<42} {note:>9} {took_ms:8.1f} ms{'' if took_ms <= most_ms else '  TOO SLOW'}")


def main() -> None:
    """Run it once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deliveries", type=int, default=200_000)
    parser.add_argument("--lanes", type=int, default=100)
    given = parser.parse_args()
    asyncio.run(measure(given.deliveries, given.lanes))


if __name__ == "__main__":
    main()
