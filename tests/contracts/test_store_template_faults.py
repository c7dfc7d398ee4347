"""Template faults: known until the template works or is changed, and a delivery's as long as it is kept."""

from store_world import RETENTION_S, World

from worker.domain.subscription import Subscription
from worker.domain.template import TemplateFault
from worker.store.template_faults import TemplateFaults


def noted(world: World) -> TemplateFaults:
    return TemplateFaults(world.server, RETENTION_S)


async def now(faults: TemplateFaults) -> dict[str, str]:
    return {id_: str(fault) for id_, fault in (await faults.all()).items()}


async def test_a_fault_is_known_until_the_template_works(world: World):
    faults = noted(world)
    await faults.note("s1", "d1", TemplateFault("no", 3))
    await faults.note("s2", "d2", TemplateFault("neither"))
    assert await now(faults) == {"s1": "no, line 3", "s2": "neither"}
    await faults.note("s1", "d3", None)
    assert await now(faults) == {"s2": "neither"}
    assert str(await faults.of("d1")) == "no, line 3"
    assert await faults.of("d3") is None


async def test_a_delivery_that_is_told_well_after_all_has_no_fault(world: World):
    faults = noted(world)
    await faults.note("s1", "d1", TemplateFault("no"))
    assert 0 < await world.redis.ttl("t:template_fault:d1") <= RETENTION_S
    await faults.note("s1", "d1", None)
    assert await faults.of("d1") is None


async def test_those_told_by_what_was_changed_begin_anew(world: World):
    faults = noted(world)
    for id_ in ("s1", "s2", "s3"):
        await faults.note(id_, f"d-{id_}", TemplateFault("no"))
    await faults.forget(["s1", "s2", "s9"])
    await faults.forget([])
    assert await now(faults) == {"s3": "no"}


async def test_a_subscription_that_is_changed_or_removed_begins_anew(world: World):
    faults = noted(world)
    for id_ in ("s1", "s2", "s3"):
        await faults.note(id_, f"d-{id_}", TemplateFault("no"))
    await world.subscriptions.change(save=[Subscription("s1", "ops", "#a")], remove=["s2"])
    assert await now(faults) == {"s3": "no"}


async def test_the_same_again_writes_nothing(world: World):
    faults = noted(world)
    await faults.note("s1", "d1", TemplateFault("no", 1))
    calls: list[str] = []
    command = world.server.command

    async def counted(*words):
        calls.append(words[0])
        return await command(*words)

    world.server.command = counted
    await faults.note("s1", "d1", TemplateFault("no", 1))
    await faults.note("s2", "d2", None)
    assert set(calls) == {"HGET", "GET"}
