"""The bridge's store: each message taken once, failures with their reason, no success that an entity event denies."""

import json
from typing import Any

import pytest
from fakeredis import FakeAsyncRedis, FakeServer
from support.infrakitchen import RESOURCE_ID, WORKFLOW_ID, change, entity, notification, resource, task
from support.store import STREAM, World

from worker.bridge.translator import translate
from worker.domain.event import Entity
from worker.store import bridge as bridge_module
from worker.store.bridge import BridgeStore, SessionEnded, TakeResult

QUEUED, RUNNING = resource("provision", "queued"), resource("provision", "in_progress", "create")
DONE, FAILED = resource("provisioned", "done"), resource("provision", "error")
NO_QUOTA = task("failed", reason="UnhandledException: no quota left")


class Bridge:
    """A session of the bridge on the stores of a world."""

    def __init__(self, world: World, *, session: str = "one") -> None:
        self.world, self.session, self.calls = world, session, 0
        self.store = BridgeStore(world.server, stream=STREAM, retention_s=604_800)
        self.read: list[dict[str, Any]] = []

    async def begin(self, session: str = "one") -> None:
        self.session, self.calls = session, 0
        await self.store.begin_session(session)

    async def take(self, *bodies: bytes, redelivered: bool = False) -> TakeResult:
        self.calls += 1
        messages = [(message, redelivered) for body in bodies if (message := translate(body))]
        return await self.store.take(self.session, self.calls, messages)

    async def published(self) -> list[dict[str, Any]]:
        """Return the events that the stream got since the last call."""
        events = [json.loads(fields[b"event"]) for _, fields in await self.world.redis.xrange(STREAM)]
        new, self.read = events[len(self.read) :], events
        return new

    async def let_time_pass(self) -> list[dict[str, Any]]:
        """Release all that is held, as if its time were over, and return the events of the stream."""
        keys = self.world.keys
        for member, _ in await self.world.redis.zrange(keys.bridge("held"), 0, -1, withscores=True):
            await self.world.redis.zincrby(keys.bridge("held"), -2 * bridge_module.HOLD_MS, member)
        await self.store.release()
        return await self.published()


@pytest.fixture
async def bridge(world: World) -> Bridge:
    bridge = Bridge(world)
    await bridge.begin()
    return bridge


def states(events: list[dict[str, Any]]) -> list[str]:
    """Return the status of each event, with the reason if it has one; of own bodies the title."""
    return [_state(event) for event in events]


def _state(event: dict[str, Any]) -> str:
    data = event.get("data")
    if data is None:
        return str(event["title"])
    reason = data.get("message") or data.get("error_message")
    return f"{data['status']}: {reason}" if reason else str(data["status"])


async def test_entity_events_are_published_in_their_order_each_with_an_id_of_its_own(bridge: Bridge):
    assert (await bridge.take(QUEUED, RUNNING, DONE, DONE)).published == 4
    events = await bridge.published()
    assert states(events) == ["queued", "in_progress", "done", "done"]
    assert len({event["id"] for event in events}) == 4


async def test_a_failure_waits_for_its_reason(bridge: Bridge):
    assert await bridge.take(RUNNING, FAILED) == TakeResult(published=1, repeats=0, held=1)
    assert await bridge.take(NO_QUOTA) == TakeResult(published=1, repeats=0, held=0)
    assert states(await bridge.published()) == ["in_progress", "error: no quota left"]


async def test_a_reason_waits_for_its_failure(bridge: Bridge):
    assert (await bridge.take(NO_QUOTA, RUNNING)).held == 1
    assert (await bridge.take(FAILED)).held == 0
    assert states(await bridge.published()) == ["in_progress", "error: no quota left"]


async def test_a_failure_is_sent_without_its_reason_and_completed_when_it_comes(bridge: Bridge):
    await bridge.take(FAILED)
    assert states(first := await bridge.let_time_pass()) == ["error"]
    await bridge.take(NO_QUOTA)
    assert states(second := await bridge.published()) == ["error: no quota left"]
    assert first[0]["id"] != second[0]["id"]


async def test_a_second_reason_of_one_failure_replaces_the_first_unless_another_failure_comes(bridge: Bridge):
    await bridge.take(FAILED, NO_QUOTA)
    await bridge.published()
    await bridge.take(task("failed", reason="CannotProceed"))
    assert states(await bridge.published()) == []
    (event,) = await bridge.let_time_pass()
    assert _state(event).startswith("error: CannotProceed")
    await bridge.take(task("failed", reason="late"), RUNNING, FAILED)
    assert states(await bridge.published()) == ["in_progress", "error: late"]


async def test_a_reason_without_a_failure_is_published_as_it_is_and_still_completes_a_late_failure(bridge: Bridge):
    await bridge.take(RUNNING, NO_QUOTA)
    await bridge.published()
    (body,) = await bridge.let_time_pass()
    assert body["title"] == "Resource execute failed"
    assert body["metadata"]["entity_name"] == "aws-redis demo"
    assert body["metadata"]["project"] == "Payments"
    assert body["metadata"]["requester"] == {"name": "Ada Example", "email": "ada@example.com"}
    await bridge.take(FAILED)
    assert states(await bridge.published()) == ["error: no quota left"]
    await bridge.take(FAILED)
    assert states(await bridge.published()) == []  # the reason was used up


async def test_a_finished_operation_forgets_the_late_reason_of_one_before(bridge: Bridge):
    await bridge.take(RUNNING, NO_QUOTA)
    await bridge.let_time_pass()
    await bridge.take(DONE, FAILED)
    assert states(await bridge.published()) == ["done"]
    assert states(await bridge.let_time_pass()) == ["error"]


async def test_a_late_reason_is_too_old_after_a_minute(bridge: Bridge):
    await bridge.take(RUNNING, NO_QUOTA)
    await bridge.let_time_pass()
    key = bridge.world.keys.bridge_entity(Entity("resource", RESOURCE_ID))
    await bridge.world.redis.hset(key, "late", '1 "old"')
    await bridge.take(FAILED)
    assert states(await bridge.let_time_pass()) == ["error"]


async def test_a_state_that_follows_a_held_failure_releases_it(bridge: Bridge):
    await bridge.take(FAILED, RUNNING, DONE)
    assert states(await bridge.published()) == ["error", "in_progress", "done"]


async def test_a_workflow_failure_has_the_reason_of_its_step_and_that_of_a_notification(bridge: Bridge):
    await bridge.take(entity("b04"))
    assert states(await bridge.published()) == ["error: Resource aws-redis demo is in error state"]
    await bridge.take(notification("20"))
    (event,) = await bridge.published()
    assert _state(event).startswith("error: Resource aws-redis demo is in error state\n\nCannotProceed\n\n")


async def test_the_success_of_a_workflow_is_never_published(bridge: Bridge):
    await bridge.take(notification("04"), entity("b02"), notification("04"), entity("b04"), notification("04"))
    await bridge.let_time_pass()
    assert [event["type"].rpartition(".")[2] for event in bridge.read] == ["started", "failed"]


@pytest.mark.parametrize("order", [(DONE, "success"), ("success", DONE), ("success", RUNNING, DONE)])
async def test_a_success_that_an_entity_event_reports_is_dropped(bridge: Bridge, order: tuple[bytes | str, ...]):
    success = task("succeeded")
    await bridge.take(*(success if body == "success" else body for body in order if isinstance(body, bytes) or success))
    await bridge.let_time_pass()
    assert states(bridge.read)[-1] == "done"
    assert not [event for event in bridge.read if "title" in event]


async def test_a_success_whose_operation_failed_is_dropped(bridge: Bridge):
    await bridge.take(RUNNING, task("succeeded"), FAILED, task("succeeded"))
    await bridge.let_time_pass()
    assert states(bridge.read) == ["in_progress", "error"]


async def test_a_late_success_is_dropped_though_the_next_operation_runs(bridge: Bridge):
    await bridge.take(DONE, resource("provisioned", "in_progress"), task("succeeded"))
    assert states(await bridge.let_time_pass()) == ["done", "in_progress"]


async def test_a_success_that_no_entity_event_reports_is_published_as_it_is(bridge: Bridge):
    await bridge.take(RUNNING, task("succeeded"), notification("08"))
    assert states(await bridge.let_time_pass()) == [
        "in_progress",
        "Resource execute succeeded",
        "Storage create succeeded",
    ]
    assert bridge.read[1]["metadata"]["state"] == "provision"
    assert bridge.read[2]["metadata"] is None


async def test_a_change_that_an_entity_event_reports_is_dropped(bridge: Bridge):
    approved = change("APPROVE", "provision", "ready")
    await bridge.take(approved, resource("provision", "ready", "approve"), approved, RUNNING, approved, DONE, approved)
    await bridge.let_time_pass()
    assert states(bridge.read) == ["ready", "in_progress", "done"]


async def test_a_change_that_no_entity_event_reports_is_published_unless_a_later_state_came(bridge: Bridge):
    approved = change("APPROVE", "provision", "ready")
    await bridge.take(approved)
    assert states(await bridge.let_time_pass()) == ["Resource aws-redis demo"]
    await bridge.take(approved, RUNNING)
    assert states(await bridge.let_time_pass()) == ["in_progress"]


async def test_dry_runs_and_unknown_notifications_pass_at_once(bridge: Bridge):
    dry = task("failed", "dryrun", "ExitWithoutSave: Tofu command plan failed")
    unknown = notification("01", event_type="audit", title="Somebody looked", status="info")
    await bridge.take(RUNNING, dry, unknown, entity("b12", _metadata={"event": "dryrun"}))
    assert states(await bridge.published()) == ["in_progress", "Resource dryrun failed", "Somebody looked"]


async def test_notifications_of_an_entity_without_entity_events_keep_their_order(bridge: Bridge):
    bodies = [
        task("succeeded"), change("APPROVE", "provision", "ready"), change("DESTROY", "destroy", "approval_pending"),
        task("failed", reason="a"), task("failed", reason="b"), task("succeeded", "create"),
    ]  # fmt: skip
    await bridge.take(*bodies)
    await bridge.let_time_pass()
    assert [event["message"] for event in bridge.read] == [json.loads(body)["message"] for body in bodies]


async def test_metadata_of_a_notification_wins_over_what_is_known(bridge: Bridge):
    given = {
        "entity_name": "db",
        "state": "provision",
        "requester": {"display_name": "Ada"},
        "labels": ["prod"],
        "x": 1,
    }
    await bridge.take(DONE, notification("02", metadata=given, entity_id=RESOURCE_ID))
    assert (await bridge.published())[1]["metadata"] == {
        "entity_name": "db", "state": "provision", "requester": {"name": "Ada"}, "labels": {"prod": ""},
    }  # fmt: skip


async def test_an_entity_without_cards_is_news_only_when_it_changed(bridge: Bridge):
    failed = entity("b17", status="error")
    await bridge.take(entity("b17"), entity("b17"), entity("b17", status="in_progress"), entity("b17"), failed)
    await bridge.let_time_pass()
    assert states(bridge.read) == ["done", "in_progress", "done", "error"]


async def test_a_message_is_taken_once_however_often_it_is_redelivered(bridge: Bridge):
    other = resource("provision", "queued", description="another")
    await bridge.take(QUEUED, QUEUED, FAILED)
    for session in ("two", "three"):
        await bridge.begin(session)
        taken = await bridge.take(QUEUED, QUEUED, FAILED, redelivered=True)
        assert (taken.published, taken.repeats) == (0, 3)
    assert (await bridge.take(QUEUED, other, redelivered=True)).repeats == 0  # more of this body than were taken
    assert states(await bridge.published()) == ["queued", "queued", "error", "queued", "queued"]


async def test_a_call_whose_reply_was_lost_changes_nothing_when_it_is_repeated(bridge: Bridge):
    await bridge.take(QUEUED, FAILED)
    bridge.calls -= 1
    assert await bridge.take(QUEUED, FAILED) == TakeResult(published=0, repeats=0, held=1)
    assert states(await bridge.published()) == ["queued"]


async def test_a_session_ends_when_another_begins(bridge: Bridge):
    await bridge.take(QUEUED)
    await bridge.store.begin_session("two")
    with pytest.raises(SessionEnded):
        await bridge.take(RUNNING)
    assert states(await bridge.published()) == ["queued"]


async def test_everything_held_is_published_when_the_bridge_stops(bridge: Bridge):
    await bridge.take(FAILED, notification("08"))
    assert await bridge.store.release(everything=True) == TakeResult(published=2, repeats=0, held=0)
    assert states(await bridge.published()) == ["error", "Storage create succeeded"]


async def test_what_is_kept_is_bounded(bridge: Bridge, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bridge_module, "BODIES_LIMIT", 3)
    assert await bridge.store.last_message_ms() == 0
    await bridge.take(*(resource("provision", "queued", description=str(n)) for n in range(5)))
    redis, keys = bridge.world.redis, bridge.world.keys
    assert await redis.llen(keys.bridge("order")) == 3
    assert abs(await bridge.store.last_message_ms() - await bridge.world.server.now_ms()) < 60_000
    assert await redis.pttl(keys.bridge_entity(Entity("resource", RESOURCE_ID))) > 0


async def test_held_states_outlive_a_short_retention():
    world = World(FakeAsyncRedis(server=FakeServer(), protocol=2))
    store = BridgeStore(world.server, stream=STREAM, retention_s=1)
    await store.begin_session("one")
    message = translate(FAILED)
    assert message
    await store.take("one", 1, [(message, False)])
    assert await world.redis.pttl(world.keys.bridge_entity(Entity("resource", RESOURCE_ID))) > bridge_module.HOLD_MS
    await world.server.aclose()


async def test_a_workflow_and_a_resource_of_one_id_are_two_entities(bridge: Bridge):
    await bridge.take(resource("provision", "error", id=WORKFLOW_ID), notification("20"))
    assert states(await bridge.published()) == []
