"""Templates in a lane: cards are made and edited with them, what fails is told anyway and noted."""

from dataclasses import replace

import pytest
from pipeline_house import House, alert, workflow

OWN = "own: {{ title }}\n{{ status }}"
BROKEN = "{{ steps[0].name }}"  # some events have no steps


def above(house: House, place: int = -1) -> str:
    return house.slack.posts[place].message.headline[0].text


async def templated(house: House, template: str, **more) -> None:
    await house.subscribe(template=template, **more)


async def faults(house: House) -> dict[str, str]:
    return {id_: str(fault) for id_, fault in (await house.made.drain.template_faults.all()).items()}


async def test_a_card_is_made_and_edited_with_the_template_and_its_thread_without(house: House):
    await templated(house, OWN)
    await house.tell(workflow(what="started", status="in_progress"))
    assert above(house) == "own: Workflow deploy started"
    await house.tell(workflow(what="failed", status="error", error_message="no"))
    card, reply = house.slack.posts
    assert card.message.headline[0].text == "own: Workflow deploy failed"
    assert card.message.blocks[0].text == "error"
    assert reply.thread_ts
    assert "own:" not in str(reply.message)
    assert await faults(house) == {}


async def test_a_digest_has_the_default_form(house: House):
    await templated(house, OWN)
    await house.tell(alert("a", fingerprint="1"), alert("b", fingerprint="2"))
    assert "2 updates" in house.slack.posts[0].text
    assert "own:" not in str(house.slack.posts[0].message)


async def test_of_two_subscriptions_to_one_place_the_one_with_a_template_is_told(house: House):
    await templated(house, OWN, id_="sub-second")
    await house.tell(alert())
    assert above(house) == "own: disk full"
    assert len(house.slack.posts) == 1


async def test_when_a_template_fails_the_default_message_is_posted_and_that_is_noted(house: House, caplog):
    await templated(house, BROKEN)
    await house.tell(alert("a", fingerprint="1"))
    told = house.slack.posts[0].message
    assert "disk" not in above(house)
    assert "*a*" in above(house)
    assert "The template of subscription sub-#ops failed: list object has no element 0, line 1" in str(told)
    assert await faults(house) == {"sub-#ops": "list object has no element 0, line 1"}
    (delivery,) = await house.deliveries()
    assert (
        str(await house.made.drain.template_faults.of(delivery.id)) == "list object has no element 0, line 1"
    )
    assert [record.message for record in caplog.records].count("template failed") == 1
    await house.tell(workflow(steps=[{"name": "plan"}]))
    assert above(house) == "plan"
    assert await faults(house) == {}


async def test_the_note_goes_when_the_subscription_is_changed(house: House):
    await templated(house, BROKEN)
    await house.tell(alert())
    known = await house.made.subscriptions.find("sub-#ops")
    await house.made.subscriptions.change(save=[replace(known, template=OWN)])
    assert await faults(house) == {}


@pytest.mark.parametrize("template", ["", OWN])
async def test_without_a_fault_nothing_is_kept(house: House, template: str):
    await templated(house, template)
    await house.tell(alert())
    assert await house.redis.keys("ik:template*") == []


async def test_the_template_of_an_integration_is_for_subscriptions_without(house: House):
    assert house.integration is not None
    await house.made.integrations.save(replace(house.integration, template="theirs: {{ title }}"))
    await house.subscribe()
    await house.tell(alert())
    assert above(house).startswith("theirs: ")
    await templated(house, OWN)  # the same one, changed
    house.pass_time(2)
    await house.tell(alert("another"))
    assert above(house).startswith("own: ")
