"""Integrations: sealed tokens, parked and resumed as a whole, changed in one write."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from store_world import LANE, RING, World

from worker.domain.errors import Problem
from worker.domain.integration import Conversation, Health, Integration, Secret
from worker.store.held import NotHeld
from worker.store.integrations import Integrations
from worker.store.server import Value
from worker.store.vault import Vault, WrongKey, generate_key

OPS = Integration(
    "ops", "Ops", "T1", "Acme", "https://acme.slack.com/", "U1", "infrakitchen", ("chat:write",), "d", ("l",)
)
TOKEN = Secret("xoxb-1")


async def test_an_integration_comes_back_as_it_was_saved_with_its_token(world: World):
    await world.integrations.save(OPS, TOKEN)
    assert await world.integrations.find("Ops") == OPS
    assert await world.integrations.find("ops") == OPS
    assert await world.integrations.token("ops") == TOKEN


async def test_a_token_is_never_readable_in_redis(world: World):
    await world.integrations.save(OPS, TOKEN)
    for key in await world.redis.keys("*"):
        assert b"xoxb" not in await world.redis.dump(key)


async def test_all_are_listed_by_name(world: World):
    for id_, name in (("b", "Beta"), ("a", "Alpha")):
        await world.integrations.save(replace(OPS, id=id_, name=name), TOKEN)
    assert [one.name for one in await world.integrations.all()] == ["Alpha", "Beta"]


async def test_one_nobody_added_is_a_problem_that_names_those_there_are(world: World):
    with pytest.raises(Problem, match=r"no integration 'x' \(there is: none yet\)"):
        await world.integrations.find("x")
    await world.integrations.save(OPS, TOKEN)
    with pytest.raises(Problem, match=r"no integration 'x' \(there is: Ops\)"):
        await world.integrations.find("x")


async def test_a_change_keeps_the_token_and_is_seen_by_everyone(world: World):
    other = Integrations(world.server, Vault(RING))
    await world.integrations.save(OPS, TOKEN)
    assert await other.find("ops") == OPS
    await world.integrations.save(replace(OPS, description="new"))
    assert (await other.find("ops")).description == "new"
    assert await other.token("ops") == TOKEN
    known = await other.connections()
    assert await other.connections() is known


async def test_who_knows_the_version_need_not_ask_for_it(world: World):
    await world.integrations.save(OPS, TOKEN)
    assert set(await world.integrations.connections(1)) == {"ops"}
    await world.integrations.save(replace(OPS, id="dev"), TOKEN)
    assert set(await world.integrations.connections(1)) == {"ops"}
    assert set(await world.integrations.connections(2)) == {"ops", "dev"}


async def test_a_token_rotated_while_others_save_is_not_lost(world: World):
    await world.integrations.save(OPS, TOKEN)
    changes = [world.integrations.save(replace(OPS, description=str(n))) for n in range(10)]
    rotation = world.integrations.save(OPS, Secret("xoxb-2"))
    more = [world.integrations.save(replace(OPS, description=str(n))) for n in range(10)]
    await asyncio.gather(*changes, rotation, *more)
    assert await world.integrations.token("ops") == Secret("xoxb-2")


async def test_a_token_rotated_between_reading_and_writing_is_not_lost(world: World):
    await world.integrations.save(OPS, TOKEN)
    script, rotations = world.server.script, [Secret("xoxb-2"), Secret("xoxb-3")]

    async def rotated_before(name: str, keys: Sequence[str], arguments: Sequence[Value] = ()) -> Any:
        if name == "integration_save" and rotations:
            await world.integrations.save(OPS, rotations.pop(0))
        return await script(name, keys, arguments)

    world.server.script = rotated_before
    await world.integrations.save(replace(OPS, description="new"))
    assert await world.integrations.token("ops") == Secret("xoxb-3")
    assert (await world.integrations.find("ops")).description == "new"


async def test_one_removed_meanwhile_does_not_come_back(world: World):
    with pytest.raises(Problem, match="Ops was removed"):
        await world.integrations.save(OPS)
    assert await world.integrations.all() == []


async def test_a_token_sealed_with_another_key_names_its_integration_and_hurts_no_other(world: World):
    await Integrations(world.server, Vault(generate_key())).save(replace(OPS, id="dev", name="Dev"), TOKEN)
    await world.integrations.save(OPS, TOKEN)
    connections = await world.integrations.connections()
    assert connections["ops"].token == TOKEN
    assert connections["dev"].token is None
    assert "The token of integration Dev cannot be opened" in connections["dev"].unreadable
    with pytest.raises(WrongKey, match="integration Dev"):
        await world.integrations.token("dev")


async def test_every_token_is_sealed_anew_with_the_first_key(world: World):
    old, new = generate_key(), generate_key()
    for name in ("Ops", "Dev"):
        await Integrations(world.server, Vault(old)).save(replace(OPS, id=name.lower(), name=name), TOKEN)
    both = Integrations(world.server, Vault(f"{new},{old}"))
    assert await both.reseal() == ["Dev", "Ops"]
    assert await both.reseal() == ["Dev", "Ops"]
    after = Integrations(world.server, Vault(new))
    assert await after.token("ops") == TOKEN
    assert await after.find("ops") == OPS


async def test_a_token_no_key_opens_is_named_after_all_others_are_sealed_anew(world: World):
    old, new = generate_key(), generate_key()
    await Integrations(world.server, Vault(generate_key())).save(replace(OPS, id="dev", name="Dev"), TOKEN)
    await Integrations(world.server, Vault(old)).save(OPS, TOKEN)
    with pytest.raises(WrongKey, match="integration Dev"):
        await Integrations(world.server, Vault(f"{new},{old}")).reseal()
    assert await Integrations(world.server, Vault(new)).token("ops") == TOKEN


async def test_a_token_rotated_or_removed_while_all_are_sealed_anew_stays_so(world: World):
    await world.integrations.save(OPS, TOKEN)
    await world.integrations.save(replace(OPS, id="dev", name="Dev"), TOKEN)
    script, steps = world.server.script, {"ops": [Secret("xoxb-2")], "dev": [None]}

    async def changed_before(name: str, keys: Sequence[str], arguments: Sequence[Value] = ()) -> Any:
        if name == "integration_save" and steps[arguments[0]]:
            token = steps[arguments[0]].pop()
            await (world.integrations.save(OPS, token) if token else world.integrations.remove("dev"))
        return await script(name, keys, arguments)

    world.server.script = changed_before
    assert await world.integrations.reseal() == ["Ops"]
    assert await world.integrations.token("ops") == Secret("xoxb-2")
    assert [one.name for one in await world.integrations.all()] == ["Ops"]


async def test_a_parked_integration_says_why_and_since_when(world: World):
    await world.integrations.save(OPS, TOKEN)
    assert await world.integrations.park("ops", "token_revoked", "revoked", "rotate", probe_s=60) is True
    assert await world.integrations.park("ops", "account_inactive", "x", "y", probe_s=60) is False
    found = await world.integrations.find("ops")
    assert (found.state, found.reason, found.hint) == (Health.PARKED, "revoked", "rotate")
    assert abs(found.since_ms - await world.server.now_ms()) < 10_000
    assert await world.integrations.parked_code("ops") == "token_revoked"
    await world.integrations.resume("ops")
    assert await world.integrations.find("ops") == OPS
    assert await world.integrations.parked_code("ops") == ""


async def test_all_lanes_of_an_integration_park_together_and_resume_together(world: World):
    lanes = [f"ops/#{n}" for n in range(3)]
    for n, lane in enumerate(lanes):
        await world.append(f"d{n}", lane=lane)
    await world.append("other", lane="dev/#a")
    await world.integrations.park("ops", "token_revoked", "revoked", "rotate", probe_s=60)
    for lane in lanes[:2]:
        assert await world.lanes.acquire(lane, "h1") == NotHeld("parked")
    await world.check()
    balance = await world.balance()
    assert (balance.parked, balance.pending) == (3, 1)
    assert await world.state("d2") == "parked"
    assert await world.integrations.resume("ops") == 2
    assert await world.integrations.resume("ops") == 0
    found = await world.upkeep.due_lanes(most=10, horizon_ms=3_700_000)
    assert {"ops/#0", "ops/#1"} <= set(found)
    assert [await world.tell(lane) for lane in lanes] == [["d0"], ["d1"], ["d2"]]


async def test_a_lane_that_lay_down_is_due_at_once_when_its_integration_resumes(world: World):
    await world.append("a")
    held = await world.hold()
    await world.integrations.park("ops", "token_revoked", "revoked", "rotate", probe_s=60)
    await world.lanes.release(held, wait_s=60, reason="Slack is away")
    await world.integrations.resume("ops")
    assert (await world.upkeep.lane_note(LANE))["snoozed"] == ""
    assert await world.tell() == ["a"]


async def test_the_time_an_integration_was_parked_does_not_count_once_it_goes_on(world: World):
    await world.append("a")
    await world.integrations.park("ops", "token_revoked", "revoked", "rotate", probe_s=60)
    await world.lanes.acquire(LANE, "h1")
    resumed_before = await world.server.now_ms()
    await world.integrations.resume("ops")
    await world.redis.hset("t:delivery:a", "born", 1)
    assert await world.lanes.expire(LANE, resumed_before, "old", running=True) == 0
    assert await world.lanes.expire(LANE, resumed_before, "old", running=False) == 1


async def test_a_lane_parked_by_itself_stays_parked_when_its_integration_resumes(world: World):
    await world.append("a")
    await world.lanes.park(await world.hold(), "x", "y", "z", probe_s=60, called=False)
    await world.integrations.park("ops", "token_revoked", "revoked", "rotate", probe_s=60)
    assert await world.lanes.acquire(LANE, "h1") == NotHeld("parked")
    await world.integrations.resume("ops")
    assert await world.lanes.acquire(LANE, "h1") == NotHeld("parked")
    await world.check()


async def test_a_lane_that_waits_for_both_goes_on_only_after_both(world: World):
    await world.append("a")
    await world.lanes.park(await world.hold(), "x", "y", "z", probe_s=60, called=False)
    await world.integrations.park("ops", "token_revoked", "revoked", "rotate", probe_s=60)
    await world.lanes.resume(LANE, certain=True)
    held = await world.lanes.acquire(LANE, "h1")
    assert held == NotHeld("parked")
    await world.redis.hset(f"t:lane:{LANE}", "parked", "again")
    await world.redis.zadd("t:parked", {LANE: 1})
    await world.redis.zadd("t:probes", {f"lane:{LANE}": 1})
    await world.integrations.resume("ops")
    assert not await world.is_due()
    await world.lanes.resume(LANE, certain=True)
    assert await world.tell() == ["a"]


async def test_a_disabled_integration_waits_and_is_never_probed(world: World):
    await world.integrations.save(OPS, TOKEN)
    await world.integrations.park("ops", "token_revoked", "revoked", "rotate", probe_s=0)
    await world.integrations.disable("ops", "enable it")
    assert await world.integrations.park("ops", "token_revoked", "revoked", "rotate", probe_s=0) is False
    found = await world.integrations.find("ops")
    assert (found.state, found.hint) == (Health.DISABLED, "enable it")
    assert await world.upkeep.due_probes(again_in_s=60, most=10) == []


async def test_a_parked_integration_is_probed(world: World):
    await world.integrations.park("ops", "token_revoked", "revoked", "rotate", probe_s=0)
    assert await world.upkeep.due_probes(again_in_s=60, most=10) == ["integration:ops"]
    assert await world.upkeep.due_probes(again_in_s=60, most=10) == []
    await world.integrations.resume("ops")
    assert await world.upkeep.due_probes(again_in_s=0, most=10) == []


async def looks(world: World, within_s: int) -> list[int]:
    """How many seconds lie between the looks at what is parked now, as planned."""
    waits, key = [], "t:probes"
    while not waits or sum(waits) < within_s:
        wait_s = round(
            (await world.redis.zscore(key, "integration:ops") - await world.server.now_ms()) / 1000
        )
        waits.append(wait_s)
        await world.redis.incrby("t:integration:ops:parked:first", -wait_s * 1000)  # time goes by
        await world.redis.zadd(key, {"integration:ops": 0})
        assert await world.upkeep.due_probes(again_in_s=600, most=10) == ["integration:ops"]
    return waits


async def test_a_parked_integration_is_looked_at_soon_and_then_less_and_less_often(world: World):
    await world.integrations.park("ops", "token_revoked", "revoked", "rotate", probe_s=600)
    assert await looks(world, 1500) == [2, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300, 300]


async def test_no_look_is_later_than_was_asked_for(world: World):
    await world.integrations.park("ops", "token_revoked", "revoked", "rotate", probe_s=60)
    await world.redis.incrby("t:integration:ops:parked:first", -900_000)
    await world.redis.zadd("t:probes", {"integration:ops": 0})
    await world.upkeep.due_probes(again_in_s=60, most=10)
    due_ms = await world.redis.zscore("t:probes", "integration:ops")
    assert 59_000 < due_ms - await world.server.now_ms() <= 60_000


async def test_one_that_parks_again_before_it_told_anything_is_not_looked_at_sooner(world: World):
    await world.integrations.park("ops", "access_denied", "denied", "ask", probe_s=60)
    await world.redis.incrby("t:integration:ops:parked:first", -30_000)
    await world.integrations.resume("ops")  # it passes the look, and fails with the next post
    await world.integrations.park("ops", "access_denied", "denied", "ask", probe_s=60)
    due_ms = await world.redis.zscore("t:probes", "integration:ops")
    assert 29_000 < due_ms - await world.server.now_ms() <= 31_000


async def test_a_removed_integration_leaves_nothing_but_what_waits(world: World):
    await world.integrations.save(OPS, TOKEN)
    await world.read([Conversation("C1", "alerts", is_member=True)])
    await world.integrations.park("ops", "token_revoked", "revoked", "rotate", probe_s=60)
    await world.append("a")
    assert await world.lanes.acquire(LANE, "h1") == NotHeld("parked")
    await world.integrations.remove("ops")
    assert await world.integrations.all() == []
    assert await world.directory.all("ops") == []
    for name in ("t:integration:ops:parked", "t:held:ops", "t:probes"):
        assert not await world.redis.exists(name)
    assert await world.tell() == ["a"]  # a drain finds that its integration is gone, and parks the lane


async def test_who_dies_while_removing_leaves_a_probe_that_finishes_it(world: World):
    await world.integrations.save(OPS, TOKEN)
    resume = world.integrations.resume

    async def dies(_: str, *, enable: bool) -> int:
        raise ConnectionError

    world.integrations.resume = dies
    with pytest.raises(ConnectionError):
        await world.integrations.remove("ops")
    assert await world.upkeep.due_probes(again_in_s=60, most=10) == ["integration:ops"]
    await resume("ops")


async def test_a_token_that_failed_parks_nothing_when_another_was_set_meanwhile(world: World):
    await world.integrations.save(OPS, TOKEN)
    await world.integrations.connections()
    version = int(await world.server.command("GET", world.server.keys.version("integrations")))
    await world.integrations.save(OPS, TOKEN)
    assert not await world.integrations.park("ops", "token_revoked", "r", "h", probe_s=60, version=version)
    assert await world.integrations.parked_code("ops") == ""
    assert await world.integrations.park("ops", "token_revoked", "r", "h", probe_s=60, version=version + 1)


async def test_what_a_person_switched_off_only_a_person_switches_on(world: World):
    await world.integrations.save(OPS, TOKEN)
    await world.integrations.disable("ops", "enable it")
    assert await world.integrations.resume("ops") == 0
    assert await world.integrations.parked_code("ops") == "disabled"
    await world.integrations.resume("ops", enable=True)
    assert await world.integrations.parked_code("ops") == ""


async def test_a_new_integration_gets_an_id_that_is_free(world: World):
    assert await world.integrations.free_id("Acme / Ops!") == "acme-ops"
    assert await world.integrations.free_id("日本") == "slack"
    for expected in ("acme", "acme-2", "acme-3"):
        assert await world.integrations.free_id("ACME") == expected
        await world.integrations.save(replace(OPS, id=expected), TOKEN)


async def test_many_who_ask_after_a_change_read_once(world: World):
    await world.integrations.save(OPS, TOKEN)
    found = await asyncio.gather(*(world.integrations.connections() for _ in range(20)))
    assert all(one is found[0] for one in found)


async def test_what_is_stored_is_json_without_health(world: World):
    await world.integrations.save(replace(OPS, state=Health.PARKED, reason="x", hint="y", since_ms=1), TOKEN)
    kept = json.loads(await world.redis.hget("t:integrations", "ops"))
    assert (kept["state"], kept["reason"], kept["hint"], kept["since_ms"]) == ("active", "", "", 0)
