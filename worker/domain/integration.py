"""Integrations (one Slack app installation each), their tokens, and what Slack reports about a workspace."""

from dataclasses import dataclass
from enum import StrEnum

from worker.domain.hints import NO_HINT, Hint

POST_SCOPE = "chat:write"  # the only scope without which a whole integration parks
REQUIRED_SCOPES = ("channels:read", "chat:write", "groups:read", "users:read", "users:read.email")


class Health(StrEnum):
    """State of an integration."""

    ACTIVE = "active"
    PARKED = "parked"  #: Slack rejects its token; a person must act.
    DISABLED = "disabled"  #: A person disabled it.


class Secret:
    """A text that no repr, log, traceback or pickle shows."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the text; only for code that sends or encrypts it."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> str:
        raise TypeError("a Secret cannot be pickled or copied")


class HasScopes:
    """Something to which Slack granted scopes."""

    __slots__ = ()
    scopes: tuple[str, ...]

    @property
    def missing_scopes(self) -> tuple[str, ...]:
        """Return the required scopes that were not granted."""
        return tuple(scope for scope in REQUIRED_SCOPES if scope not in self.scopes)


@dataclass(frozen=True, slots=True)
class Identity(HasScopes):
    """The bot user and workspace of a token, as `auth.test` returns them, and the scopes granted to the token."""

    team_id: str
    team: str
    url: str
    user_id: str
    bot_name: str
    bot_id: str = ""
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Conversation:
    """A Slack conversation, as the directory remembers it."""

    id: str
    name: str
    is_member: bool = False
    is_archived: bool = False
    is_private: bool = False


@dataclass(frozen=True, slots=True)
class ConversationPage:
    """One page of `conversations.list` or `users.conversations`; `cursor` is empty on the last page."""

    conversations: tuple[Conversation, ...]
    cursor: str = ""


@dataclass(frozen=True, slots=True)
class ListingCursor:
    """The place at which a listing of all channels continues."""

    private: bool = False  #: Private channels are listed after the public ones.
    cursor: str = ""
    pages: int = 0  #: Pages read so far.


@dataclass(frozen=True, slots=True)
class Person:
    """A Slack user as a destination."""

    id: str
    is_bot: bool = False
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Integration(HasScopes):
    """An integration as stored, without its token."""

    id: str  #: Never changes, unlike the name.
    name: str
    team_id: str = ""
    team: str = ""
    url: str = ""
    bot_user_id: str = ""
    bot_name: str = ""
    scopes: tuple[str, ...] = ()
    description: str = ""
    labels: tuple[str, ...] = ()
    template: str = ""  #: Template of its subscriptions that have none of their own.
    state: Health = Health.ACTIVE
    reason: str = ""
    hint: Hint = NO_HINT
    since_ms: int = 0

    @property
    def workspace_id(self) -> str:
        """Return the id that rate limits are kept by: the team's, or the integration's until the team is known."""
        return self.team_id or self.id

    def message_url(self, channel: str, ts: str) -> str:
        """Return the link to a message in Slack; empty when it was not posted."""
        return f"{self.url}archives/{channel}/p{ts.replace('.', '')}" if self.url and ts else ""
