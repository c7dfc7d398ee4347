"""What the pipeline needs of Slack; `slack/gateway.py` is the real one."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from worker.domain.delivery import Receipt
from worker.domain.errors import Refusal
from worker.domain.integration import Conversation, Identity, Page, Person, Secret
from worker.domain.message import Message

Sleep = Callable[[float], Awaitable[None]]
"""Waiting is an argument everywhere, so that a test never waits."""


class Gateway(Protocol):
    """What the pipeline needs of Slack. Every method raises a `Refusal` when it has no answer to give."""

    async def post(
        self, token: Secret, channel: str, message: Message, *, plain: bool = False, thread_ts: str = "",
        broadcast: bool = False,
    ) -> Receipt:  # fmt: skip
        """Post to a conversation or user id, or into a thread; `plain` sends the fallback text alone."""

    async def edit(self, token: Secret, at: Receipt, message: Message) -> Receipt:
        """Put another message in the place of one of ours."""

    async def identify(self, token: Secret) -> Identity:
        """Who the token is and what it may do (`auth.test`)."""

    async def list_conversations(
        self, token: Secret, *, private: bool, cursor: str = "", joined: bool = False
    ) -> Page:
        """One page of public or of private channels, archived ones included; or of those the bot is in."""

    async def conversation(self, token: Secret, channel: str) -> Conversation:
        """One conversation by its id."""

    async def person_by_email(self, token: Secret, email: str) -> Person:
        """The user with this address."""

    async def person(self, token: Secret, user_id: str) -> Person:
        """One user by their id."""

    def refusal(self, code: str) -> Refusal:
        """What a code of Slack's means, for what the directory knows without asking."""
