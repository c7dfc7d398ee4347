"""The time of commands and console pages while very many deliveries wait in parked lanes.

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

import environment
import workload
from aiohttp import ClientSession

from worker.bootstrap.context import AppContext, ShutdownSignal
from worker.domain.delivery import Receipt, State
from worker.domain.hints import Hint
from worker.store.lanes import Lease
from worker.store.ledger import take_ledger_snapshot
from worker.store.pagination import DeliveryFilter, Page

REPEATS = 9
PAGE_LIMIT_MS, COMMAND_LIMIT_S = 100, 1.0
OPEN_SCOPES = ("bench:open", "bench:open")
GetPage = Callable[[str | None], Awaitable[Page[Any]]]


async def measure(deliveries: int, lanes: int) -> None:
    """Measure with every lane parked, and again when half of them are delivered and a quarter dead."""
    with environment.redis_server() as redis_url, tempfile.TemporaryDirectory() as folder:
        settings = environment.settings(redis_url, "http://127.0.0.1:9/", folder)
        async with environment.open_app(settings) as app:
            names = await workload.subscribe_projects(app, lanes)
            before = await workload.used_memory(app.redis)
            await workload.fill_lanes(app, deliveries, lanes)
            for name in names:
                await park(app, name)
            per_delivery = (await workload.used_memory(app.redis) - before) / deliveries
            print(f"{deliveries:,} pending deliveries, {lanes} parked lanes: {per_delivery:.0f} bytes of Redis each")
            measure_commands(names[0])
            await measure_lists(app, names[1])
            await measure_console(app, names[1])
            await deliver_and_reject(app, names[1:])
            balance = (await take_ledger_snapshot(app.redis)).balance
            assert balance.unaccounted == 0
            print(
                f"\n{balance.delivered:,} delivered, {balance.merged:,} merged, {balance.dead:,} dead, "
                f"{balance.parked:,} parked"
            )
            await measure_lists(app, names[1])
            await measure_console(app, names[1])
            measure_commands(names[-1])


async def park(app: AppContext, lane: str) -> None:
    """Park a lane because its channel is archived."""
    lease = await app.lanes.acquire(lane, "bench")
    assert isinstance(lease, Lease)
    hint = Hint.of("Unarchive it in Slack, or point the subscription at another channel.")
    await app.lanes.park(lease, "is_archived", "the channel is archived", hint, probe_s=3600, called=False)


async def deliver_and_reject(app: AppContext, lanes: list[str]) -> None:
    """Deliver half of the lanes in messages of a thousand; dead-letter the deliveries of a quarter."""
    for number, lane in enumerate(lanes):
        if number % 4 == 3:
            continue
        await app.lanes.resume(lane, permanently=True)
        while isinstance(lease := await app.lanes.acquire(lane, "bench"), Lease):
            taken = await app.lanes.take(lease, OPEN_SCOPES, limit=1_000)
            assert isinstance(taken, tuple)
            if number % 4 == 2:
                await app.lanes.dead_letter(lease, "invalid_blocks" if number % 8 == 2 else "msg_too_long", "no")
                await app.lanes.release(lease)
            else:
                await app.lanes.settle(lease, Receipt("C1", "1700000000.000100"), taken[0].delivery_id)


async def measure_lists(app: AppContext, lane: str) -> None:
    """Measure the first page of each list, and a later one."""

    def deliveries(state: State | None = None, lane: str | None = None) -> GetPage:
        return lambda cursor: app.deliveries.page(DeliveryFilter(state, (lane,) if lane else None), cursor)

    lists: dict[str, GetPage] = {
        "parked lanes": app.parked_lanes.page,
        "deliveries": deliveries(),
        **{f"deliveries {state}": deliveries(state) for state in State},
        "deliveries of a lane": deliveries(lane=lane),
        **{
            f"deliveries {state} of a lane": deliveries(state, lane)
            for state in (State.PARKED, State.DEAD, State.MERGED)
        },
        "dead letters": lambda cursor: app.dead_letters.page("", cursor),
        "dead letters of a reason": lambda cursor: app.dead_letters.page("msg_too_long", cursor),
    }
    for name, get_page in lists.items():
        first_ms, first = await timed(lambda get_page=get_page: get_page(None))
        page, count = first, 0
        while page.next and count < 40:
            page, count = await get_page(page.next), count + 1
        later_ms, _ = await timed(lambda get_page=get_page, cursor=page.next: get_page(cursor))
        print_time(f"  page of {name}", f"{len(first.rows):>3} rows", max(first_ms, later_ms))
    print_time("  ledger", "", (await timed(lambda: take_ledger_snapshot(app.redis)))[0])
    print_time("  dead letters by reason", "", (await timed(app.dead_letters.count_by_reason))[0])


async def measure_console(app: AppContext, lane: str) -> None:
    """Measure the console's pages over HTTP."""
    from worker.web.app import listen, make_app, serve

    shutdown = ShutdownSignal()
    with listen("127.0.0.1", 0) as listening:
        serving = asyncio.create_task(serve(make_app(app), listening, shutdown))
        base = f"http://127.0.0.1:{listening.getsockname()[1]}"
        async with ClientSession(base) as client:
            for path in await console_paths(app, lane):
                took_ms, size = await timed(lambda path=path: fetch(client, path))
                print_time(f"  console {path[:60]}", f"{size // 1024} KiB", took_ms)
        shutdown.set()
        await serving


async def fetch(client: ClientSession, path: str) -> int:
    """Return the size of a page, which must exist."""
    async with client.get(path) as response:
        assert response.status == 200, (path, response.status)
        return len(await response.read())


async def console_paths(app: AppContext, lane: str) -> list[str]:
    """Return the paths of every list, and of one page of each kind."""
    first = await app.deliveries.page(DeliveryFilter(lanes=(lane,)))
    delivered = (await app.deliveries.page(DeliveryFilter(State.DELIVERED))).rows or first.rows
    of_lane, later = f"lane={quote(lane, safe='')}", first
    for _ in range(20):
        later = await app.deliveries.page(DeliveryFilter(), later.next) if later.next else later
    return [
        "/", "/subscriptions", "/subscriptions/add", f"/subscriptions/{first.rows[0].subscription_id}",
        f"/subscriptions/{first.rows[0].subscription_id}/remove",
        "/deliveries", f"/deliveries?after={later.next or ''}", f"/deliveries?{of_lane}",
        *(f"/deliveries?state={state}" for state in State), f"/deliveries?{of_lane}&state=dead",
        f"/deliveries/{first.rows[0].id}", f"/deliveries/{delivered[0].id}", "/parked", "/dead-letters",
        "/dead-letters?reason=msg_too_long", f"/explain/{first.rows[0].id}",
    ]  # fmt: skip


async def timed(call: Callable[[], Awaitable[Any]]) -> tuple[float, Any]:
    """Return the median time of a call in milliseconds, and its last result."""
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        result = await call()
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times), result


def measure_commands(lane: str) -> None:
    """Measure whole commands, including the start of the program, which `--version` shows alone."""
    for arguments in (
        ("--version",),
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
        before_s, began = children_processor_s(), time.perf_counter()
        subprocess.run([environment.program("ik-slack"), *arguments], check=True, capture_output=True)
        took_s, used_s = time.perf_counter() - began, children_processor_s() - before_s
        slow = "" if took_s <= COMMAND_LIMIT_S else "  TOO SLOW"
        print(f"  ik-slack {' '.join(arguments):<52} {took_s:6.2f} s, {used_s:.2f} s of a processor{slow}")


def children_processor_s() -> float:
    """Return the processor time of the commands so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def print_time(name: str, note: str, took_ms: float) -> None:
    """Print the time of a page, and whether it is too slow."""
    print(f"{name:<42} {note:>9} {took_ms:8.1f} ms{'' if took_ms <= PAGE_LIMIT_MS else '  TOO SLOW'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deliveries", type=int, default=200_000)
    parser.add_argument("--lanes", type=int, default=100)
    options = parser.parse_args()
    asyncio.run(measure(options.deliveries, options.lanes))
