"""Blocks equal the models of slack_sdk, and a message that Slack would reject is recognised."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slack_sdk.models.attachments import BlockAttachment
from slack_sdk.models.blocks import Block as Model
from slack_sdk.models.blocks import ContextBlock, MarkdownTextObject, SectionBlock

from worker.domain.message import Block, Colour, Context, Given, Message, Section
from worker.slack.blocks import arguments, rejection_reason

texts = st.text(min_size=1, max_size=60)
blocks = st.one_of(st.builds(Section, texts), st.builds(Context, texts))
several = st.lists(blocks, min_size=1, max_size=6).map(tuple)


def model(block: Block) -> Model:
    assert not isinstance(block, Given)
    text = MarkdownTextObject(text=block.text, verbatim=True)
    return SectionBlock(text=text) if isinstance(block, Section) else ContextBlock(elements=[text])


@given(texts, several, several, st.sampled_from(Colour))
def test_blocks_equal_the_models_of_slack_sdk(
    text: str, headline: tuple[Block, ...], beside: tuple[Block, ...], colour: Colour
) -> None:
    sent = arguments(Message(text, headline, beside, colour))
    bar = BlockAttachment(blocks=[model(block) for block in beside], color=colour.value, fallback=text)
    assert sent == {
        "text": text,
        "unfurl_links": False,
        "unfurl_media": False,
        "blocks": [model(block).to_dict() for block in headline],
        "attachments": [bar.to_dict()],
    }


def test_without_blocks_beside_the_bar_there_is_no_bar() -> None:
    assert "attachments" not in arguments(Message("hello", (Section("hello"),)))


def test_without_a_headline_only_the_bar_is_sent() -> None:
    sent = arguments(Message("hello", (), (Section("hello"),)))
    assert "blocks" not in sent
    assert "attachments" in sent


def test_a_plain_message_is_its_text_only() -> None:
    sent = arguments(Message("hello", (Section("*hello*"),), (Section("there"),)), plain=True)
    assert sent == {"text": "hello", "unfurl_links": False, "unfurl_media": False}


def test_slack_finds_no_links_in_plain_text() -> None:
    sent = arguments(Message("hello", (Section("a"), Context("c"))))
    assert str(sent).count("'verbatim': True") == 2


@pytest.mark.parametrize(
    ("blocks", "reason"),
    [
        ((Section("x" * 3001),), "text of section 1: 3,001 characters"),
        ((Context("x" * 3001),), "element 1 of context 1: 3,001 characters"),
        ((Section("x"),) * 51, "51, Slack accepts 50"),
    ],
)
@pytest.mark.parametrize("beside", [False, True], ids=["headline", "bar"])
def test_a_message_that_slack_would_reject_has_a_reason(blocks: tuple[Block, ...], reason: str, beside: bool) -> None:
    assert reason in rejection_reason(Message("hello", () if beside else blocks, blocks if beside else ()))


def test_a_message_at_every_limit_is_accepted() -> None:
    full = (Section("x" * 2500), Context("y" * 2500), *(Section("z"),) * 48)
    assert rejection_reason(Message("hello", full, full)) == ""
