"""One attempt at telling something: what it was about, how it ended, and its one line in the log."""

import logging
import time
from dataclasses import dataclass

from worker.domain.delivery import Outcome
from worker.domain.errors import filled
from worker.domain.folding import Call, Choice
from worker.domain.integration import Integration
from worker.store.held import Held, Left, Taken
from worker.telemetry import COUNTERS, say

log = logging.getLogger("worker.attempt")

POSTING, EDITING = "chat.postMessage", "chat.update"
METHODS = {Call.POST: POSTING, Call.REPLY: POSTING, Call.EDIT: EDITING, Call.NONE: ""}


@dataclass(frozen=True, slots=True)
class Ended:
    """How one round of a lane ended: what waits, whether it is still ours, and why it lies down.

    `told` deliveries were finished by it. `split`: what was taken is told one by one, a thing at a time.
    """

    left: Left
    snoozed_s: float = 0.0
    reason: str = ""
    failed: bool = False
    told: int = 0
    split: bool = False


@dataclass(slots=True)
class Round:
    """One round of a lane: what was taken, to where, whether Slack was called.

    `keeps_record`: what this lane is told without a card is remembered; `keeps_runs`: someone of it wants
    workflows in place of their resources.
    """

    held: Held
    integration: Integration | None = None
    channel: str = ""
    name: str = ""
    taken: tuple[Taken, ...] = ()
    called: bool = False
    choice: Choice | None = None
    keeps_record: bool = False
    keeps_runs: bool = False
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
    """The canonical line of one attempt; where Slack was not called, of why not."""
    say(
        log, level, "attempt" if one.called else "no attempt", lane=one.held.lane, channel=one.channel,
        method=METHODS[one.call] if one.called else "", outcome=outcome, code=code, told=len(one.taken),
        wait_s=wait_s, pace_s=one.pace_s, post_s=one.post_s, **more,
    )  # fmt: skip


def end_attempt(
    one: Round, level: int, outcome: Outcome, code: str = "", wait_s: float = 0.0, **more: str | bool
) -> None:
    """The same of the last call of a round: what it took is measured, with the tries before it."""
    say_attempt(one, level, outcome, code, wait_s, **more)
    if one.called:
        measure_call(one, outcome)


def measure_call(one: Round, outcome: Outcome) -> None:
    """How long it took; once a delivery, how long after the stream accepted its event it was told first."""
    COUNTERS.measure("post", (one.post_s,))
    COUNTERS.measure("pace_wait", (one.pace_s,))
    if outcome is Outcome.DELIVERED and one.call is not Call.REPLY:  # the card it replies to told it
        now_s = time.time()
        COUNTERS.measure(
            "event_to_post", (now_s - each.accepted_at_ms / 1000 for each in one.taken if not each.owed)
        )
