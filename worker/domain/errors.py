"""Exceptions of the program; the class of a failed Slack call decides what happens to its deliveries.

SlackError              Slack did not accept a call, or its answer was lost
├── Throttled           Slack asks to wait: every worker waits; the call does not count as an attempt
├── Transient           not posted: retry, each time after a longer wait
│   └── UnlistedCode    an error code that is not in slack/error_codes.py: a few retries, then a dead letter
├── Uncertain           may have been posted: retry, and mark the repeated message
├── Blocked             a person must act: park the lane or the whole integration
└── Undeliverable       Slack rejects the message: post it once as plain text, then a dead letter
UserError               a user's request cannot be done; the text says what happened and what to do
├── NotFound            the requested object does not exist
└── UsageError          the request is ambiguous, incomplete or wrong
LeaseLost               another process holds the lane's lease now
RetryLater              too early; not a failure, not an attempt
TemplateError           a user's template does not give a message
"""

from enum import StrEnum

from worker.domain.hints import NO_HINT, Hint
from worker.domain.mrkdwn import cut

CHANNEL_MAX = 32
DETAIL_MAX = 80  #: Characters of what another program, or an expression of a template, says of an error.


class Scope(StrEnum):
    """The extent of a block: one lane, or all lanes of an integration."""

    LANE = "lane"
    INTEGRATION = "integration"


class SlackError(Exception):
    """Slack did not accept a call, or its answer was lost."""

    def __init__(self, code: str, reason: str = "") -> None:
        super().__init__(reason or code)
        self.code = code  #: Slack's error code, or the program's own for a failed connection.
        self.reason = reason or code  #: For users; may hold the placeholders of `format_hint`.


def format_hint(text: str, *, integration: str, bot: str = "", channel: str = "") -> str:
    """Replace `{integration}`, `{bot}` and `{channel}` in a reason or hint by the names users know.

    A long name of a channel is cut, as it may come several times; the lane beside the reason has it whole.
    """
    names = {"{bot}": bot or "InfraKitchen", "{channel}": cut(channel, CHANNEL_MAX), "{integration}": integration}
    for placeholder, name in names.items():
        text = text.replace(placeholder, name) if name else text
    return text


class Throttled(SlackError):
    """Slack asks to wait `asked_s` seconds before the next call of a method.

    A wait of more than an hour may be the mistake of a server in between, so the next call is made after an hour.
    """

    SHORTEST_S, LONGEST_S = 1.0, 3600.0

    def __init__(self, asked_s: float, code: str = "ratelimited") -> None:
        asked_s = max(asked_s, self.SHORTEST_S)
        self.retry_after_s = min(asked_s, self.LONGEST_S)
        shortened = "" if asked_s <= self.LONGEST_S else ", and is called again in an hour"
        super().__init__(code, f"Slack asks to wait {asked_s:.10g} s{shortened}")


class Transient(SlackError):
    """The message was not posted; the same call may succeed later."""


class UnlistedCode(Transient):
    """Slack answered with an error code that `slack/error_codes.py` does not list."""


class Uncertain(SlackError):
    """The request was sent, and no answer says whether the message was posted."""


class Blocked(SlackError):
    """No call of this lane or integration can succeed until a person does what `hint` says."""

    def __init__(
        self, code: str, reason: str, hint: Hint, scope: Scope = Scope.LANE, *, is_formatted: bool = False
    ) -> None:
        super().__init__(code, reason)
        self.hint = hint
        self.scope = scope
        self.is_formatted = is_formatted  #: Reason and hint have the channel's current name and no placeholders.


class Undeliverable(SlackError):
    """Slack rejects this message; `detail` is Slack's explanation."""

    def __init__(self, code: str, reason: str, detail: str = "") -> None:
        super().__init__(code, f"{reason} ({detail})" if detail else reason)
        self.detail = detail


class UserError(Exception):
    """A request of a user that cannot be done. `text` says what happened and to what, `fix` what to do."""

    def __init__(self, text: str, fix: Hint = NO_HINT) -> None:
        super().__init__(f"{text} {fix}" if fix else text)
        self.text = text
        self.fix = fix


class NotFound(UserError):
    """The requested object does not exist, or no longer exists."""


class UsageError(UserError):
    """The request is ambiguous, incomplete or wrong."""


class LeaseLost(Exception):
    """Another process holds the lane's lease; nothing this process does for the lane is recorded any more."""


class RetryLater(Exception):
    """It is too early for a step: retry it in `wait_s` seconds. Not a failure, not an attempt."""

    def __init__(self, wait_s: float, reason: str, *, until_next: bool = False) -> None:
        super().__init__(reason)
        self.wait_s = wait_s
        self.reason = reason
        self.until_next = until_next  #: The next delivery of the lane does not wait.


TEMPLATE_MAX_BYTES = 16 * 1024
"""The maximum size of a template."""


class TemplateError(Exception):
    """A template does not give a message; `line` is the template's line, or 0."""

    def __init__(self, reason: str, line: int = 0, exceeds_limit: bool = False) -> None:
        reason = cut(reason, DETAIL_MAX)
        super().__init__(f"{reason}, line {line}" if line else reason)
        self.reason = reason
        self.line = line
        #: Its rendering took too much time or memory: it is switched off until its subscription is saved again.
        self.exceeds_limit = exceeds_limit
