"""A call of a Web API method, and the way it is refused."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from worker.sandbox.state import Channel, Json, Token, Workspace


class Met(NamedTuple):
    """One call as it went: `outcome` is `ok`, Slack's error code or the fault's name."""

    at_s: float
    method: str
    channel: str
    outcome: str


class Refused(Exception):
    """Slack's `ok: false`: an error code, and what else the answer says."""

    def __init__(self, code: str, **more: Any) -> None:
        super().__init__(code)
        self.answer: Json = {"ok": False, "error": code, **more}


@dataclass(slots=True)
class Answer:
    """What a call comes to, before the wire may spoil it."""

    body: Json
    headers: dict[str, str] = field(default_factory=dict)
    retry_after_s: int = 0

    def warn(self, warning: str) -> None:
        """Add a warning to the answer, as Slack does for odd but acceptable calls."""
        metadata = {**self.body.get("response_metadata", {}), "warnings": [warning]}
        self.body |= {"warning": warning, "response_metadata": metadata}


def bad_arguments(problem: str) -> Refused:
    """The refusal of a call whose arguments are not what the method takes."""
    return Refused("invalid_arguments", response_metadata={"messages": [f"[ERROR] {problem}"]})


@dataclass(frozen=True, slots=True)
class Call:
    """One call: its arguments and who makes it; `take_slot` is True when only the burst allowed a post."""

    args: Json
    workspace: Workspace
    token: Token
    take_slot: Callable[[str], bool]
    url: str = ""

    def text(self, name: str) -> str:
        """An argument as text; empty when it was not given."""
        value = self.args.get(name)
        return "" if value is None else str(value)

    def required(self, name: str) -> str:
        """An argument as text; raises Refused when it was not given."""
        if not (value := self.text(name)):
            raise bad_arguments(f"missing required field: {name}")
        return value

    def flag(self, name: str) -> bool:
        """A true-or-false argument, in any of the forms Slack takes."""
        return self.text(name).lower() in ("true", "1")

    def array(self, name: str, refusal: str) -> list[Any] | None:
        """A list argument, which a form holds as JSON text; None when it was not given."""
        value = self.args.get(name)
        if isinstance(value, str):
            try:
                value = json.loads(value) if value else None
            except ValueError:
                raise Refused(refusal) from None
        if value is not None and not isinstance(value, list):
            raise Refused(refusal)
        return value

    def needs(self, *scopes: str) -> None:
        """Refuse the call unless the token was granted one of these scopes."""
        if scopes and not set(scopes) & set(self.token.scopes):
            raise Refused("missing_scope", needed=",".join(scopes), provided=",".join(self.token.scopes))

    def conversation(self) -> Channel:
        """The channel argument as an id of a conversation the bot can see."""
        channel = self.workspace.channels.get(self.required("channel"))
        if channel is None or not channel.visible:
            raise Refused("channel_not_found")
        return channel
