"""The interface to Slack that the pipeline needs; `worker.slack.gateway` implements it."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from worker.domain.delivery import Receipt
from worker.domain.errors import SlackError
from worker.domain.integration import Conversation, ConversationPage, Identity, Person, Secret
from worker.domain.message import Message

Sleep = Callable[[float], Awaitable[None]]
"""Waits for a number of seconds; always an argument, so that tests never wait."""


class Gateway(Protocol):
    """The calls to Slack that the pipeline needs. Each raises a SlackError when Slack gives no usable answer."""

    async def post(
        self, token: Secret, channel: str, message: Message, *, plain: bool = False, thread_ts: str = "",
        broadcast: bool = False,
    ) -> Receipt:  # fmt: skip
        """Post to a conversation or user id, or into a thread; `plain` sends the fallback text alone."""

    async def edit(self, token: Secret, at: Receipt, message: Message) -> Receipt:
        """Replace a message that the bot posted."""

    async def identify(self, token: Secret) -> Identity:
        """Return the bot and the scopes of the token (`auth.test`)."""

    async def list_conversations(
        self, token: Secret, *, private: bool, cursor: str = "", joined: bool = False
    ) -> ConversationPage:
        """Return one page of public or private channels, archived ones included; `joined` only the bot's own."""

    async def get_conversation(self, token: Secret, channel: str) -> Conversation:
        """Return a conversation by its id."""

    async def find_person_by_email(self, token: Secret, email: str) -> Person:
        """Return the user with this e-mail address."""

    async def get_person(self, token: Secret, user_id: str) -> Person:
        """Return a user by their id."""

    def error_from_code(self, code: str) -> SlackError:
        """Return the error of a code of Slack's, for a failure that the directory knows without a call."""
