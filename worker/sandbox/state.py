"""What a workspace holds: tokens, people, channels and the messages in them."""

import base64
import hashlib
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from worker.domain.integration import REQUIRED_SCOPES

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


class Clock:
    """Message timestamps: the wall clock, each one later than the last."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._last_us = 0

    def ts(self) -> str:
        """A `ts` no message had before."""
        self._last_us = max(int(self._now() * 1_000_000), self._last_us + 1)
        return f"{self._last_us // 1_000_000}.{self._last_us % 1_000_000:06d}"


class Workspace:
    """A Slack workspace with one app installed.

    Ids and tokens follow from the names, so that a restarted sandbox has the same ones.
    """

    def __init__(self, name: str, bot_name: str, clock: Clock) -> None:
        self.name = name
        self.bot_name = bot_name
        self.clock = clock
        self._made: Counter[str] = Counter()
        self.team_id = self._id("T", "team")
        self.app_id = self._id("A", "app")
        self.bot_id = self._id("B", "bot")
        self.bot_user_id = self._id("U", "bot")
        self.creator_id = self._id("U", "creator")
        self.domain = "".join(c for c in name.lower() if c.isalnum() and c.isascii()) or "workspace"
        self.tokens: dict[str, Token] = {}
        self.users: dict[str, User] = {}
        self.channels: dict[str, Channel] = {}
        self.token = self.add_token()

    def add_token(self, scopes: tuple[str, ...] | list[str] = REQUIRED_SCOPES) -> str:
        """A token that works, granted these scopes."""
        number = int(self._digest("token"), 16)
        secret = base64.b32encode(number.to_bytes(20, "big")).decode()[:24]
        value = f"xoxb-{number % 10**12:012d}-{number // 10**12 % 10**12:012d}-{secret}"
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
        channel_id = self._id("C", f"channel {name}")
        channel = Channel(channel_id, name, private, member, archived, created_at=int(time.time()))
        self.channels[channel.id] = channel
        return channel

    def add_user(self, email: str, *, deleted: bool = False, is_bot: bool = False) -> User:
        """A person with an email address."""
        user = User(self._id("U", f"user {email}"), email, email.partition("@")[0], deleted, is_bot)
        self.users[user.id] = user
        return user

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

    def delete(self, channel: Channel | str) -> None:
        """Delete a channel with its messages."""
        del self.channels[self.channel(channel).id]

    def channel(self, channel: Channel | str) -> Channel:
        """A channel by itself, id, name, or its person's user id or email. Raises KeyError."""
        found = channel if isinstance(channel, Channel) else self.find(channel)
        if found is None:
            raise KeyError(f"{self.name} has no channel {channel}")
        return found

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
        opened = Channel(self._id("D", f"user {user.email}"), "", private=True, user_id=user.id)
        self.channels[opened.id] = opened
        return opened

    def _names(self, channel: Channel) -> Iterator[str]:
        if channel.user_id:
            yield channel.user_id
            yield self.users[channel.user_id].email
        else:
            yield channel.name

    def _id(self, prefix: str, what: str) -> str:
        number = int(self._digest(f"{prefix} {what}"), 16)
        letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
        return prefix + "0" + "".join(letters[number // 36**n % 36] for n in range(9))

    def _digest(self, what: str) -> str:
        self._made[what] += 1
        text = f"{self.name}/{what}/{self._made[what]}"
        return hashlib.blake2b(text.encode(), digest_size=20).hexdigest()


def page_of(items: list[Channel], cursor: str, limit: int) -> tuple[list[Channel], str]:
    """The page a cursor names and the cursor of the next one; raises KeyError for a cursor not ours."""
    start = 0
    if cursor:
        position = {cursor_to(item.id): index for index, item in enumerate(items)}
        start = position[cursor]
    rest = itertools.islice(items, start, start + limit)
    following = items[start + limit].id if start + limit < len(items) else ""
    return list(rest), cursor_to(following) if following else ""


def cursor_to(channel_id: str) -> str:
    """A cursor as Slack writes them: base64 that ends in `=`."""
    text = f"team:{channel_id}"
    return base64.b64encode((text if len(text) % 3 else text + ":").encode()).decode()
