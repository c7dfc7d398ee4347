"""A workspace of 20,000 channels at Slack's own pace, and a reader that is killed in the middle."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from accounts import REPORT
from installation import Installation, Program, alert, installed, until
from large_workspace import (
    fill,
    lanes_end,
    listed,
    looked_for,
    most_in_a_minute,
    parked_codes,
    readings,
    subscribe,
)

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
    async with installed(tmp_path, DIRECTORY_TTL_S=str(AGE_S)) as made:
        made.sandbox.latency_s = 0.2
        yield made


async def test_twenty_thousand_channels_are_read_once_per_age_by_one_worker_of_two(large: Installation):
    fill(large.workspace, public=PUBLIC, private=50, joined=JOINED)
    by_id = large.workspace.channel("c7770")
    large.workspace.invite(by_id)
    assert len(NAMES) == 30
    await subscribe(large, *(f"#{name}" for name in NAMES), by_id.id)
    destinations = (*NAMES, by_id.id)
    first = [large.ingest(), large.worker(), large.worker()]
    await large.running(*first)
    resident_kb = [_resident_kb(program) for program in first[1:]]
    began = time.monotonic()
    await large.publish(*(alert(number, to) for number, to in enumerate(destinations)))
    await lanes_end(large, len(JOINED) + 1, 0)
    told_s = time.monotonic() - began
    assert listed(large) < PAGES
    await lanes_end(large, len(JOINED) + 1, len(NAMES) - len(JOINED), most_s=180)
    parked_s = time.monotonic() - began
    assert listed(large) == PAGES
    [reading] = readings(first)
    assert (reading["pages"], reading["channels"]) == (PAGES, PUBLIC + 1)
    assert set((await parked_codes(large)).values()) == {"not_in_channel", "channel_not_found"}
    grown_kb = [_resident_kb(program) - kb for program, kb in zip(first[1:], resident_kb, strict=True)]
    sizes = [await large.redis.memory_usage(f"ik:directory:acme:{part}", 0) for part in ("channels", "names")]
    REPORT.append(
        f"20,000 channels: {PAGES} pages in {reading['took_s']:.0f} s, {most_in_a_minute(large)} in a minute "
        f"at most; told after {told_s:.1f} s, the others parked after {parked_s:.0f} s; the workers grew by "
        f"{[kb // 1024 for kb in grown_kb]} MB, the directory takes {sum(sizes) / 1e6:.1f} MB"
    )

    for program in first:
        assert await program.stop() == 0
    second = [large.ingest(), large.worker(), large.worker()]
    await large.running(*second)
    await large.publish(*(alert(100 + number, to) for number, to in enumerate(destinations)))
    await lanes_end(large, 2 * (len(JOINED) + 1), 2 * (len(NAMES) - len(JOINED)))
    await looked_for("#typo", second)
    assert listed(large) == PAGES, "within its age nobody reads it again"

    await until(lambda: readings(second), "after its age it is read again", most_s=AGE_S + 150)
    await looked_for("#typo", second, times=5)
    assert listed(large) == 2 * PAGES
    assert len(readings(second)) == 1
    assert most_in_a_minute(large) <= 20
    assert large.sandbox.violations.total() == 0


async def test_when_the_reading_worker_is_killed_another_goes_on_where_it_was(large: Installation):
    large.workspace.page_most = 20
    fill(large.workspace, public=220, private=20, joined=("c0", "p7"))
    await subscribe(large, "#c0", "#c199", "#typo")
    reader = large.worker()
    await large.running(large.ingest(), reader)
    await large.publish(alert(0, "c0"), alert(1, "c199"), alert(2, "typo"))
    await until(lambda: listed(large) == 7, "the reading is under way")
    other = large.worker()
    await large.running(other)
    await asyncio.sleep(0.5)  # the answer to the seventh page is kept, the eighth waits for its slot
    await reader.kill()
    killed = time.monotonic()
    await lanes_end(large, told=1, parked=2, most_s=90)
    [reading] = readings([other])
    assert (reading["pages"], reading["went_on_after"]) == (11 + 1, listed(large) - 5)
    assert listed(large) == 11 + 1
    REPORT.append(f"reader killed at page 7 of 12: read by the other {time.monotonic() - killed:.0f} s later")


def _resident_kb(program: Program) -> int:
    """The most memory it has had."""
    status = Path(f"/proc/{program.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
