"""A workspace of 20,000 channels at Slack's own pace, and a reader that is killed in the middle."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.events import numbered_alert
from support.installation import Installation, Program, run_installation, until
from support.large_workspace import (
    add_channels,
    count_list_calls,
    list_refreshes,
    max_list_calls_per_minute,
    parked_codes,
    subscribe_in_store,
    wait_for_lanes,
    wait_for_probes,
)
from support.ledger_checks import REPORT

PAGE = 999
PUBLIC, PAGES = 20_000, 21 + 1
AGE_S = 150
JOINED = ("c0", "c999", "c10000", "c19998", "p7")
NOT_JOINED = tuple(f"c{number}" for number in range(5_000, 5_220, 10))
NOBODYS = ("typo", "p8", "nowhere")
NAMES = (*JOINED, *NOT_JOINED, *NOBODYS)


@pytest.fixture
async def large(tmp_path: Path) -> AsyncIterator[Installation]:
    """An installation at Slack's own pace."""
    async with run_installation(tmp_path, DIRECTORY_TTL_S=str(AGE_S)) as app:
        app.sandbox.latency_s = 0.2
        yield app


async def test_one_of_two_workers_reads_twenty_thousand_channels_once_per_age_of_the_directory(large: Installation):
    add_channels(large.workspace, public=PUBLIC, private=50, joined=JOINED)
    by_id = large.workspace.get_channel("c7770")
    large.workspace.invite(by_id)
    assert len(NAMES) == 30
    await subscribe_in_store(large, *(f"#{name}" for name in NAMES), by_id.id)
    destinations = (*NAMES, by_id.id)
    first = [large.ingest(), large.worker(), large.worker()]
    await large.running(*first)
    resident_kb = [_resident_kb(program) for program in first[1:]]
    began = time.monotonic()
    await large.publish(*(numbered_alert(number, to) for number, to in enumerate(destinations)))
    await wait_for_lanes(large, len(JOINED) + 1, 0)
    told_s = time.monotonic() - began
    assert count_list_calls(large) < PAGES
    await wait_for_lanes(large, len(JOINED) + 1, len(NAMES) - len(JOINED), most_s=180)
    parked_s = time.monotonic() - began
    assert count_list_calls(large) == PAGES
    [reading] = list_refreshes(first)
    assert (reading["pages"], reading["channels"]) == (PAGES, PUBLIC + 1)
    assert set((await parked_codes(large)).values()) == {"not_in_channel", "channel_not_found"}
    grown_kb = [_resident_kb(program) - kb for program, kb in zip(first[1:], resident_kb, strict=True)]
    sizes = [await large.redis.memory_usage(f"ik:directory:acme:{part}", 0) for part in ("channels", "names")]
    REPORT.append(
        f"20,000 channels: {PAGES} pages in {reading['took_s']:.0f} s, {max_list_calls_per_minute(large)} in a minute "
        f"at most; told after {told_s:.1f} s, the others parked after {parked_s:.0f} s; the workers grew by "
        f"{[kb // 1024 for kb in grown_kb]} MB, the directory takes {sum(sizes) / 1e6:.1f} MB"
    )

    for program in first:
        assert await program.stop() == 0
    second = [large.ingest(), large.worker(), large.worker()]
    await large.running(*second)
    await large.publish(*(numbered_alert(100 + number, to) for number, to in enumerate(destinations)))
    await wait_for_lanes(large, 2 * (len(JOINED) + 1), 2 * (len(NAMES) - len(JOINED)))
    await wait_for_probes("#typo", second)
    assert count_list_calls(large) == PAGES, "within its age nobody reads it again"

    await until(lambda: list_refreshes(second), "after its age it is read again", most_s=AGE_S + 150)
    await wait_for_probes("#typo", second, times=5)
    assert count_list_calls(large) == 2 * PAGES
    assert len(list_refreshes(second)) == 1
    assert max_list_calls_per_minute(large) <= 20
    assert large.sandbox.violations.total() == 0


async def test_when_the_refreshing_worker_is_killed_another_continues_at_its_cursor(large: Installation):
    large.workspace.page_limit = 20
    add_channels(large.workspace, public=220, private=20, joined=("c0", "p7"))
    await subscribe_in_store(large, "#c0", "#c199", "#typo")
    reader = large.worker()
    await large.running(large.ingest(), reader)
    await large.publish(numbered_alert(0, "c0"), numbered_alert(1, "c199"), numbered_alert(2, "typo"))
    await until(lambda: count_list_calls(large) == 7, "the reading is under way")
    other = large.worker()
    await large.running(other)
    await asyncio.sleep(0.5)  # the answer to the seventh page is kept, the eighth waits for its slot
    await reader.kill()
    killed = time.monotonic()
    await wait_for_lanes(large, delivered=1, parked=2, most_s=90)
    [reading] = list_refreshes([other])
    assert (reading["pages"], reading["continued_after"]) == (11 + 1, count_list_calls(large) - 5)
    assert count_list_calls(large) == 11 + 1
    REPORT.append(f"reader killed at page 7 of 12: read by the other {time.monotonic() - killed:.0f} s later")


def _resident_kb(program: Program) -> int:
    """The most memory it has had."""
    status = Path(f"/proc/{program.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
