"""Templates in a lane: cards are posted and edited with them, and a failed template gives the default message."""

from dataclasses import replace

import pytest
from support.events import alert, workflow
from support.pipeline import Pipeline

from worker.store.schedule import WarningKind

pytestmark = pytest.mark.slow

OWN = "own: {{ title }}\n{{ status }}"
BROKEN = "{{ steps[0].name }}"  # some events have no steps


SLOW = "{% if title == 'slow' %}{{ [[[[title] * 4000] * 4000] * 4000] * 4000 }}{% endif %}own: {{ title }}"


async def save(house: Pipeline, setter: str, template: str) -> None:
    """Save a template of the subscription, or of its integration."""
    if setter == "subscription":
        return await templated(house, template)
    assert house.integration is not None
    await house.app.integrations.save(replace(house.integration, template=template))
    if await house.app.subscriptions.list_all():
        return await house.app.template_errors.clear(["sub-#ops"])
    return await house.subscribe()


async def warnings(house: Pipeline) -> list[str]:
    """Return the templates that the operations channel is to be warned about."""
    pending = await house.app.warnings.list_pending(limit=9)
    return [warning.name for warning in pending if warning.kind is WarningKind.TEMPLATE_OFF]


def above(house: Pipeline, place: int = -1) -> str:
    return house.slack.posts[place].message.headline[0].text


async def templated(house: Pipeline, template: str, **more) -> None:
    await house.subscribe(template=template, **more)


async def faults(house: Pipeline) -> dict[str, str]:
    return {id_: str(fault) for id_, fault in (await house.app.template_errors.list_current()).items()}


async def test_a_card_is_posted_and_edited_with_the_template_but_replies_are_not(house: Pipeline):
    await templated(house, OWN)
    await house.deliver(workflow(what="started", status="in_progress"))
    assert above(house) == "own: Workflow deploy started"
    await house.deliver(workflow(what="failed", status="error", error_message="no"))
    card, reply = house.slack.posts
    assert card.message.headline[0].text == "own: Workflow deploy failed"
    assert card.message.blocks[0].text == "error"
    assert reply.thread_ts
    assert "own:" not in str(reply.message)
    assert await faults(house) == {}


async def test_a_digest_has_the_default_form(house: Pipeline):
    await templated(house, OWN)
    await house.deliver(alert("a", fingerprint="1"), alert("b", fingerprint="2"))
    assert "2 updates" in house.slack.posts[0].text
    assert "own:" not in str(house.slack.posts[0].message)


async def test_of_two_subscriptions_to_one_channel_the_one_with_a_template_wins(house: Pipeline):
    await templated(house, OWN, id_="sub-second")
    await house.deliver(alert())
    assert above(house) == "own: disk full"
    assert len(house.slack.posts) == 1


async def test_when_a_template_fails_the_default_message_is_posted_and_the_error_is_recorded(house: Pipeline, caplog):
    await templated(house, BROKEN)
    await house.deliver(alert("a", fingerprint="1"))
    posted_message = house.slack.posts[0].message
    assert "disk" not in above(house)
    assert "*a*" in above(house)
    assert "The template of subscription sub-#ops failed: list object has no element 0, line 1" in str(posted_message)
    assert await faults(house) == {"sub-#ops": "list object has no element 0, line 1"}
    (delivery,) = await house.deliveries()
    assert str(await house.app.template_errors.get(delivery.id)) == "list object has no element 0, line 1"
    assert [record.message for record in caplog.records].count("template failed") == 1
    await house.deliver(workflow(steps=[{"name": "plan"}]))
    assert above(house) == "plan"
    assert await faults(house) == {}


@pytest.mark.parametrize("setter", ["subscription", "integration"])
async def test_a_template_that_exceeds_a_limit_is_switched_off_until_it_is_saved_again(
    house: Pipeline, caplog, setter: str
):
    """The error, and not the number of renderings, shows that it is not run again: `SLOW` works for other events."""
    await save(house, setter, SLOW)
    await house.deliver(alert("slow", fingerprint="1"))
    assert "*slow*" in above(house)
    assert "template of subscription sub-#ops is switched off: it takes too much time" in str(house.slack.posts[0])
    assert await faults(house) == {"sub-#ops": "it takes too much time"}
    for number in range(2):
        house.pass_time(2)
        await house.deliver(alert("other", fingerprint=f"{number}"))
        assert "*other*" in above(house)
    assert [post.text for post in house.slack.posts].count("slow") == 0
    assert await warnings(house) == ["acme/sub-#ops"]
    await save(house, setter, OWN)
    house.pass_time(2)
    await house.deliver(alert("at last", fingerprint="9"))
    assert above(house) == "own: at last"
    assert await faults(house) == {}


async def test_changing_the_subscription_clears_the_error(house: Pipeline):
    await templated(house, BROKEN)
    await house.deliver(alert())
    known = await house.app.subscriptions.find("sub-#ops")
    await house.app.subscriptions.save_and_remove(save=[replace(known, template=OWN)])
    assert await faults(house) == {}


@pytest.mark.parametrize("template", ["", OWN])
async def test_without_an_error_nothing_is_stored(house: Pipeline, template: str):
    await templated(house, template)
    await house.deliver(alert())
    assert await house.redis.keys("ik:template*") == []


async def test_the_template_of_an_integration_applies_to_subscriptions_without_one(house: Pipeline):
    assert house.integration is not None
    await house.app.integrations.save(replace(house.integration, template="theirs: {{ title }}"))
    await house.subscribe()
    await house.deliver(alert())
    assert above(house).startswith("theirs: ")
    await templated(house, OWN)  # the same one, changed
    house.pass_time(2)
    await house.deliver(alert("another"))
    assert above(house).startswith("own: ")
