"""Entity events and notifications reach RabbitMQ in any order of the two: one card an operation, no false success."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import pytest
from support.bridged import Bridged
from support.examples import examples
from support.infrakitchen import change, entity, notification, resource, task
from support.pipeline import open_pipeline

from worker.store.bridge import HOLD_MS

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Operation:
    """What InfraKitchen publishes of one operation, each exchange in its own order."""

    entities: Sequence[bytes]
    notifications: Sequence[bytes]
    last: str  #: A part of the title that the card ends with.
    reason: str = ""


SUCCESS = task("succeeded")
APPROVED = change("APPROVE", "provision", "ready")
TO_APPROVAL = (resource("provision", "approval_pending", "create"), resource("provision", "ready", "approve"))
RUNNING = resource("provision", "in_progress", "create")
DESTROY = (
    resource("destroy", "approval_pending", "destroy"), resource("destroy", "ready", "approve"),
    resource("destroy", "queued", "execute"), resource("destroy", "in_progress", "destroy"),
)  # fmt: skip
DESTROY_CHANGES = (change("DESTROY", "destroy", "approval_pending"), change("APPROVE", "destroy", "ready"))
OPERATIONS = {
    "created": Operation(
        (*TO_APPROVAL, RUNNING, resource("provisioned", "done")), (APPROVED, SUCCESS), "aws-redis demo is provisioned"
    ),
    "failed": Operation(
        (*TO_APPROVAL, RUNNING, resource("provision", "error")), (APPROVED, task("failed", reason="no quota left")),
        "failed to provision", "no quota left",
    ),
    "rejected": Operation(
        (TO_APPROVAL[0], resource("provision", "rejected", "reject")),
        (change("REJECTED", "provision", "rejected"),), "rejected",
    ),
    "updated": Operation(
        (resource("provisioned", "ready", "approve"), resource("provisioned", "in_progress", "update"),
         resource("provisioned", "done")),
        (change("APPROVE", "provisioned", "ready"), SUCCESS), "is provisioned",
    ),
    "destroyed": Operation((*DESTROY, resource("destroyed", "done")), (*DESTROY_CHANGES, SUCCESS), "is destroyed"),
    "not destroyed": Operation(
        (*DESTROY, resource("destroy", "error")), (*DESTROY_CHANGES, task("timed out", reason="Task is timed out")),
        "failed to be destroyed", "timed out",
    ),
    "workflow done": Operation(
        (entity("b01"), entity("b02"), entity("b03"), entity("b06")), (notification("04"),) * 3, "completed"
    ),
    "workflow failed": Operation(
        (entity("b01"), entity("b02"), entity("b03"), entity("b04")), (notification("04"),) * 3,
        "failed at aws-redis demo", "aws-redis demo is in error state",
    ),
}  # fmt: skip


def interleavings(operation: Operation) -> Iterator[list[bytes]]:
    """Yield every order in which the two exchanges can deliver."""
    total = len(operation.entities) + len(operation.notifications)
    for places in combinations(range(total), len(operation.entities)):
        entities, notifications = iter(operation.entities), iter(operation.notifications)
        yield [next(entities) if place in places else next(notifications) for place in range(total)]


async def check(operation: Operation, bodies: Sequence[bytes], deliver_at: set[int]) -> None:
    """Take the bodies in this order, with deliveries between some of them, and check the one card."""
    async with open_pipeline() as pipeline:
        await pipeline.connect()
        await pipeline.subscribe()
        bridged = Bridged(pipeline)
        for place, body in enumerate(bodies):
            await bridged.take(body)
            if place in deliver_at:
                await bridged.deliver(after_s=0.5)
        await bridged.deliver(after_s=HOLD_MS / 1000 + 1)
        await bridged.deliver()
        await pipeline.balance()
        (card,) = bridged.cards
        assert operation.last in card
        assert operation.reason in card
        if operation.reason or operation.last == "rejected":
            assert not [text for text in bridged.texts if "✅" in text]


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
async def test_an_operation_has_one_card_in_whatever_order_its_messages_come(operation: Operation):
    luck = random.Random(str(operation))
    orders = list(interleavings(operation))
    for bodies in luck.sample(orders, min(len(orders), examples(8))):
        await check(operation, bodies, {place for place in range(len(bodies)) if luck.random() < 0.5})
