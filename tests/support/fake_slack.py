"""A very small Slack as a Gateway, for tests that say how a call ends; `worker.sandbox` is the larger one.

`tests/unit/pipeline/test_pipeline_fake_slack.py` holds it to the real gateway on the sandbox.
"""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from worker.domain.delivery import Receipt
from worker.domain.errors import SlackError
from worker.domain.integration import REQUIRED_SCOPES, Conversation, ConversationPage, Identity, Person, Secret
from worker.domain.message import Message
from worker.slack import error_codes as codes
from worker.slack.blocks import rejection_reason

PAGE = 2
Ending = BaseException | Callable[[], None]


@dataclass(frozen=True, slots=True)
class Posted:
    """What was posted."""

    channel: str
    message: Message
    plain: bool
    token: str
    thread_ts: str = ""
    broadcast: bool = False

    @property
    def text(self) -> str:
        return self.message.text


class FakeSlack:
    """Channels, people and tokens; each call meets the next ending that waits for its method, if any."""

    def __init__(self) -> None:
        self.channels: dict[str, Conversation] = {}
        self.people: dict[str, Person] = {}
        self.identities: dict[str, Identity] = {"xoxb-1": identity(), "xoxb-2": identity()}
        self.faults: dict[str, str] = {}
        self.posts: list[Posted] = []
        self.edits: list[Posted] = []
        self.deleted: set[int] = set()
        self.calls: Counter[str] = Counter()
        self.endings: dict[str, deque[Ending]] = {}
        self.pages: dict[tuple[bool, str], ConversationPage] = {}

    def add_channel(self, id_: str, name: str, *, is_member: bool = True, is_private: bool = False) -> None:
        self.channels[id_] = Conversation(id_, name, is_member=is_member, is_private=is_private)

    def change(self, id_: str, **changes: bool | str) -> None:
        """An invitation, a kick, a rename, an archive …"""
        self.channels[id_] = replace(self.channels[id_], **changes)  # type: ignore[arg-type]

    def ends(self, method: str, *endings: Ending | str) -> None:
        """How the next calls of a method end: raising this, or a code of Slack's, or after this was done."""
        waiting = self.endings.setdefault(method, deque())
        waiting.extend(codes.error_from_code(one) if isinstance(one, str) else one for one in endings)

    async def post(
        self, token: Secret, channel: str, message: Message, *, plain: bool = False, thread_ts: str = "",
        broadcast: bool = False,
    ) -> Receipt:  # fmt: skip
        if reason := "" if plain else rejection_reason(message):
            raise codes.error_from_code("invalid_blocks", detail=reason)
        self._call("chat.postMessage", token, "chat:write")
        if channel.startswith("U"):
            channel = "D" + channel[1:]
        elif not channel.startswith("D"):
            found = self._seen(channel)
            if found.is_archived:
                raise codes.error_from_code("is_archived")
            if not found.is_member:
                raise codes.error_from_code("not_in_channel")
        self.posts.append(Posted(channel, message, plain, token.reveal(), thread_ts, broadcast))
        return Receipt(channel, f"{1_700_000_000 + len(self.posts)}.000100")

    async def edit(self, token: Secret, at: Receipt, message: Message) -> Receipt:
        if reason := rejection_reason(message):
            raise codes.error_from_code("invalid_blocks", detail=reason)
        self._call("chat.update", token, "chat:write")
        if not at.channel.startswith("D"):
            found = self._seen(at.channel)
            if found.is_archived:
                raise codes.error_from_code("is_inactive")
            if not found.is_member:
                raise codes.error_from_code("not_in_channel")
        place = int(at.ts.partition(".")[0]) - 1_700_000_001
        if not 0 <= place < len(self.posts) or place in self.deleted:
            raise codes.error_from_code("message_not_found")
        self.posts[place] = replace(self.posts[place], message=message)
        self.edits.append(Posted(at.channel, message, False, token.reveal()))
        return at

    async def identify(self, token: Secret) -> Identity:
        self._call("auth.test", token)
        return self.identities[token.reveal()]

    async def list_conversations(
        self, token: Secret, *, private: bool, cursor: str = "", joined: bool = False
    ) -> ConversationPage:
        method = "users.conversations" if joined else "conversations.list"
        self._call(method, token, "groups:read" if private else "channels:read")
        if (private, cursor) in self.pages:
            return self.pages[private, cursor]
        found = [
            one
            for one in self.channels.values()
            if one.is_private == private and (one.is_member or not (private or joined))
            if not (joined and one.is_archived)
        ]
        start = int(cursor or 0)
        more = str(start + PAGE) if len(found) > start + PAGE else ""
        return ConversationPage(tuple(found[start : start + PAGE]), more)

    async def get_conversation(self, token: Secret, channel: str) -> Conversation:
        self._call("conversations.info", token, "channels:read")
        return self._seen(channel)

    async def find_person_by_email(self, token: Secret, email: str) -> Person:
        self._call("users.lookupByEmail", token, "users:read.email")
        if email not in self.people:
            raise codes.error_from_code("users_not_found")
        return self.people[email]

    async def get_person(self, token: Secret, user_id: str) -> Person:
        self._call("users.info", token, "users:read")
        for person in self.people.values():
            if person.id == user_id:
                return person
        raise codes.error_from_code("user_not_found")

    def error_from_code(self, code: str) -> SlackError:
        return codes.error_from_code(code)

    def _call(self, method: str, token: Secret, scope: str = "") -> None:
        self.calls[method] += 1
        waiting = self.endings.get(method)
        if waiting:
            ending = waiting.popleft()
            if isinstance(ending, BaseException):
                raise ending
            ending()
        if token.reveal() in self.faults:
            raise codes.error_from_code(self.faults[token.reveal()])
        known = self.identities.get(token.reveal())
        if known is None:
            raise codes.error_from_code("invalid_auth")
        if scope and scope not in known.scopes:
            raise codes.error_from_code("missing_scope", needed=scope, provided=",".join(known.scopes))

    def _seen(self, channel: str) -> Conversation:
        found = self.channels.get(channel)
        if found is None or (found.is_private and not found.is_member):
            raise codes.error_from_code("channel_not_found")
        return found


def identity(team_id: str = "T0000001", scopes: tuple[str, ...] = REQUIRED_SCOPES) -> Identity:
    return Identity(team_id, "Acme", "https://acme.slack.com/", "U0000BOT", "infrakitchen", "B0000001", scopes)
