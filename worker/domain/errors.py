"""Every way a call to Slack can end without a receipt: the class is the decision.

Refusal                 Slack, or the way to it, did not give a receipt
├── Throttled           too fast: the pace closes for everyone until then; not an attempt
├── Transient           not posted for sure: try again, waiting longer each time
│   └── Unlisted        a code nobody has listed: a few tries as Transient, then a dead letter
├── Uncertain           may have been posted: try again, and mark the repeat
├── Blocked             a person must act: park the lane or the whole integration
└── Undeliverable       the message itself is at fault: plain text once, then a dead letter
Problem                 what a person asked for cannot be done: one line that says why, and the next step
├── Missing             what a person named is not there
└── WrongUse            a person must say more, or say it in another way
Fenced                  this holder lost its lane: what it did is no longer recorded
"""

from enum import StrEnum


class Scope(StrEnum):
    """What a person's step frees: one lane, or everything of an integration."""

    LANE = "lane"
    INTEGRATION = "integration"


class Refusal(Exception):
    """Slack gave no receipt: `code` is Slack's word (or ours for the wire), `reason` is for people."""

    def __init__(self, code: str, reason: str = "") -> None:
        super().__init__(reason or code)
        self.code = code
        self.reason = reason or code


def filled(text: str, *, integration: str, bot: str = "", channel: str = "") -> str:
    """A reason or hint with the names people know for `{integration}`, `{bot}` and `{channel}`."""
    names = {"{bot}": bot or "InfraKitchen", "{channel}": channel, "{integration}": integration}
    for placeholder, name in names.items():
        text = text.replace(placeholder, name) if name else text
    return text


class Throttled(Refusal):
    """Slack asks to wait `retry_after_s` seconds before this method is called again."""

    def __init__(self, retry_after_s: float, code: str = "ratelimited") -> None:
        super().__init__(code, f"Slack asks to wait {retry_after_s:g} s")
        self.retry_after_s = retry_after_s


class Transient(Refusal):
    """Not posted for sure; the same call may work in a moment."""


class Unlisted(Transient):
    """An error code that `slack/codes.py` does not list."""


class Uncertain(Refusal):
    """The request went out and no answer tells whether it was posted."""


class Blocked(Refusal):
    """Nothing will work until a person takes the step in `hint`."""

    def __init__(self, code: str, reason: str, hint: str, scope: Scope = Scope.LANE) -> None:
        super().__init__(code, reason)
        self.hint = hint
        self.scope = scope


class Undeliverable(Refusal):
    """Slack will never take this message as it is; `detail` is what Slack says of it."""

    def __init__(self, code: str, reason: str, detail: str = "") -> None:
        super().__init__(code, f"{reason} ({detail})" if detail else reason)
        self.detail = detail


class Problem(Exception):
    """What a person asked for cannot be done; the text says what happened, to what, and what to do."""


class Missing(Problem):
    """What a person named is not there, or not any more."""


class WrongUse(Problem):
    """What a person asked for is not clear: they must say more, or say it in another way."""


class Fenced(Exception):
    """The lane is held by someone else now: nothing this holder did after that is recorded."""


class NotYet(Exception):
    """It is too early: look again in `wait_s`. Not a failure, not an attempt."""

    def __init__(self, wait_s: float, reason: str) -> None:
        super().__init__(reason)
        self.wait_s = wait_s
        self.reason = reason
