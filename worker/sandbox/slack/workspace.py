"""A workspace of the sandbox: tokens, people, channels and their messages, with ids that look like Slack's."""

import base64
import hashlib
import string
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from worker.domain.integration import REQUIRED_SCOPES

Json = dict[str, Any]
LETTERS = string.ascii_uppercase + string.digits


@dataclass(slots=True)
class Token:
    """A bot token."""

    value: str
    scopes: tuple[str, ...]
    fault: str = ""  #: The error code that Slack answers once the token no longer works.


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
    """A message."""

    channel: str
    ts: str
    sent: Json  #: The arguments it was posted with.
    hidden: bool = False  #: It was posted so fast that Slack might not display it.
    edited: bool = False
    deleted: bool = False
    updates: int = 0

    def to_json(self) -> Json:
        """Return what was sent, and what became of it."""
        flags = {"hidden": self.hidden, "edited": self.edited, "deleted": self.deleted}
        return {**self.sent, "channel": self.channel, "ts": self.ts, **flags, "updates": self.updates}


@dataclass(slots=True)
class Channel:
    """A conversation."""

    id: str
    name: str
    private: bool = False
    member: bool = True  #: The bot is a member.
    archived: bool = False
    user_id: str = ""  #: Set for the direct messages of a person with the bot.
    posts: dict[str, Post] = field(default_factory=dict)  #: By `ts`, oldest first.

    @property
    def is_visible(self) -> bool:
        """The bot may know that the channel exists."""
        return self.member or not self.private


class Workspace:
    """A workspace with one app installed; its ids and tokens follow from the names, also after a restart."""

    def __init__(self, name: str, bot_name: str) -> None:
        self.name = name
        self.bot_name = bot_name
        self._numbers: Counter[str] = Counter()
        self._last_ts_us = 0
        self.team_id = self._new_id("T", "team")
        self.app_id = self._new_id("A", "app")
        self.bot_id = self._new_id("B", "bot")
        self.bot_user_id = self._new_id("U", "bot")
        self.tokens: dict[str, Token] = {}
        self.users: dict[str, User] = {}
        self.channels: dict[str, Channel] = {}
        #: Channels per page of a list: "fewer than the requested number of items may be returned".
        self.page_limit = 1000
        self.org_wide = False  #: The app is installed in a whole organisation, not in this workspace alone.
        self.token = self.add_token()

    def add_token(self, scopes: Iterable[str] = REQUIRED_SCOPES) -> str:
        """Add a working token with these scopes and return it."""
        number = self._new_number("token")
        secret = base64.b32encode(number.to_bytes(20, "big")).decode()[:24]
        value = f"xoxb-{number % 10**12:012d}-{number // 10**12 % 10**12:012d}-{secret}"
        self.tokens[value] = Token(value, tuple(scopes))
        return value

    def revoke(self, token: str = "", fault: str = "token_revoked") -> None:
        """Answer `fault` to every further call with a token, by default the first one."""
        self.tokens[token or self.token].fault = fault

    def reinstate(self, token: str = "") -> None:
        """Accept a revoked token again, as Slack does after a reinstall."""
        self.tokens[token or self.token].fault = ""

    def add_channel(self, name: str, *, private: bool = False, member: bool = True, archived: bool = False) -> Channel:
        """Add a channel."""
        name = name.removeprefix("#")
        id_ = self._new_id("C", f"channel {name}")
        self.channels[id_] = Channel(id_, name, private=private, member=member, archived=archived)
        return self.channels[id_]

    def add_user(self, email: str, *, deleted: bool = False, is_bot: bool = False) -> User:
        """Add a person with an email address."""
        user = User(self._new_id("U", f"user {email}"), email, email.partition("@")[0], deleted, is_bot)
        self.users[user.id] = user
        return user

    def invite(self, channel: Channel | str) -> None:
        """Make the bot a member of a channel, as `/invite @bot` does."""
        self.get_channel(channel).member = True

    def kick(self, channel: Channel | str) -> None:
        """Remove the bot from a channel."""
        self.get_channel(channel).member = False

    def archive(self, channel: Channel | str) -> None:
        """Archive a channel: it stays listed, but nothing can be posted."""
        self.get_channel(channel).archived = True

    def unarchive(self, channel: Channel | str) -> None:
        """Restore an archived channel."""
        self.get_channel(channel).archived = False

    def rename(self, channel: Channel | str, name: str) -> None:
        """Rename a channel; its id stays, and the old name no longer finds it."""
        self.get_channel(channel).name = name.removeprefix("#")

    def delete(self, channel: Channel | str) -> None:
        """Delete a channel with its messages."""
        del self.channels[self.get_channel(channel).id]

    def get_channel(self, channel: Channel | str) -> Channel:
        """Return a channel by id, name, or its person's user id or email. Raises KeyError."""
        if match := channel if isinstance(channel, Channel) else self.find(channel):
            return match
        raise KeyError(f"{self.name} has no channel {channel}")

    def find(self, reference: str) -> Channel | None:
        """Return a channel by id, name with or without `#`, or its person's user id or email, if it exists."""
        if reference in self.channels:
            return self.channels[reference]
        for channel in self.channels.values():
            user = self.users.get(channel.user_id)
            if reference.removeprefix("#") in ((user.id, user.email) if user else (channel.name,)):
                return channel
        return None

    def find_name(self, id_: str) -> str:
        """Return the name of a person or channel by its id, or the id when it is unknown."""
        named = self.users.get(id_) or self.channels.get(id_)
        return self.bot_name if id_ == self.bot_user_id else named.name if named else id_

    def direct_messages(self, user: User) -> Channel:
        """Return the bot's conversation with a person, and open it at its first use."""
        for channel in self.channels.values():
            if channel.user_id == user.id:
                return channel
        id_ = self._new_id("D", f"user {user.email}")
        self.channels[id_] = Channel(id_, "", private=True, user_id=user.id)
        return self.channels[id_]

    def new_ts(self) -> str:
        """Return a message timestamp: the wall clock, later than every earlier one."""
        self._last_ts_us = max(int(time.time() * 1_000_000), self._last_ts_us + 1)
        return f"{self._last_ts_us // 1_000_000}.{self._last_ts_us % 1_000_000:06d}"

    def _new_id(self, prefix: str, subject: str) -> str:
        """Return an id such as `C0…`; a further one for the same subject is different."""
        number = self._new_number(f"{prefix} {subject}")
        return prefix + "0" + "".join(LETTERS[number // 36**place % 36] for place in range(9))

    def _new_number(self, subject: str) -> int:
        self._numbers[subject] += 1
        text = f"{self.name}/{subject}/{self._numbers[subject]}"
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=20).digest(), "big")
