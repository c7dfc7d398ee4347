"""A call of a Web API method: its arguments, its errors, its answer, and Slack's rate limit."""

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from worker.sandbox.slack.workspace import Channel, Json, Token, Workspace

#: How early a call may be. The calls of a punctual client arrive that unevenly where the machine pauses. A client that
#: is too fast is soon refused, because the average counts.
TOLERANCE_S = 0.4


class CallRecord(NamedTuple):
    """A call that was answered."""

    at_s: float
    method: str
    channel: str
    outcome: str  #: `ok`, Slack's error code or the fault's name.


class ApiError(Exception):
    """Slack's answer `ok: false` with an error code."""

    def __init__(self, code: str, *, retry_after_s: int = 0, **details: Any) -> None:
        super().__init__(code)
        self.body: Json = {"ok": False, "error": code, **details}
        self.retry_after_s = retry_after_s  #: Whole seconds to wait, of the answer 429.


@dataclass(slots=True)
class Answer:
    """The answer to a call, before a fault may spoil it."""

    body: Json
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class RateLimit:
    """One call per `interval_s` and key (GCRA), up to `burst` of them at the same time; 0 is no limit."""

    interval_s: float
    burst: float = 1.0
    due_s: dict[Hashable, float] = field(default_factory=dict)

    def take(self, key: Hashable, now_s: float) -> bool:
        """Take a slot. Return whether only the burst allowed it. Raises ApiError, and then takes nothing."""
        if self.interval_s <= 0:
            return False
        due_s = self.due_s.get(key, now_s)
        early_s = due_s - TOLERANCE_S - now_s
        wait_s = early_s - (self.burst - 1) * self.interval_s
        if wait_s > 1e-9:
            raise ApiError("ratelimited", retry_after_s=max(math.ceil(wait_s), 1))
        self.due_s[key] = max(due_s, now_s) + self.interval_s
        return early_s > 1e-9


def invalid_arguments(problem: str) -> ApiError:
    """Return the error of a call whose arguments the method does not accept."""
    return ApiError("invalid_arguments", response_metadata={"messages": [f"[ERROR] {problem}"]})


@dataclass(frozen=True, slots=True)
class Call:
    """The arguments of a call, and the workspace and token of its caller."""

    args: Json
    workspace: Workspace
    token: Token
    #: Takes a slot of a conversation for a post; returns whether only the burst allowed it.
    take_slot: Callable[[str], bool]
    url: str

    def text(self, name: str) -> str:
        """Return an argument as text; empty without it."""
        value = self.args.get(name)
        return "" if value is None else str(value)

    def required(self, name: str) -> str:
        """Return an argument as text. Raises ApiError without it."""
        if not (value := self.text(name)):
            raise invalid_arguments(f"missing required field: {name}")
        return value

    def flag(self, name: str) -> bool:
        """Return a boolean argument, in any of the forms that Slack accepts."""
        return self.text(name).lower() in ("true", "1")

    def array(self, name: str, error_code: str) -> list[Any] | None:
        """Return a list argument, None without it. Raises ApiError for anything else."""
        value = self.args.get(name)
        if value is not None and not isinstance(value, list):
            raise ApiError(error_code)
        return value

    def require_scope(self, *scopes: str) -> None:
        """Raise ApiError unless the token has one of these scopes."""
        if scopes and not set(scopes) & set(self.token.scopes):
            raise ApiError("missing_scope", needed=",".join(scopes), provided=",".join(self.token.scopes))

    def conversation(self) -> Channel:
        """Return the channel of the argument `channel`, an id. Raises ApiError when the bot cannot see it."""
        channel = self.workspace.channels.get(self.required("channel"))
        if channel is None or not channel.is_visible:
            raise ApiError("channel_not_found")
        return channel
