"""What Slack takes and what no event may do, checked on a whole message.

Four judges, none of which knows another's limits: the ones written here, slack_sdk's own models, our own
measuring (`worker/slack/blocks.py`) and the sandbox, which refuses what Slack refuses.
"""

import re
from collections.abc import Iterator
from typing import Any

from slack_sdk.errors import SlackObjectFormationError
from slack_sdk.models.attachments import BlockAttachment
from slack_sdk.models.blocks import Block as Model

from worker.domain.message import Block, Given, Message
from worker.domain.mrkdwn import characters, units
from worker.sandbox.slack.block_kit import check_attachments, check_blocks
from worker.sandbox.slack.call import ApiError
from worker.slack.blocks import arguments, find_near_limits

SECTION, TEXT, TOGETHER, BLOCKS = 3_000, 4_000, 10_500, 50  # together: in bytes
_TAG = re.compile(r"<([^<>]*)>")
_HARMLESS = re.compile(r"https?://[^\s|]+(\|.*)?|!date\^-?\d+\^[^|]*\|[^|]*", re.DOTALL)


def texts(message: Message) -> Iterator[str]:
    """Every text people may see, each once."""
    yield message.text
    for block in (*message.headline, *message.blocks):
        yield from _texts(block)


def _texts(block: Block) -> Iterator[str]:
    if isinstance(block, Given):
        yield from _given(block.plain)
    else:
        yield block.text


def _given(value: object, name: str = "") -> Iterator[str]:
    if isinstance(value, str) and name == "text":
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from _given(one)
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from _given(one, key)


def find_problems(message: Message, mentions: tuple[str, ...] = ()) -> list[str]:
    """What is wrong with a message; only `mentions` may be live in it."""
    found = list(texts(message))
    wrong = [*_refused(arguments(message)), *_refused(arguments(message, plain=True))]
    too_long = (text for text in found if not text.strip() or characters(text) > SECTION)
    wrong += [f"{characters(text)} characters: {text[:80]!r}" for text in too_long]
    if units(message.text) > TEXT:
        wrong.append(f"the fallback has {units(message.text)} bytes")
    if (together := sum(map(units, found)) - units(message.text)) > TOGETHER:
        wrong.append(f"all texts together have {together} bytes")
    if len(message.headline) + len(message.blocks) > BLOCKS:
        wrong.append("too many blocks")
    for text in found:
        wrong += _broken(text, mentions)
    return wrong


def _refused(sent: dict[str, Any]) -> Iterator[str]:
    """What the other three say of what is sent."""
    yield from (f"over a limit: {use}" for use in find_near_limits(sent) if use.used > use.limit)
    blocks, attachments = sent.get("blocks", []), sent.get("attachments", [])
    try:
        check_attachments(attachments)
        check_blocks(blocks, attachments)
    except ApiError as refused:
        yield f"the sandbox refuses it: {refused.body}"
    try:
        if _modelled(blocks) != blocks:
            yield "slack_sdk would send other blocks"
        for one in attachments:
            beside = BlockAttachment(
                blocks=[Model.parse(block) for block in one["blocks"]],
                color=one["color"],
                fallback=one["fallback"],
            )
            if beside.to_dict() != one:
                yield "slack_sdk would send another attachment"
    except SlackObjectFormationError as error:
        yield f"slack_sdk refuses it: {error}"


def _modelled(blocks: list[Any]) -> list[Any]:
    return [model.to_dict() for block in blocks if (model := Model.parse(block))]


def _broken(text: str, mentions: tuple[str, ...]) -> Iterator[str]:
    try:
        text.encode()
    except UnicodeEncodeError:
        yield f"a lone surrogate: {text[:80]!r}"
    text = re.sub(r"(?m)^(?:```)?> ?", "", text)  # a quotation
    for mention in mentions:
        text = text.replace(mention, "")
    for tag in _TAG.findall(text):
        if not _HARMLESS.fullmatch(tag):
            yield f"a live tag: <{tag}>"
    if re.search("[<>]", _TAG.sub("", text)):
        yield f"an open bracket: {text[:80]!r}"
    if re.search(r"&(?!amp;|lt;|gt;)", text):
        yield f"a broken entity: {text[:80]!r}"
    outside = re.sub(r"```.+?```", "", text, flags=re.DOTALL)
    if any(line.count("`") % 2 for line in outside.split("\n")):
        yield f"code that does not end: {text[:80]!r}"
