"""Redis answers, but does not do what it is asked: a line says why and what to do, and nothing is lost."""

import json
from typing import Any

import pytest
from installation import Installation, Program, alert, evts, until

from worker.sandbox.machine import free_port
from worker.store.origin import LAYOUT, LOST

FULL = "Redis has no memory left"
REPLICA = "Redis is a replica, which takes no writes"


async def red(one: Installation) -> dict[str, str]:
    """What `doctor` wants mended, and how."""
    found = json.loads((await one.cli("doctor", "--json")).out)
    return {line["check"]: line["mend"] for line in found if not line["ok"]}


async def running(one: Installation) -> list[Program]:
    one.workspace.add_channel("ops")
    await one.connect("#ops")
    programs = [one.ingest(), one.worker()]
    await one.running(*programs)
    return programs


def assert_plain(programs: list[Program], reason: str, mend: str) -> None:
    """They said it with the mend, and no traceback."""
    for program in programs:
        assert program.process.poll() is None
        assert "Traceback" not in program.log
        said: list[dict[str, Any]] = program.lines(reason)
        assert said, program.log
        assert mend in said[0]["mend"]


@pytest.mark.slow
async def test_a_redis_without_memory_loses_nothing_and_repeats_nothing(fast: Installation):
    programs = await running(fast)
    fast.sandbox.fault("slow", method="chat.postMessage", delay_s=2)
    await fast.publish(*(alert(number) for number in range(10)))
    await until(lambda: fast.sandbox.calls["chat.postMessage"], "a post is on its way")
    await fast.redis.config_set("maxmemory", 1)
    await until(lambda: all(one.lines(FULL) for one in programs), "both have noticed")
    await until(lambda: fast.messages("#ops"), "what was on its way is there")
    assert "maxmemory" in (await red(fast))["memory"]
    refused = await fast.cli("publish", "-", given=json.dumps(alert(99)))
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert refused.err.startswith(f"Error: {FULL} (")
    assert "Raise its maxmemory" in refused.err

    await fast.redis.config_set("maxmemory", 0)
    balance = await fast.settled(10)
    assert (balance.repeated, balance.dead) == (0, 0)
    assert sorted(fast.marks("#ops")) == sorted(evts(*range(10)))
    assert_plain(programs, FULL, "noeviction")
    assert await red(fast) == {}


@pytest.mark.slow
async def test_a_redis_that_became_a_replica_is_said_and_all_goes_on_with_the_one_it_follows(
    fast: Installation,
):
    programs = await running(fast)
    await fast.publish(alert(1))
    await fast.settled(1)
    await fast.redis.replicaof("127.0.0.1", free_port())
    await until(lambda: all(one.lines(REPLICA) for one in programs), "both have noticed")
    assert "Set REDIS_URL to the one it follows" in " ".join((await red(fast)).values())
    await fast.redis.replicaof("NO", "ONE")
    await fast.publish(alert(2))
    await fast.settled(2)
    assert fast.marks("#ops") == evts(1, 2)
    assert_plain(programs, REPLICA, "Set REDIS_URL")


@pytest.mark.slow
async def test_a_redis_that_comes_back_empty_is_said_once_and_loudly(fast: Installation):
    programs = await running(fast)
    await until(lambda: fast.redis.exists("ik:origin"), "the data have an origin")
    await fast.redis.flushall()
    await until(lambda: sum(len(one.lines(LOST)) for one in programs), "somebody says it")
    doctor = json.loads((await fast.cli("doctor", "--json")).out)
    (data,) = [line for line in doctor if line["check"] == "data"]
    assert (data["level"], LOST in data["detail"]) == ("note", True)
    assert "subscriptions apply" in data["mend"]
    await fast.connect("#ops")
    await fast.publish(alert(1))
    await fast.settled(1)
    assert sum(len(one.lines(LOST)) for one in programs) == 1
    assert all("Traceback" not in one.log for one in programs)


@pytest.mark.slow
async def test_data_of_a_newer_version_are_left_alone(fast: Installation):
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


@pytest.mark.slow
async def test_two_installations_on_one_redis_do_not_see_each_other(fast: Installation):
    fast.workspace.add_channel("ops"), fast.workspace.add_channel("theirs")
    theirs = {"KEY_PREFIX": "other", "EVENTS_STREAM": "other:events"}
    await fast.connect("#ops")
    added = await fast.cli(
        "integrations", "add", "acme", "--token-stdin", given=fast.workspace.token, **theirs
    )
    subscribed = await fast.cli("subscriptions", "add", "--to", "#theirs", **theirs)
    assert (added.code, subscribed.code) == (0, 0)
    programs = [fast.ingest(), fast.worker(), fast.ingest(**theirs), fast.worker(**theirs)]
    await fast.running(*programs[:2])
    await fast.publish(alert(1))
    assert (await fast.cli("publish", "-", given=json.dumps(alert(2)), **theirs)).code == 0
    await fast.settled(1)
    await until(lambda: fast.marks("#theirs"), "the other one tells its own")
    assert (fast.marks("#ops"), fast.marks("#theirs")) == (evts(1), evts(2))
    ledger = json.loads((await fast.cli("ledger", "--json", **theirs)).out)
    assert (ledger["accepted"], ledger["delivered"], ledger["unaccounted"]) == (1, 1, 0)
