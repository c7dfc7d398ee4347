"""Status: whether anything needs a person now, in a few reads of Redis and without a call to Slack."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from worker.bootstrap.stores import Stores
from worker.domain.errors import TemplateError
from worker.domain.hints import CORRECT_TEMPLATE, NO_HINT, Action, Code, Hint, Step
from worker.domain.integration import Health, Integration
from worker.domain.mrkdwn import duration
from worker.services.formatting import format_json_time, format_time, pluralize
from worker.services.schemas import Schema
from worker.store.installation import FIX, LOST
from worker.store.integrations import LastCalls
from worker.store.ledger import Balance, LaneCount, LedgerSnapshot, take_ledger_snapshot

LATE_S = 60.0  # a due delivery that waits longer needs attention
ADD_INTEGRATION = Hint.of("To add one, ", Step(Action.ADD_INTEGRATION, "NAME"), ".")
START = Hint.of("To start it, ", Step(Action.START_PROCESSES), ".")
LOST_FIX = Hint.of(
    "A publisher or an administrator trimmed the stream. Publish these events again, and remove ", Code("MAXLEN"),
    " and ",
    Code("XTRIM"), " from what publishes: infrakitchen-slack trims the stream behind what it has read.",
)  # fmt: skip
OUTAGE_FIX = Hint.of(
    "They are retried until Slack accepts them. Check https://slack-status.com and the workers' network, then ",
    Step(Action.RUN_DOCTOR), ".",
)  # fmt: skip
UNBALANCED_FIX = Hint.of("Redis lost data, or this is a bug: report it with what ", Step(Action.RUN_DOCTOR), " prints.")


class Overall(StrEnum):
    """The state of the whole installation."""

    OK = "ok"
    ATTENTION = "attention"  # something waits for a person, or is late
    FAILING = "failing"  # messages do not arrive, or are lost


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that needs a person, and what to do."""

    level: Overall
    text: str
    fix: Hint = NO_HINT

    def __str__(self) -> str:
        return f"{self.text}. {self.fix}".rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """An integration, and how its calls to Slack went."""

    integration: Integration
    calls: LastCalls
    pending: int = 0  #: How many deliveries are pending, those of parked lanes included.
    held: int = 0  #: How many of them are held in quiet hours.
    due_ms: int = 0  #: Since when its oldest delivery is due; 0 when none is.

    @property
    def is_failing(self) -> bool:
        """Return whether its last call failed, and deliveries wait for it."""
        return self.calls.failed_ms > self.calls.succeeded_ms and self.pending > self.held


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The state of the installation at one moment."""

    now_ms: int
    began_ms: int  #: When the data of this installation began.
    problems: tuple[Problem, ...]  #: The worst first.
    workspaces: tuple[Workspace, ...]
    snapshot: LedgerSnapshot
    lag: int  #: Entries of the stream that are not acknowledged.
    oldest_ms: int  #: Since when the oldest message is due, events that ingest has not read included; 0 for none.

    @property
    def health(self) -> Overall:
        """The level of the worst problem."""
        return self.problems[0].level if self.problems else Overall.OK

    @property
    def balance(self) -> Balance:
        """The balance of all events and deliveries."""
        return self.snapshot.balance

    @property
    def oldest_pending_s(self) -> int:
        """How long the oldest due message has waited."""
        return max(self.now_ms - self.oldest_ms, 0) // 1000 if self.oldest_ms else 0


class WorkspaceSchema(Schema):
    """An integration in the status."""

    name: str
    state: Health
    last_success_at: str | None


class StatusSchema(Schema):
    """The state of the installation. `reasons` say what needs a person, the worst first, each with its fix."""

    health: Overall
    reasons: list[str]
    oldest_pending_s: int
    integrations: list[WorkspaceSchema]
    parked: int
    dead: int
    lost: int

    @classmethod
    def of_status(cls, status: Status) -> "StatusSchema":
        """Build the schema."""
        integrations = [
            WorkspaceSchema.of(item.integration, last_success_at=format_json_time(item.calls.succeeded_ms))
            for item in status.workspaces
        ]
        reasons = list(map(str, status.problems))
        return cls.of(status, status.balance, reasons=reasons, integrations=integrations)


async def list_integrations(app: Stores) -> list[Integration]:
    """Return all integrations by name. One whose token ENCRYPTION_KEY cannot decrypt has that as its reason."""
    connections = await app.integrations.get_connections()
    errors = {id_: connection.unreadable for id_, connection in connections.items()}
    return [
        replace(integration, reason=error.text.removesuffix("."), hint=error.fix)
        if (error := errors.get(integration.id))
        else integration
        for integration in await app.integrations.list_all()
    ]


async def get_status(app: Stores) -> Status:
    """Return the status. Raises StoreUnavailable when Redis does not answer: then nothing can be said."""
    integrations = await list_integrations(app)
    snapshot, calls, dead, critical = await asyncio.gather(
        take_ledger_snapshot(app.redis),
        app.integrations.get_calls([integration.id for integration in integrations]),
        app.dead_letters.count_by_reason(),
        app.dead_letters.count_critical(),
    )
    lag, first_unread_ms, installation, now_ms, template_errors = await asyncio.gather(
        app.stream.lag(), app.stream.first_unread_ms(), app.installation.check(), app.redis.now_ms(),
        app.template_errors.list_current(),
    )  # fmt: skip
    stopped = [role for role in ("ingest", "worker") if not await app.processes.list_alive(role)]
    workspaces = tuple(
        _workspace(integration, last, snapshot.lanes) for integration, last in zip(integrations, calls, strict=True)
    )
    due = [workspace.due_ms for workspace in workspaces if workspace.due_ms]
    oldest_ms = min([*due, *([first_unread_ms] if first_unread_ms else [])], default=0)
    problems = [
        *(problem for workspace in workspaces if (problem := _workspace_problem(workspace))),
        *_loss_problems(snapshot.balance, critical, installation.lost_ms),
        *(Problem(Overall.ATTENTION, f"No {role} process is running", START) for role in stopped),
        *_template_problems(template_errors),
        *_waiting_problems(snapshot.lanes, sum(dead.values()) - critical, now_ms - oldest_ms if oldest_ms else 0),
    ]
    if not integrations:
        problems.append(Problem(Overall.ATTENTION, "There is no integration: nothing can be posted", ADD_INTEGRATION))
    problems.sort(key=lambda problem: problem.level is not Overall.FAILING)
    return Status(
        now_ms=now_ms,
        began_ms=installation.began_ms,
        problems=tuple(problems),
        workspaces=workspaces,
        snapshot=snapshot,
        lag=lag,
        oldest_ms=oldest_ms,
    )


def _workspace(integration: Integration, calls: LastCalls, lanes: Sequence[LaneCount]) -> Workspace:
    own = [lane for lane in lanes if lane.lane.startswith(f"{integration.id}/")]
    due = [lane.due_ms for lane in own if lane.due_ms and not (lane.parked or lane.integration_parked)]
    return Workspace(
        integration=integration,
        calls=calls,
        pending=sum(lane.pending for lane in own),
        held=sum(lane.held for lane in own),
        due_ms=min(due, default=0),
    )


def _workspace_problem(workspace: Workspace) -> Problem | None:
    integration, calls = workspace.integration, workspace.calls
    if integration.state is Health.DISABLED:
        if not workspace.pending:
            return None
        waiting = pluralize(workspace.pending, "delivery waits", "deliveries wait")
        enable = Hint.of("To post again, ", Step(Action.ENABLE_INTEGRATION, integration.name), ".")
        return Problem(Overall.ATTENTION, f"{integration.name} is disabled, and {waiting} for it", enable)
    if integration.state is Health.PARKED or integration.reason:
        text = f"Nothing is posted to {integration.name}: {integration.reason}"
        return Problem(Overall.FAILING, text, integration.hint)
    if workspace.is_failing:
        last = format_time(calls.succeeded_ms)
        success = f"the last one succeeded at {last}" if last else "none has succeeded yet"
        text = f"Posts to {integration.name} fail ({calls.code}), {success}"
        return Problem(Overall.FAILING, text, OUTAGE_FIX)
    return None


def _loss_problems(balance: Balance, critical: int, data_lost_ms: int) -> list[Problem]:
    problems = []
    if balance.lost:
        text = f"{pluralize(balance.lost, 'event was', 'events were')} removed from the stream before they were read"
        problems.append(Problem(Overall.FAILING, text, LOST_FIX))
    if data_lost_ms:
        problems.append(Problem(Overall.FAILING, f"{LOST} at {format_time(data_lost_ms)}", Hint.of(FIX)))
    if balance.unaccounted:
        text = f"{pluralize(balance.unaccounted, 'event or delivery', 'events or deliveries')} unaccounted for"
        problems.append(Problem(Overall.FAILING, text, UNBALANCED_FIX))
    if critical:
        text = f"{pluralize(critical, 'critical delivery is', 'critical deliveries are')} dead"
        problems.append(Problem(Overall.FAILING, text, Hint.of("To see why, ", Step(Action.LIST_DEAD_LETTERS), ".")))
    return problems


def _template_problems(errors: Mapping[str, TemplateError]) -> list[Problem]:
    return [
        Problem(Overall.ATTENTION, f"The template of {id_} is switched off: {error}", CORRECT_TEMPLATE)
        for id_, error in errors.items()
        if error.exceeds_limit
    ]


def _waiting_problems(lanes: Sequence[LaneCount], dead: int, late_ms: int) -> list[Problem]:
    problems = []
    if parked := sum(1 for lane in lanes if lane.parked):
        text = f"{pluralize(parked, 'lane is', 'lanes are')} parked"
        problems.append(Problem(Overall.ATTENTION, text, Hint.of("To see what to do, ", Step(Action.LIST_PARKED), ".")))
    if dead > 0:
        text = f"{pluralize(dead, 'dead letter')} not replayed or discarded"
        problems.append(Problem(Overall.ATTENTION, text, Hint.of("To see why, ", Step(Action.LIST_DEAD_LETTERS), ".")))
    if late_ms > LATE_S * 1000:
        fix = Hint.of("To see what it waits for, ", Step(Action.LIST_DELIVERIES), ".")
        problems.append(Problem(Overall.ATTENTION, f"The oldest message is {duration(late_ms / 1000)} late", fix))
    return problems
