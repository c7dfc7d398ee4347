"""Post: a message and an address become a receipt, or a refusal that says what happens next."""

from typing import Protocol

from worker.domain.delivery import Receipt
from worker.domain.integration import Conversation, Identity, Page, Person, Secret
from worker.domain.message import Message


class Gateway(Protocol):
    """What the pipeline needs of Slack. Every method raises a `Refusal` when it has no answer to give."""

    async def post(self, token: Secret, channel: str, message: Message, *, plain: bool = False) -> Receipt:
        """Post to a conversation or user id; `plain` sends the fallback text alone."""

    async def identify(self, token: Secret) -> Identity:
        """Who the token is and what it may do (`auth.test`)."""

    async def list_conversations(self, token: Secret, *, private: bool, cursor: str = "") -> Page:
        """One page of public or of private channels, archived ones included."""

    async def conversation(self, token: Secret, channel: str) -> Conversation:
        """One conversation by its id."""

    async def person_by_email(self, token: Secret, email: str) -> Person:
        """The user with this address."""
