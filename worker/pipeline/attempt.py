"""One attempt at telling something: what it was about, how it ended, and its one line in the log."""

import logging
from dataclasses import dataclass

from worker.domain.delivery import Outcome
from worker.domain.errors import filled
from worker.domain.folding import Call, Choice
from worker.domain.integration import Integration
from worker.store.held import Held, Left, Taken
from worker.telemetry import say

log = logging.getLogger("worker.attempt")

POSTING, EDITING = "chat.postMessage", "chat.update"
METHODS = {Call.POST: POSTING, Call.REPLY: POSTING, Call.EDIT: EDITING, Call.NONE: ""}


@dataclass(frozen=True, slots=True)
class Ended:
    """How one round of a lane ended: what waits, whether it is still ours, and why it lies down.

    `told` deliveries were finished by it. `split`: what was taken is told one by one from now on.
    """

    left: Left
    snoozed_s: float = 0.0
    reason: str = ""
    failed: bool = False
    told: int = 0
    split: bool = False


@dataclass(slots=True)
class Round:
    """One round of a lane: what was taken, to where, whether Slack was called."""

    held: Held
    integration: Integration | None = None
    channel: str = ""
    name: str = ""
    taken: tuple[Taken, ...] = ()
    called: bool = False
    choice: Choice | None = None
    pace_s: float = 0.0
    post_s: float = 0.0

    @property
    def call(self) -> Call:
        """How Slack was called, or would have been."""
        return self.choice.call if self.choice else Call.POST

    @property
    def workspace(self) -> str:
        """Whose pace it keeps."""
        return self.integration.workspace if self.integration else self.held.integration_id

    def filled(self, text: str) -> str:
        """A reason or hint with the names people know."""
        return filled(
            text,
            integration=self.integration.name if self.integration else self.held.integration_id,
            bot=self.integration.bot_name if self.integration else "",
            channel=self.name or self.held.destination,
        )


def say_attempt(
    one: Round, level: int, outcome: Outcome, code: str = "", wait_s: float = 0.0, **more: str | bool
) -> None:
    """The canonical line of one attempt."""
    say(
        log, level, "attempt" if one.called else "no attempt", lane=one.held.lane, channel=one.channel,
        outcome=outcome, code=code, told=len(one.taken), wait_s=wait_s, pace_s=one.pace_s, post_s=one.post_s,
        **more,
    )  # fmt: skip
