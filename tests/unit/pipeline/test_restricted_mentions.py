"""A workspace that restricts a mention costs the mention, not the channel."""

import pytest
from support.events import alert, workflow
from support.pipeline import Pipeline, deliver_paced

from worker.domain.event import Severity
from worker.pipeline.delivery.outcome_handler import is_restriction

POST, EDIT = "chat.postMessage", "chat.update"
MENTION = "<!channel>"


@pytest.fixture
async def loud(house: Pipeline) -> Pipeline:
    """The house with a subscription that mentions everyone."""
    await house.subscribe(mention=MENTION, mention_from=Severity.ERROR)
    return house


async def test_a_message_whose_mention_is_refused_is_sent_without_it(loud: Pipeline) -> None:
    loud.slack.ends(POST, "restricted_action")
    await deliver_paced(loud, alert("disk full"))
    assert [MENTION in str(post.message) for post in loud.slack.posts] == [False]
    assert await loud.attempts() == [("blocked", "restricted_action"), ("delivered", "")]
    (delivery,) = await loud.deliveries()
    assert (delivery.state, delivery.attempts) == ("delivered", 2)
    assert MENTION in delivery.detail
    assert "restricted_action" in delivery.detail
    assert (await loud.note()).parked == ""


async def test_later_messages_go_on_and_mention_again(loud: Pipeline) -> None:
    loud.slack.ends(POST, "restricted_action")
    await deliver_paced(loud, alert("disk full"))
    await deliver_paced(loud, alert("another"))
    assert [MENTION in post.text for post in loud.slack.posts] == [False, True]


async def test_a_channel_that_refuses_the_message_without_the_mention_too_is_restricted(loud: Pipeline) -> None:
    loud.slack.ends(POST, "restricted_action", "restricted_action")
    await deliver_paced(loud, alert("disk full"))
    assert (await loud.note()).parked == "restricted_action"
    assert (await loud.balance()).parked == 1


async def test_a_message_without_a_mention_is_not_sent_again(loud: Pipeline) -> None:
    loud.slack.ends(POST, "restricted_action")
    await deliver_paced(loud, alert("disk full", severity="warning"))
    assert (loud.slack.calls[POST], (await loud.note()).parked) == (1, "restricted_action")


async def test_an_edit_and_its_reply_are_made_without_the_mention(loud: Pipeline) -> None:
    await deliver_paced(loud, workflow())
    loud.slack.ends(EDIT, "restricted_action")
    loud.slack.ends(POST, "restricted_action")
    await deliver_paced(loud, workflow(what="failed", error_message="no quota"))
    assert (loud.slack.calls[EDIT], loud.slack.calls[POST], len(loud.slack.posts)) == (2, 3, 2)
    assert all("no quota" in post.text and MENTION not in post.text for post in loud.slack.posts)


@pytest.mark.parametrize(
    ("code", "is_one"),
    [
        ("restricted_action", True), ("restricted_action_mention", True), ("cant_broadcast_message", True),
        ("restricted_action_read_only_channel", False), ("restricted_action_thread_locked", False),
        ("is_archived", False),
    ],
)  # fmt: skip
def test_a_restriction_of_the_place_is_no_restriction_of_the_mention(code: str, is_one: bool) -> None:
    assert is_restriction(code) is is_one
