"""Template errors of a subscription last until its template works or changes, those of a delivery as long as it."""

from support.store import RETENTION_S, World

from worker.domain.errors import TemplateError
from worker.domain.subscription import Subscription
from worker.store.schedule import PendingWarning, WarningKind
from worker.store.subscriptions import Subscriptions, TemplateErrors


def template_errors(world: World) -> TemplateErrors:
    return TemplateErrors(world.server, RETENTION_S)


async def current(errors: TemplateErrors) -> dict[str, str]:
    return {id_: str(error) for id_, error in (await errors.list_current()).items()}


async def test_a_template_error_is_kept_until_the_template_works(world: World):
    errors = template_errors(world)
    await errors.record("s1", "d1", TemplateError("no", 3))
    await errors.record("s2", "d2", TemplateError("neither"))
    assert await current(errors) == {"s1": "no, line 3", "s2": "neither"}
    await errors.record("s1", "d3", None)
    assert await current(errors) == {"s2": "neither"}
    assert str(await errors.get("d1")) == "no, line 3"
    assert await errors.get("d3") is None


async def test_a_delivery_rendered_by_a_working_template_has_no_template_error(world: World):
    errors = template_errors(world)
    await errors.record("s1", "d1", TemplateError("no"))
    assert 0 < await world.redis.ttl("t:template_fault:d1") <= RETENTION_S
    await errors.record("s1", "d1", None)
    assert await errors.get("d1") is None


async def test_a_changed_template_clears_the_errors_of_its_subscriptions(world: World):
    errors = template_errors(world)
    for id_ in ("s1", "s2", "s3"):
        await errors.record(id_, f"d-{id_}", TemplateError("no"))
    await errors.clear(["s1", "s2", "s9"])
    await errors.clear([])
    assert await current(errors) == {"s3": "no"}


async def test_changing_or_removing_a_subscription_clears_its_template_error(world: World):
    errors = template_errors(world)
    for id_ in ("s1", "s2", "s3"):
        await errors.record(id_, f"d-{id_}", TemplateError("no"))
    await world.subscriptions.save_and_remove(save=[Subscription("s1", "ops", "#a")], remove=["s2"])
    assert await current(errors) == {"s3": "no"}


async def test_a_template_that_exceeds_a_limit_is_switched_off_in_every_process(world: World):
    errors, other = template_errors(world), Subscriptions(world.server)
    subscription = Subscription("s1", "ops", "#a", template="x")
    await world.subscriptions.save_and_remove(save=[subscription, Subscription("s2", "ops", "#b")])
    await other.list_all()
    await errors.record("s1", "d1", TemplateError("too slow", exceeds_limit=True))
    await errors.record("s2", "d2", TemplateError("no"))
    await world.subscriptions.switch_template_off(subscription)
    for store in (world.subscriptions, other):
        await store.list_all()
        assert {id_: str(error) for id_, error in store.switched_off.items()} == {"s1": "too slow"}
    (warning,) = await world.warnings.list_pending(limit=9)
    assert warning == PendingWarning(WarningKind.TEMPLATE_OFF, "ops/s1")
    assert await world.warnings.get_time_ms(warning) > 0
    await world.warnings.finish(warning)
    assert await world.warnings.get_time_ms(warning) == 0
    await errors.clear(["s1"])
    await other.list_all()
    assert other.switched_off == {}
