"""A neutral Message as the arguments of `chat.postMessage`: text, blocks above and beside the coloured bar.

Built as plain objects: slack_sdk's models check by looking at every attribute they have, which takes three
times as long as the whole post (0.4 ms of processor against 0.13). The tests hold these objects
equal to theirs.
"""

from collections.abc import Sequence

from worker.domain.message import Block, Context, Divider, Given, Message, Section
from worker.slack.codes import refusal

BLOCKS_MAX = 50
SECTION_TEXT_MAX = 3000
FIELDS_MAX = 10
FIELD_TEXT_MAX = 2000
CONTEXT_TEXTS_MAX = 10

JsonObject = dict[str, object]


def arguments(message: Message, *, plain: bool = False) -> JsonObject:
    """What `chat.postMessage` takes besides the channel; raises Undeliverable for what Slack would refuse.

    Previews of links are off: an event's link is there to be followed, not shown.
    """
    sent: JsonObject = {"text": message.text, "unfurl_links": False, "unfurl_media": False}
    if plain:
        return sent
    if message.headline:
        sent["blocks"] = _blocks(message.headline)
    if message.blocks:
        # Only an attachment has a coloured bar; `fallback` is what clients without blocks show of it.
        beside = {"color": message.colour.value, "fallback": message.text, "blocks": _blocks(message.blocks)}
        sent["attachments"] = [beside]
    return sent


def _blocks(blocks: Sequence[Block]) -> list[JsonObject]:
    _at_most(BLOCKS_MAX, len(blocks), "blocks")
    return [_block(block) for block in blocks]


def _block(block: Block) -> JsonObject:
    """Limits: https://docs.slack.dev/reference/block-kit/blocks"""
    match block:
        case Section(text=text, fields=fields):
            return _section(text, fields)
        case Context(texts=texts):
            _at_most(CONTEXT_TEXTS_MAX, len(texts), "texts in a context")
            if not texts:
                raise refusal("invalid_blocks", detail="a context without text")
            return {"type": "context", "elements": [_text(text, SECTION_TEXT_MAX) for text in texts]}
        case Divider():
            return {"type": "divider"}
        case Given(plain=plain):  # pragma: no branch  (mypy sees to it that no kind of block is left out)
            return dict(plain)


def _section(text: str, fields: Sequence[str]) -> JsonObject:
    _at_most(FIELDS_MAX, len(fields), "fields")
    if not text and not fields:
        raise refusal("invalid_blocks", detail="a section without text")
    section: JsonObject = {"type": "section"}
    if text:
        section["text"] = _text(text, SECTION_TEXT_MAX)
    if fields:
        section["fields"] = [_text(field, FIELD_TEXT_MAX) for field in fields]
    return section


def _text(text: str, limit: int) -> JsonObject:
    """Markup that Slack shows as it is written.

    `verbatim` keeps the markup in it (links, dates, a subscription's mention) and stops Slack from finding
    more in an event's words: names of channels and people in them stay words.
    https://docs.slack.dev/reference/block-kit/composition-objects/text-object
    """
    if not text:
        raise refusal("invalid_blocks", detail="an empty text")
    _at_most(limit, len(text), "characters in a text")
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def _at_most(limit: int, found: int, what: str) -> None:
    if found > limit:
        raise refusal("invalid_blocks", detail=f"{found} {what}, Slack takes {limit}")
