"""What a workspace holds: tokens, people, channels and the messages in them."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from worker.domain.integration import REQUIRED_SCOPES
from worker.sandbox.ids import Clock, Ids

Json = dict[str, Any]


@dataclass(slots=True)
class Token:
    """A bot token; `fault` is what Slack answers once it no longer works."""

    value: str
    scopes: tuple[str, ...]
    fault: str = ""


@dataclass(slots=True)
class User:
    """A person, or a bot."""

    id: str
    email: str
    name: str
    deleted: bool = False
    is_bot: bool = False


@dataclass(slots=True)
class Post:
    """A message as it was sent; `hidden` when it came so fast that Slack might not display it."""

    channel: str
    ts: str
    sent: Json
    hidden: bool = False
    edited: bool = False
    deleted: bool = False
    updates: int = 0

    def told(self) -> Json:
        """What was sent, with what became of it."""
        flags = {"hidden": self.hidden, "edited": self.edited, "deleted": self.deleted}
        return {**self.sent, "channel": self.channel, "ts": self.ts, **flags, "updates": self.updates}


@dataclass(slots=True)
class Channel:
    """A conversation; one with a `user_id` is that person's direct messages with the bot."""

    id: str
    name: str
    private: bool = False
    member: bool = True
    archived: bool = False
    user_id: str = ""
    created_at: int = 0
    previous_names: list[str] = field(default_factory=list)
    posts: dict[str, Post] = field(default_factory=dict)

    @property
    def visible(self) -> bool:
        """Whether Slack admits to the bot that it exists."""
        return self.member or not self.private


class Workspace:
    """A Slack workspace with one app installed.

    Ids and tokens follow from the names, so that a restarted sandbox has the same ones. No page of a list has
    more than `page_most` channels: "fewer than the requested number of items may be returned".
    """

    def __init__(
        self, name: str, bot_name: str, clock: Clock, kept: dict[str, dict[str, Post]] | None = None
    ) -> None:
        self.name = name
        self.bot_name = bot_name
        self.clock = clock
        self._kept = kept or {}  # messages of an earlier sandbox, by conversation id
        self._ids = Ids(name)
        self.team_id = self._ids.next("T", "team")
        self.app_id = self._ids.next("A", "app")
        self.bot_id = self._ids.next("B", "bot")
        self.bot_user_id = self._ids.next("U", "bot")
        self.creator_id = self._ids.next("U", "creator")
        self.domain = "".join(c for c in name.lower() if c.isalnum() and c.isascii()) or "workspace"
        self.tokens: dict[str, Token] = {}
        self.users: dict[str, User] = {}
        self.channels: dict[str, Channel] = {}
        self.page_most = 1000
        self.token = self.add_token()

    def add_token(self, scopes: Iterable[str] = REQUIRED_SCOPES) -> str:
        """A token that works, granted these scopes."""
        value = self._ids.token()
        self.tokens[value] = Token(value, tuple(scopes))
        return value

    def revoke(self, token: str, fault: str = "token_revoked") -> None:
        """From now on Slack answers `fault` to it."""
        self.tokens[token].fault = fault

    def reinstate(self, token: str) -> None:
        """The same token string works again, as after a reinstall."""
        self.tokens[token].fault = ""

    def add_channel(
        self, name: str, *, private: bool = False, member: bool = True, archived: bool = False
    ) -> Channel:
        """A channel; `member` says whether the bot was invited."""
        name = name.removeprefix("#")
        channel = Channel(self._ids.next("C", f"channel {name}"), name, private, member, archived)
        return self._open(channel)

    def add_user(self, email: str, *, deleted: bool = False, is_bot: bool = False) -> User:
        """A person with an email address."""
        user = User(self._ids.next("U", f"user {email}"), email, email.partition("@")[0], deleted, is_bot)
        self.users[user.id] = user
        return user

    def deactivate(self, person: User | str) -> None:
        """Switch a person's account off; their id and their messages stay."""
        self.user(person).deleted = True

    def reactivate(self, person: User | str) -> None:
        """Switch it on again."""
        self.user(person).deleted = False

    def invite(self, channel: Channel | str) -> None:
        """What `/invite @bot` does."""
        self.channel(channel).member = True

    def kick(self, channel: Channel | str) -> None:
        """The bot is removed from the channel."""
        self.channel(channel).member = False

    def archive(self, channel: Channel | str) -> None:
        """Archive a channel: it stays listed, nothing can be posted."""
        self.channel(channel).archived = True

    def unarchive(self, channel: Channel | str) -> None:
        """Bring an archived channel back."""
        self.channel(channel).archived = False

    def rename(self, channel: Channel | str, name: str) -> None:
        """Rename a channel; its id stays, the old name no longer finds it."""
        renamed = self.channel(channel)
        renamed.previous_names.append(renamed.name)
        renamed.name = name.removeprefix("#")

    def make_private(self, channel: Channel | str) -> None:
        """Turn a public channel private: id, members and messages stay; others see it no more."""
        self.channel(channel).private = True

    def delete(self, channel: Channel | str) -> None:
        """Delete a channel with its messages."""
        del self.channels[self.channel(channel).id]

    def channel(self, channel: Channel | str) -> Channel:
        """A channel by itself, id, name, or its person's user id or email. Raises KeyError."""
        found = channel if isinstance(channel, Channel) else self.find(channel)
        if found is None:
            raise KeyError(f"{self.name} has no channel {channel}")
        return found

    def user(self, person: User | str) -> User:
        """A person by themselves, user id or email. Raises KeyError."""
        if isinstance(person, User):
            return person
        for user in self.users.values():
            if person in (user.id, user.email):
                return user
        raise KeyError(f"{self.name} has no user {person}")

    def find(self, reference: str) -> Channel | None:
        """A channel by id, name with or without `#`, or its person's user id or email."""
        if reference in self.channels:
            return self.channels[reference]
        name = reference.removeprefix("#")
        return next((c for c in self.channels.values() if name in self._names(c)), None)

    def public(self, name: str) -> Channel | None:
        """A public channel by its name."""
        return next((c for c in self.channels.values() if c.name == name and not c.private), None)

    @property
    def bot_profile(self) -> Json:
        """The bot, as each of its messages carries it."""
        icons = {f"image_{size}": f"https://a.slack-edge.com/bot_{size}.png" for size in (36, 48, 72)}
        named = {"id": self.bot_id, "app_id": self.app_id, "name": self.bot_name, "team_id": self.team_id}
        return {**named, "deleted": False, "updated": 1_700_000_000, "icons": icons}

    def direct_messages(self, user: User) -> Channel:
        """The bot's conversation with a person, opened at its first use."""
        for channel in self.channels.values():
            if channel.user_id == user.id:
                return channel
        return self._open(
            Channel(self._ids.next("D", f"user {user.email}"), "", private=True, user_id=user.id)
        )

    def _open(self, channel: Channel) -> Channel:
        channel.created_at = int(time.time())
        channel.posts = self._kept.pop(channel.id, {})
        self.channels[channel.id] = channel
        return channel

    def _names(self, channel: Channel) -> Iterator[str]:
        if channel.user_id:
            yield channel.user_id
            yield self.users[channel.user_id].email
        else:
            yield channel.name
