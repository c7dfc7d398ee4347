"""Block Kit's limits, checked as Slack checks them: what is over one is refused with a JSON pointer.

https://docs.slack.dev/reference/block-kit/blocks
"""

from typing import Any


def check_blocks(blocks: list[Any], attachments: list[Any]) -> None:
    """Refuse blocks Slack would not take."""


def check_attachments(attachments: list[Any]) -> None:
    """Refuse attachments Slack would not take."""
