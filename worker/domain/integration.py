"""An integration: one Slack app installation a person set up, and the secret it posts with."""

from dataclasses import dataclass
from enum import StrEnum

REQUIRED_SCOPES = ("channels:read", "chat:write", "groups:read", "users:read", "users:read.email")


class Health(StrEnum):
    """Whether an integration posts."""

    ACTIVE = "active"
    PARKED = "parked"  # its token fails; a person must act
    DISABLED = "disabled"  # a person switched it off


class Secret:
    """A text that never shows itself: not in a repr, a log, a traceback or a pickle."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The text itself; for the one place that sends it."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> str:
        raise TypeError("a secret is not pickled")


def _missing(granted: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(scope for scope in REQUIRED_SCOPES if scope not in granted)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a token is, as `auth.test` answers, and the scopes it was granted."""

    team_id: str
    team: str
    url: str
    user_id: str
    bot_name: str
    bot_id: str = ""
    scopes: tuple[str, ...] = ()

    @property
    def missing_scopes(self) -> tuple[str, ...]:
        """Which of the five scopes the guide asks for were not granted."""
        return _missing(self.scopes)


@dataclass(frozen=True, slots=True)
class Conversation:
    """A channel as the directory knows it."""

    id: str
    name: str
    is_member: bool = False
    is_archived: bool = False
    is_private: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """One page of `conversations.list`; `cursor` is empty on the last."""

    conversations: tuple[Conversation, ...]
    cursor: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a reading of all channels goes on: which of the two lists, its cursor, and the pages before."""

    private: bool = False
    cursor: str = ""
    pages: int = 0


@dataclass(frozen=True, slots=True)
class Person:
    """A Slack user as a destination."""

    id: str
    is_bot: bool = False
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Integration:
    """An integration as stored, without its token. `id` never changes, `name` is what people call it.

    `template` is what its subscriptions without one of their own are told by.
    """

    id: str
    name: str
    team_id: str = ""
    team: str = ""
    url: str = ""
    bot_user_id: str = ""
    bot_name: str = ""
    scopes: tuple[str, ...] = ()
    description: str = ""
    labels: tuple[str, ...] = ()
    template: str = ""
    state: Health = Health.ACTIVE
    reason: str = ""
    hint: str = ""
    since_ms: int = 0

    @property
    def workspace(self) -> str:
        """What pace and method tiers are counted per; the integration's own id until Slack told its team."""
        return self.team_id or self.id

    @property
    def missing_scopes(self) -> tuple[str, ...]:
        """Which of the five scopes the guide asks for were not granted."""
        return _missing(self.scopes)
