"""Redis answers, but does not do what it is asked: a line says why and what to do, and nothing is lost."""

import asyncio
import json
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError
from support.events import marks, numbered_alert
from support.installation import Installation, Program, until

from worker.local_machine import free_port
from worker.store.installation import LAYOUT, LOST
from worker.store.redis_errors import RedisFailure

FULL = RedisFailure.NO_MEMORY.reason
FULL_DISK = RedisFailure.DISK.reason
BUSY = RedisFailure.BUSY.reason
REPLICA = RedisFailure.READ_ONLY.reason


async def red(installation: Installation) -> dict[str, str]:
    """By its name, the fix of each check of `doctor` that failed."""
    found = json.loads((await installation.cli("doctor", "--json")).out)
    return {line["check"]: line["fix"] for line in found if not line["ok"]}


async def running(installation: Installation) -> list[Program]:
    installation.workspace.add_channel("ops")
    await installation.connect("#ops")
    programs = [installation.ingest(), installation.worker()]
    await installation.running(*programs)
    return programs


def assert_plain(programs: list[Program], reason: str, fix: str) -> None:
    """Each program logs the reason with its fix, and no traceback."""
    for program in programs:
        assert program.process.poll() is None
        assert "Traceback" not in program.log
        said: list[dict[str, Any]] = program.lines(reason)
        assert said, program.log
        assert fix in said[0]["fix"]


@pytest.mark.slow
async def test_redis_without_memory_loses_and_repeats_no_delivery(fast: Installation):
    programs = await running(fast)
    fast.sandbox.fault("slow", method="chat.postMessage", delay_s=2)
    await fast.publish(*(numbered_alert(number) for number in range(10)))
    await until(lambda: fast.sandbox.calls["chat.postMessage"], "a post is on its way")
    await fast.redis.config_set("maxmemory", 1)
    await until(lambda: all(one.lines(FULL) for one in programs), "both have noticed")
    await until(lambda: fast.messages("#ops"), "what was on its way is there")
    assert "maxmemory" in (await red(fast))["memory"]
    refused = await fast.cli("publish", "-", given=json.dumps(numbered_alert(99)))
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert refused.err.startswith(f"Error: {FULL} (")
    assert RedisFailure.NO_MEMORY.fix in refused.err

    await fast.redis.config_set("maxmemory", 0)
    balance = await fast.settled(10)
    assert (balance.repeated, balance.dead) == (0, 0)
    assert sorted(fast.marks("#ops")) == sorted(marks(*range(10)))
    assert_plain(programs, FULL, "noeviction")
    assert await red(fast) == {}


@pytest.mark.slow
async def test_redis_that_became_a_replica_is_reported_and_work_continues_with_a_master(
    fast: Installation,
):
    programs = await running(fast)
    await fast.publish(numbered_alert(1))
    await fast.settled(1)
    await fast.redis.replicaof("127.0.0.1", free_port())
    await until(lambda: all(one.lines(REPLICA) for one in programs), "both have noticed")
    assert RedisFailure.READ_ONLY.fix in (await red(fast)).values()
    await fast.redis.replicaof("NO", "ONE")
    await fast.publish(numbered_alert(2))
    await fast.settled(2)
    assert fast.marks("#ops") == marks(1, 2)
    assert_plain(programs, REPLICA, "Set REDIS_URL")


@pytest.mark.slow
async def test_redis_that_cannot_write_to_its_disk_loses_no_delivery(fast: Installation):
    """A snapshot that fails stands for a full disk: Redis refuses writes the same way."""
    programs = await running(fast)
    await fast.publish(numbered_alert(1))
    await fast.settled(1)
    in_its_way = fast.server.directory / "dump.rdb"
    await fast.redis.config_set("appendonly", "no")
    await fast.redis.config_set("save", "3600 1000000")
    in_its_way.mkdir()
    await fast.redis.bgsave()
    await until(lambda: all(one.lines(FULL_DISK) for one in programs), "both have noticed")
    refused = await fast.cli("publish", "-", given=json.dumps(numbered_alert(99)))
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert refused.err.startswith(f"Error: {FULL_DISK} (")

    in_its_way.rmdir()
    await fast.redis.config_set("save", "")
    await fast.publish(numbered_alert(2))
    balance = await fast.settled(2)
    assert (balance.repeated, balance.dead) == (0, 0)
    assert fast.marks("#ops") == marks(1, 2)
    assert_plain(programs, FULL_DISK, "Free space on its disk")


@pytest.mark.thorough
@pytest.mark.slow
async def test_a_script_that_blocks_redis_is_reported_and_work_continues_after_it(fast: Installation):
    programs = await running(fast)
    await fast.redis.config_set("lua-time-limit", 100)
    async with Redis.from_url(fast.environment["REDIS_URL"], retry=None, socket_timeout=None) as client:
        holding = asyncio.create_task(client.eval("while true do end", 0))
        await until(lambda: all(one.lines(BUSY) for one in programs), "both have noticed")
        refused = await fast.cli("ledger")
        assert refused.err.startswith(f"Error: {BUSY} (")
        await fast.redis.script_kill()
        with pytest.raises(ResponseError):
            await holding
    await fast.publish(numbered_alert(1))
    await fast.settled(1)
    assert fast.marks("#ops") == marks(1)
    assert_plain(programs, BUSY, "SCRIPT KILL")


@pytest.mark.thorough
@pytest.mark.slow
async def test_redis_that_restarts_without_data_is_reported_once_as_critical(fast: Installation):
    programs = await running(fast)
    await until(lambda: fast.redis.exists("ik:origin"), "the data have an origin")
    await fast.redis.flushall()
    await until(lambda: sum(len(one.lines(LOST)) for one in programs), "one program says it")
    doctor = json.loads((await fast.cli("doctor", "--json")).out)
    (data,) = [line for line in doctor if line["check"] == "data"]
    assert (data["level"], LOST in data["detail"]) == ("note", True)
    assert "subscriptions apply" in data["fix"]
    await fast.connect("#ops")
    await fast.publish(numbered_alert(1))
    await fast.settled(1)
    assert sum(len(one.lines(LOST)) for one in programs) == 1
    assert all("Traceback" not in one.log for one in programs)


@pytest.mark.slow
async def test_data_of_a_newer_version_is_not_touched(fast: Installation):
    await fast.redis.hset("ik:origin", mapping={"id": "a", "layout": LAYOUT + 1, "began": 1, "lost": ""})
    programs = fast.ingest(), fast.worker()
    said = [await fast.cli("ledger"), await fast.cli("integrations", "list")]
    for program in programs:
        assert await program.ended(most_s=30) != 0
        assert "newer version of infrakitchen-slack" in program.log
        assert "Traceback" not in program.log
    for one in said:
        assert (one.code, one.err.count("\n")) == (1, 1)
        assert "install the newer version again, or set another KEY_PREFIX" in one.err
    assert set(await fast.redis.keys("ik:*")) <= {b"ik:origin"}


@pytest.mark.thorough
@pytest.mark.slow
async def test_two_installations_on_one_redis_are_independent(fast: Installation):
    fast.workspace.add_channel("ops"), fast.workspace.add_channel("theirs")
    theirs = {"KEY_PREFIX": "other", "EVENTS_STREAM": "other:events"}
    await fast.connect("#ops")
    added = await fast.cli("integrations", "add", "acme", "--token-stdin", given=fast.workspace.token, **theirs)
    subscribed = await fast.cli("subscriptions", "add", "--to", "#theirs", **theirs)
    assert (added.code, subscribed.code) == (0, 0)
    programs = [fast.ingest(), fast.worker(), fast.ingest(**theirs), fast.worker(**theirs)]
    await fast.running(*programs[:2])
    await fast.publish(numbered_alert(1))
    assert (await fast.cli("publish", "-", given=json.dumps(numbered_alert(2)), **theirs)).code == 0
    await fast.settled(1)
    await until(lambda: fast.marks("#theirs"), "the other one tells its own")
    assert (fast.marks("#ops"), fast.marks("#theirs")) == (marks(1), marks(2))
    ledger = json.loads((await fast.cli("ledger", "--json", **theirs)).out)
    assert (ledger["accepted"], ledger["delivered"], ledger["unaccounted"]) == (1, 1, 0)
