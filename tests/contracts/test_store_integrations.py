"""Integrations: encrypted tokens, parked and resumed with all their lanes, changed in one write."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from support.store import KEY_RING, LANE, RECEIPT, World

from worker.domain.delivery import Outcome
from worker.domain.errors import UserError
from worker.domain.hints import Hint
from worker.domain.integration import Conversation, Health, Integration, Secret
from worker.store.integrations import Integrations, LastCalls
from worker.store.lanes import Denial, LeaseDenied
from worker.store.ledger import take_ledger_snapshot
from worker.store.redis_client import Value
from worker.store.schedule import ProbeKind, ProbeTarget
from worker.store.token_cipher import TokenCipher, WrongKey, generate_key

OPS = Integration(
    "ops", "Ops", "T1", "Acme", "https://acme.slack.com/", "U1", "infrakitchen", ("chat:write",), "d", ("l",)
)
TOKEN = Secret("xoxb-1")


async def test_a_saved_integration_is_read_back_with_its_token(world: World):
    await world.integrations.save(OPS, TOKEN)
    assert await world.integrations.find("Ops") == OPS
    assert await world.integrations.find("ops") == OPS
    assert await world.integrations.get_token("ops") == TOKEN


async def test_a_token_is_never_readable_in_redis(world: World):
    await world.integrations.save(OPS, TOKEN)
    for key in await world.redis.keys("*"):
        assert b"xoxb" not in await world.redis.dump(key)


async def test_integrations_are_listed_by_name(world: World):
    for id_, name in (("b", "Beta"), ("a", "Alpha")):
        await world.integrations.save(replace(OPS, id=id_, name=name), TOKEN)
    assert [one.name for one in await world.integrations.list_all()] == ["Alpha", "Beta"]


async def test_an_unknown_integration_is_an_error_that_names_the_known_ones(world: World):
    with pytest.raises(UserError, match=r"no integration 'x' \(existing: none yet\)"):
        await world.integrations.find("x")
    await world.integrations.save(OPS, TOKEN)
    with pytest.raises(UserError, match=r"no integration 'x' \(existing: Ops\)"):
        await world.integrations.find("x")
    with pytest.raises(UserError, match=r"no integration 'Opss': did you mean Ops\?"):
        await world.integrations.find("Opss")


async def test_a_changed_integration_keeps_its_token_and_every_process_sees_the_change(world: World):
    other = Integrations(world.server, TokenCipher(KEY_RING))
    await world.integrations.save(OPS, TOKEN)
    assert await other.find("ops") == OPS
    await world.integrations.save(replace(OPS, description="new"))
    assert (await other.find("ops")).description == "new"
    assert await other.get_token("ops") == TOKEN
    known = await other.get_connections()
    assert await other.get_connections() is known


async def test_integrations_are_cached_under_a_known_version(world: World):
    await world.integrations.save(OPS, TOKEN)
    assert set(await world.integrations.get_connections(1)) == {"ops"}
    await world.integrations.save(replace(OPS, id="dev"), TOKEN)
    assert set(await world.integrations.get_connections(1)) == {"ops"}
    assert set(await world.integrations.get_connections(2)) == {"ops", "dev"}


async def test_a_token_rotated_during_other_saves_is_not_lost(world: World):
    await world.integrations.save(OPS, TOKEN)
    changes = [world.integrations.save(replace(OPS, description=str(n))) for n in range(10)]
    rotation = world.integrations.save(OPS, Secret("xoxb-2"))
    more = [world.integrations.save(replace(OPS, description=str(n))) for n in range(10)]
    await asyncio.gather(*changes, rotation, *more)
    assert await world.integrations.get_token("ops") == Secret("xoxb-2")


async def test_a_token_rotated_between_reading_and_writing_is_not_lost(world: World):
    await world.integrations.save(OPS, TOKEN)
    script, rotations = world.server.run_script, [Secret("xoxb-2"), Secret("xoxb-3")]

    async def rotated_before(name: str, keys: Sequence[str], arguments: Sequence[Value] = ()) -> Any:
        if name == "integration_save" and rotations:
            await world.integrations.save(OPS, rotations.pop(0))
        return await script(name, keys, arguments)

    world.server.run_script = rotated_before
    await world.integrations.save(replace(OPS, description="new"))
    assert await world.integrations.get_token("ops") == Secret("xoxb-3")
    assert (await world.integrations.find("ops")).description == "new"


async def test_saving_a_removed_integration_does_not_create_it_again(world: World):
    with pytest.raises(UserError, match="Ops was removed"):
        await world.integrations.save(OPS)
    assert await world.integrations.list_all() == []


async def test_a_token_encrypted_with_another_key_is_an_error_of_its_integration_alone(world: World):
    await Integrations(world.server, TokenCipher(generate_key())).save(replace(OPS, id="dev", name="Dev"), TOKEN)
    await world.integrations.save(OPS, TOKEN)
    connections = await world.integrations.get_connections()
    assert connections["ops"].token == TOKEN
    assert connections["dev"].token is None
    assert "The token of integration Dev cannot be decrypted" in str(connections["dev"].unreadable)
    with pytest.raises(WrongKey, match="integration Dev"):
        await world.integrations.get_token("dev")


async def test_every_token_is_encrypted_again_with_the_first_key(world: World):
    old, new = generate_key(), generate_key()
    for name in ("Ops", "Dev"):
        await Integrations(world.server, TokenCipher(old)).save(replace(OPS, id=name.lower(), name=name), TOKEN)
    both = Integrations(world.server, TokenCipher(f"{new},{old}"))
    assert await both.reencrypt_tokens() == ["Dev", "Ops"]
    assert await both.reencrypt_tokens() == ["Dev", "Ops"]
    after = Integrations(world.server, TokenCipher(new))
    assert await after.get_token("ops") == TOKEN
    assert await after.find("ops") == OPS


async def test_a_token_that_no_key_decrypts_is_named_after_all_others_are_encrypted_again(world: World):
    old, new = generate_key(), generate_key()
    await Integrations(world.server, TokenCipher(generate_key())).save(replace(OPS, id="dev", name="Dev"), TOKEN)
    await Integrations(world.server, TokenCipher(old)).save(OPS, TOKEN)
    with pytest.raises(WrongKey, match="integration Dev"):
        await Integrations(world.server, TokenCipher(f"{new},{old}")).reencrypt_tokens()
    assert await Integrations(world.server, TokenCipher(new)).get_token("ops") == TOKEN


async def test_a_token_rotated_or_removed_while_all_are_encrypted_again_stays_so(world: World):
    await world.integrations.save(OPS, TOKEN)
    await world.integrations.save(replace(OPS, id="dev", name="Dev"), TOKEN)
    script, steps = world.server.run_script, {"ops": [Secret("xoxb-2")], "dev": [None]}

    async def changed_before(name: str, keys: Sequence[str], arguments: Sequence[Value] = ()) -> Any:
        if name == "integration_save" and steps[arguments[0]]:
            token = steps[arguments[0]].pop()
            await (world.integrations.save(OPS, token) if token else world.integrations.remove("dev"))
        return await script(name, keys, arguments)

    world.server.run_script = changed_before
    assert await world.integrations.reencrypt_tokens() == ["Ops"]
    assert await world.integrations.get_token("ops") == Secret("xoxb-2")
    assert [one.name for one in await world.integrations.list_all()] == ["Ops"]


async def test_a_parked_integration_has_its_reason_and_the_time_it_parked(world: World):
    await world.integrations.save(OPS, TOKEN)
    assert await world.integrations.park("ops", "token_revoked", "revoked", Hint.of("rotate"), probe_s=60) is True
    assert await world.integrations.park("ops", "account_inactive", "x", Hint.of("y"), probe_s=60) is False
    found = await world.integrations.find("ops")
    assert (found.state, found.reason, str(found.hint)) == (Health.PARKED, "revoked", "rotate")
    assert abs(found.since_ms - await world.server.now_ms()) < 10_000
    assert await world.integrations.get_parked_code("ops") == "token_revoked"
    await world.integrations.resume("ops")
    assert await world.integrations.find("ops") == OPS
    assert await world.integrations.get_parked_code("ops") == ""


async def test_all_lanes_of_an_integration_park_together_and_resume_together(world: World):
    lanes = [f"ops/#{n}" for n in range(3)]
    for n, lane in enumerate(lanes):
        await world.append(f"d{n}", lane=lane)
    await world.append("other", lane="dev/#a")
    await world.integrations.park("ops", "token_revoked", "revoked", Hint.of("rotate"), probe_s=60)
    for lane in lanes[:2]:
        assert await world.lanes.acquire(lane, "h1") == LeaseDenied(Denial.PARKED)
    await world.check()
    balance = await world.balance()
    assert (balance.parked, balance.pending) == (3, 1)
    assert await world.state("d2") == "parked"
    assert await world.integrations.resume("ops") == 2
    assert await world.integrations.resume("ops") == 0
    found = await world.schedule.claim_due_lanes(limit=10, horizon_ms=3_700_000)
    assert {"ops/#0", "ops/#1"} <= set(found)
    assert [await world.deliver(lane) for lane in lanes] == [["d0"], ["d1"], ["d2"]]


async def test_a_snoozed_lane_is_due_immediately_when_its_integration_resumes(world: World):
    await world.append("a")
    held = await world.hold()
    await world.integrations.park("ops", "token_revoked", "revoked", Hint.of("rotate"), probe_s=60)
    await world.lanes.release(held, wait_s=60, reason="Slack is away")
    await world.integrations.resume("ops")
    assert (await world.lanes.get_status(LANE)).snoozed == ""
    assert await world.deliver() == ["a"]


async def test_time_an_integration_was_parked_does_not_count_after_it_resumed(world: World):
    await world.append("a")
    await world.integrations.park("ops", "token_revoked", "revoked", Hint.of("rotate"), probe_s=60)
    await world.lanes.acquire(LANE, "h1")
    resumed_before = await world.server.now_ms()
    await world.integrations.resume("ops")
    await world.redis.hset("t:delivery:a", "born", 1)
    assert await world.lanes.expire(LANE, resumed_before, "old", running=True) == 0
    assert await world.lanes.expire(LANE, resumed_before, "old", running=False) == 1


async def test_a_lane_parked_for_its_own_reason_stays_parked_when_its_integration_resumes(world: World):
    await world.append("a")
    await world.lanes.park(await world.hold(), "x", "y", Hint.of("z"), probe_s=60, called=False)
    await world.integrations.park("ops", "token_revoked", "revoked", Hint.of("rotate"), probe_s=60)
    assert await world.lanes.acquire(LANE, "h1") == LeaseDenied(Denial.PARKED)
    await world.integrations.resume("ops")
    assert await world.lanes.acquire(LANE, "h1") == LeaseDenied(Denial.PARKED)
    await world.check()


async def test_a_lane_parked_twice_resumes_only_after_lane_and_integration_resumed(world: World):
    await world.append("a")
    await world.lanes.park(await world.hold(), "x", "y", Hint.of("z"), probe_s=60, called=False)
    await world.integrations.park("ops", "token_revoked", "revoked", Hint.of("rotate"), probe_s=60)
    await world.lanes.resume(LANE, permanently=True)
    held = await world.lanes.acquire(LANE, "h1")
    assert held == LeaseDenied(Denial.PARKED)
    await world.redis.hset(f"t:lane:{LANE}", "parked", "again")
    await world.redis.zadd("t:parked", {LANE: 1})
    await world.redis.zadd("t:probes", {f"lane:{LANE}": 1})
    await world.integrations.resume("ops")
    assert not await world.is_due()
    await world.lanes.resume(LANE, permanently=True)
    assert await world.deliver() == ["a"]


async def test_a_disabled_integration_is_parked_and_never_probed(world: World):
    await world.integrations.save(OPS, TOKEN)
    await world.integrations.park("ops", "token_revoked", "revoked", Hint.of("rotate"), probe_s=0)
    await world.integrations.disable("ops", Hint.of("enable it"))
    assert await world.integrations.park("ops", "token_revoked", "revoked", Hint.of("rotate"), probe_s=0) is False
    found = await world.integrations.find("ops")
    assert (found.state, str(found.hint)) == (Health.DISABLED, "enable it")
    assert await world.schedule.claim_due_probes(again_in_s=60, limit=10) == []


async def test_a_parked_integration_is_probed(world: World):
    await world.integrations.park("ops", "token_revoked", "revoked", Hint.of("rotate"), probe_s=0)
    assert await world.schedule.claim_due_probes(again_in_s=60, limit=10) == [ProbeTarget(ProbeKind.INTEGRATION, "ops")]
    assert await world.schedule.claim_due_probes(again_in_s=60, limit=10) == []
    await world.integrations.resume("ops")
    assert await world.schedule.claim_due_probes(again_in_s=0, limit=10) == []


async def planned_probe_waits(world: World, within_s: int) -> list[int]:
    """List the planned seconds between the probes of a parked integration."""
    waits, key = [], "t:probes"
    while not waits or sum(waits) < within_s:
        wait_s = round((await world.redis.zscore(key, "integration:ops") - await world.server.now_ms()) / 1000)
        waits.append(wait_s)
        await world.redis.incrby("t:integration:ops:parked:first", -wait_s * 1000)  # time passes
        await world.redis.zadd(key, {"integration:ops": 0})
        assert await world.schedule.claim_due_probes(again_in_s=600, limit=10) == [
            ProbeTarget(ProbeKind.INTEGRATION, "ops")
        ]
    return waits


async def test_a_parked_integration_is_probed_soon_and_then_less_and_less_often(world: World):
    await world.integrations.park("ops", "token_revoked", "revoked", Hint.of("rotate"), probe_s=600)
    assert await planned_probe_waits(world, 1500) == [2, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300, 300]


async def test_no_probe_is_later_than_was_requested(world: World):
    await world.integrations.park("ops", "token_revoked", "revoked", Hint.of("rotate"), probe_s=60)
    await world.redis.incrby("t:integration:ops:parked:first", -900_000)
    await world.redis.zadd("t:probes", {"integration:ops": 0})
    await world.schedule.claim_due_probes(again_in_s=60, limit=10)
    due_ms = await world.redis.zscore("t:probes", "integration:ops")
    assert 59_000 < due_ms - await world.server.now_ms() <= 60_000


async def test_an_integration_that_parks_again_without_a_delivery_is_not_probed_sooner(world: World):
    await world.integrations.park("ops", "access_denied", "denied", Hint.of("ask"), probe_s=60)
    await world.redis.incrby("t:integration:ops:parked:first", -30_000)
    await world.integrations.resume("ops")  # the probe succeeds, and the next post fails
    await world.integrations.park("ops", "access_denied", "denied", Hint.of("ask"), probe_s=60)
    due_ms = await world.redis.zscore("t:probes", "integration:ops")
    assert 29_000 < due_ms - await world.server.now_ms() <= 31_000


async def test_a_removed_integration_leaves_only_its_pending_deliveries(world: World):
    await world.integrations.save(OPS, TOKEN)
    await world.read([Conversation("C1", "alerts", is_member=True)])
    await world.integrations.park("ops", "token_revoked", "revoked", Hint.of("rotate"), probe_s=60)
    await world.append("a")
    assert await world.lanes.acquire(LANE, "h1") == LeaseDenied(Denial.PARKED)
    await world.integrations.remove("ops")
    assert await world.integrations.list_all() == []
    assert await world.directory.list_channels("ops") == []
    for name in ("t:integration:ops:parked", "t:held:ops", "t:probes"):
        assert not await world.redis.exists(name)
    assert await world.deliver() == ["a"]  # a drain finds that its integration is gone, and parks the lane


async def test_a_removal_interrupted_by_a_crash_is_finished_by_a_probe(world: World):
    await world.integrations.save(OPS, TOKEN)
    resume = world.integrations.resume

    async def dies(_: str, *, enable: bool) -> int:
        raise ConnectionError

    world.integrations.resume = dies
    with pytest.raises(ConnectionError):
        await world.integrations.remove("ops")
    assert await world.schedule.claim_due_probes(again_in_s=60, limit=10) == [ProbeTarget(ProbeKind.INTEGRATION, "ops")]
    await resume("ops")


async def test_a_failed_token_parks_nothing_if_another_token_was_saved_meanwhile(world: World):
    await world.integrations.save(OPS, TOKEN)
    await world.integrations.get_connections()
    version = int(await world.server.command("GET", world.server.keys.version("integrations")))
    await world.integrations.save(OPS, TOKEN)
    assert not await world.integrations.park("ops", "token_revoked", "r", Hint.of("h"), probe_s=60, version=version)
    assert await world.integrations.get_parked_code("ops") == ""
    assert await world.integrations.park("ops", "token_revoked", "r", Hint.of("h"), probe_s=60, version=version + 1)


async def test_an_integration_disabled_by_a_person_is_enabled_only_by_a_person(world: World):
    await world.integrations.save(OPS, TOKEN)
    await world.integrations.disable("ops", Hint.of("enable it"))
    assert await world.integrations.resume("ops") == 0
    assert await world.integrations.get_parked_code("ops") == "disabled"
    await world.integrations.resume("ops", enable=True)
    assert await world.integrations.get_parked_code("ops") == ""


async def test_a_new_integration_gets_an_unused_id(world: World):
    assert await world.integrations.find_free_id("Acme / Ops!") == "acme-ops"
    assert await world.integrations.find_free_id("日本") == "slack"
    for expected in ("acme", "acme-2", "acme-3"):
        assert await world.integrations.find_free_id("ACME") == expected
        await world.integrations.save(replace(OPS, id=expected), TOKEN)


async def test_many_concurrent_readers_read_a_change_once(world: World):
    await world.integrations.save(OPS, TOKEN)
    found = await asyncio.gather(*(world.integrations.get_connections() for _ in range(20)))
    assert all(one is found[0] for one in found)


async def test_a_stored_integration_is_json_without_health(world: World):
    await world.integrations.save(replace(OPS, state=Health.PARKED, reason="x", hint="y", since_ms=1), TOKEN)
    kept = json.loads(await world.redis.hget("t:integrations", "ops"))
    assert (kept["state"], kept["reason"], kept["hint"], kept["since_ms"]) == ("active", "", "", 0)


async def test_calls_that_succeed_and_fail_are_remembered_by_integration(world: World):
    assert [(calls.succeeded_ms, calls.failed_ms) for calls in await world.integrations.get_calls(["ops"])] == [(0, 0)]
    await world.append("a", "b", "c")
    held = await world.hold()
    await world.take(held, 1)
    await world.lanes.close_attempt(held, Outcome.UNKNOWN, "http_503", 1.0)
    await world.lanes.open_attempt(held)
    [failed] = await world.integrations.get_calls(["ops"])
    assert (failed.succeeded_ms, failed.code) == (0, "http_503")
    assert failed.failed_ms > 0
    await world.lanes.settle(held, RECEIPT, "a")
    [calls, other] = await world.integrations.get_calls(["ops", "other"])
    assert calls.succeeded_ms >= calls.failed_ms == failed.failed_ms
    assert other == LastCalls(succeeded_ms=0, failed_ms=0, code="")
    await world.take(held)
    await world.lanes.close_attempt(held, Outcome.BLOCKED, "not_in_channel", 0)
    assert await world.integrations.get_calls(["ops"]) == [calls], "an answer about one channel is no failure"
    await world.lanes.release(held)
    await world.integrations.remove("ops")
    assert await world.integrations.get_calls(["ops"]) == [other]


async def test_while_an_integration_is_removed_its_deliveries_are_in_the_ledger(world: World):
    """Its lanes are due only one step after it is gone."""
    await world.append("a", lane="dev/#held")
    await world.integrations.park("dev", "x", "y", Hint.of("z"), probe_s=9)
    await world.lanes.acquire("dev/#held", "h1")
    assert await world.redis.zcard("t:due") == 0
    await world.redis.hdel("t:integrations", "dev")
    assert [count.lane for count in (await take_ledger_snapshot(world.server)).lanes] == ["dev/#held"]
