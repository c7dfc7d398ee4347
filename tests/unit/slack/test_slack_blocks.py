"""Messages as Slack takes them: the same objects slack_sdk's models make, and nothing Slack would refuse."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slack_sdk.models.attachments import BlockAttachment
from slack_sdk.models.blocks import Block as Model
from slack_sdk.models.blocks import ContextBlock, DividerBlock, MarkdownTextObject, SectionBlock

from worker.domain.errors import Undeliverable
from worker.domain.message import Block, Colour, Context, Divider, Message, Section
from worker.slack.blocks import arguments

texts = st.text(min_size=1, max_size=60)
blocks = st.one_of(
    st.builds(Section, texts, st.lists(texts, max_size=10).map(tuple)),
    st.builds(Section, st.just(""), st.lists(texts, min_size=1, max_size=10).map(tuple)),
    st.builds(Context, st.lists(texts, min_size=1, max_size=10).map(tuple)),
    st.just(Divider()),
)
several = st.lists(blocks, min_size=1, max_size=6).map(tuple)


def model(block: Block) -> Model:
    match block:
        case Section(text=text, fields=fields):
            return SectionBlock(
                text=MarkdownTextObject(text=text, verbatim=True) if text else None,
                fields=[MarkdownTextObject(text=field, verbatim=True) for field in fields],
            )
        case Context(texts=lines):
            return ContextBlock(elements=[MarkdownTextObject(text=line, verbatim=True) for line in lines])
        case Divider():
            return DividerBlock()


@given(texts, several, several, st.sampled_from(Colour))
def test_blocks_are_what_the_sdks_models_make(
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


def test_plain_is_the_text_alone() -> None:
    sent = arguments(Message("hello", (Section("*hello*"),), (Section("there"),)), plain=True)
    assert sent == {"text": "hello", "unfurl_links": False, "unfurl_media": False}


def test_slack_finds_nothing_in_a_text_that_was_not_put_there() -> None:
    sent = arguments(Message("hello", (Section("a", ("b",)), Context(("c",)))))
    assert str(sent).count("'verbatim': True") == 3


@pytest.mark.parametrize(
    ("refused", "why"),
    [
        ((Section("x" * 3001),), "3001 characters in a text"),
        ((Section("x", ("y" * 2001,)),), "2001 characters in a text"),
        ((Section("x", ("y",) * 11),), "11 fields"),
        ((Section(""),), "a section without text"),
        ((Section("x", ("",)),), "an empty text"),
        ((Context(("x",) * 11),), "11 texts in a context"),
        ((Context(()),), "a context without text"),
        ((Context(("x" * 3001,)),), "3001 characters in a text"),
        ((Divider(),) * 51, "51 blocks"),
    ],
)
@pytest.mark.parametrize("beside", [False, True], ids=["headline", "bar"])
def test_what_slack_would_refuse_is_undeliverable_and_says_why(
    refused: tuple[Block, ...], why: str, beside: bool
) -> None:
    message = Message("hello", () if beside else refused, refused if beside else ())
    with pytest.raises(Undeliverable, match=why) as caught:
        arguments(message)
    assert caught.value.code == "invalid_blocks"
    assert arguments(message, plain=True)


def test_everything_at_its_limit_is_taken() -> None:
    full = (Section("x" * 3000, ("y" * 2000,) * 10), Context(("z" * 3000,) * 10), *(Divider(),) * 48)
    assert arguments(Message("hello", full, full))
