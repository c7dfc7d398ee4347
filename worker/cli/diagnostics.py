"""`ik-slack status`, `doctor` and `ledger`: whether everything works, and whether everything is accounted for."""

import asyncio
import logging.config
from dataclasses import asdict

import click

from config.logging_config import log_config
from config.settings import Settings, SettingsError
from worker.bootstrap.context import AppContext, open_context
from worker.cli.context import REDIS_TIMEOUT_S, run
from worker.cli.output import as_json, print_checks, print_json, print_prose
from worker.domain.errors import UserError
from worker.domain.hints import Hint
from worker.services.diagnostics import Finding, Level, check_key_ring, run_diagnostics
from worker.services.formatting import format_time, pluralize
from worker.services.status import Status, StatusSchema, get_status
from worker.store.ledger import Balance, take_ledger_snapshot

STATUS_COLOURS = {"ok": "green", "attention": "yellow", "failing": "red"}
STATUS_TIMEOUT_S = 5.0
DOCTOR_TIMEOUT_S = 13.0  # for all checks together
CLOSE_TIMEOUT_S = 0.5
SIGNS = {Level.OK: "✓", Level.NOTE: "!", Level.FAILED: "✗"}
#: Each count's meaning, and the command that lists what it counts.
ROWS = {
    "accepted": ("distinct events", ""),
    "suppressed": ("of these events, without a delivery", ""),
    "repeats_ignored": ("published again", ""),
    "rejected": ("unreadable entries", "dead-letters list"),
    "created": ("deliveries", ""),
    "delivered": ("in messages", ""),
    "merged": ("in another delivery's message", ""),
    "pending": ("not yet sent", ""),
    "parked": ("action required", "parked list"),
    "dead": ("not retried automatically", "dead-letters list"),
    "discarded": ("by a user", ""),
    "lost": ("removed from the stream before they were read", ""),
    "repeated": ("posted again after an unknown outcome", ""),
}


@click.command()
@as_json
def status(as_json: bool) -> None:
    """Show whether messages arrive, and what needs a person.

    \b
    ok         everything was checked and nothing needs a person
    attention  something waits for a person, or a message is late
    failing    messages do not arrive, or some are lost

    Exits with 0 whatever it says, and with 1 when Redis does not answer.
    """

    async def read(app: AppContext) -> Status:
        async with asyncio.timeout(STATUS_TIMEOUT_S):
            return await get_status(app)

    try:
        current = run(read)
    except TimeoutError:
        raise UserError(
            f"Redis did not answer within {STATUS_TIMEOUT_S:g} s: check it with `ik-slack doctor`."
        ) from None
    if as_json:
        print_json(StatusSchema.of_status(current))
        return
    click.secho(current.health, fg=STATUS_COLOURS[current.health], bold=True)
    for problem in current.problems:
        sign = click.style("✗" if problem.level == "failing" else "!", fg=STATUS_COLOURS[problem.level])
        print_prose(str(problem), first=f"{sign} ", indent="  ")
    for workspace in current.workspaces:
        integration, calls = workspace.integration, workspace.calls
        success = f"last success {format_time(calls.succeeded_ms)}" if calls.succeeded_ms else "nothing posted yet"
        pending = pluralize(workspace.pending - workspace.held, "delivery", "deliveries")
        held = f", {workspace.held:,} held in quiet hours" if workspace.held else ""
        click.echo(f"{integration.name}: {integration.state}, {success}, {pending} pending{held}")


@click.command()
@as_json
def doctor(as_json: bool) -> None:
    """Run all health checks and show how to fix each failure.

    Checks settings, Redis, the key ring, each integration, the workers, the stream and the ledger.
    ✓ passed, ! warning, ✗ failed, action required. Exits with 1 when a check failed.
    """
    findings = asyncio.run(_run_checks())
    if as_json:
        print_json(findings)
    else:
        print_checks([(SIGNS[finding.level], finding.check, finding.detail, finding.fix) for finding in findings])
    failed = [finding.check for finding in findings if finding.level is Level.FAILED]
    if failed:
        raise UserError(f"{len(failed)} of {pluralize(len(findings), 'check')} failed: {', '.join(failed)}.")


async def _run_checks() -> list[Finding]:
    """Return the findings; closing the connections to a silent server takes CLOSE_TIMEOUT_S at most."""
    findings: list[Finding] = []
    complete = asyncio.Event()
    checking = asyncio.create_task(_collect_findings(findings, complete))
    completing = asyncio.create_task(complete.wait())
    await asyncio.wait({checking, completing}, timeout=DOCTOR_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
    done, _ = await asyncio.wait({checking}, timeout=CLOSE_TIMEOUT_S)
    for task in done:
        task.result()
    return findings


async def _collect_findings(findings: list[Finding], complete: asyncio.Event) -> None:
    """Append every finding, then set `complete`, before the connections are closed."""
    import worker.slack.client  # noqa: F401  # imported now, so that its time does not count as Slack's

    try:
        settings = Settings.load()
    except SettingsError as error:
        fix = Hint.of("Correct it in the environment or in .env.")
        findings += [Finding("settings", Level.FAILED, line, fix) for line in str(error).splitlines()]
        return
    logging.config.dictConfig(log_config(settings.model_copy(update={"log_level": "CRITICAL"})))
    ring = check_key_ring(settings)
    if ring.level is Level.FAILED:
        findings.append(ring)
        settings = settings.model_copy(update={"encryption_key": None})
    try:
        async with open_context(settings, redis_timeout_s=REDIS_TIMEOUT_S) as app:
            findings += await run_diagnostics(app, ring)
            complete.set()
    except UserError as error:
        findings.append(Finding("Redis", Level.FAILED, "its address is not known", Hint.of(str(error))))
        findings += [ring] if ring.level is Level.OK else []


@click.command()
@as_json
def ledger(as_json: bool) -> None:
    """Count all events and deliveries; check that none is lost. Exits with 1 when something is unaccounted for."""
    balance = run(lambda app: take_ledger_snapshot(app.redis)).balance
    if as_json:
        print_json(asdict(balance))
    else:
        print_balance(balance)
    if balance.unaccounted:
        lost = pluralize(balance.unaccounted, "event or delivery", "events or deliveries")
        raise UserError(
            f"The ledger does not balance: {lost} unaccounted for. Check whether Redis lost data; if it did not, "
            "this is a bug to report."
        )


def print_balance(balance: Balance, *, with_commands: bool = True) -> None:
    """Print the counts and whether they balance; `with_commands` names the command that lists a non-zero count."""
    counts = asdict(balance)
    width = max(len(f"{count:,}") for count in counts.values())
    for name, (meaning, listing) in ROWS.items():
        see = f": `ik-slack {listing}`" if listing and counts[name] and with_commands else ""
        click.echo(f"{name.replace('_', ' '):<15}  {counts[name]:>{width},}  {meaning}{see}")
    line = f"{'unaccounted':<15}  {balance.unaccounted:>{width},}"
    if balance.unaccounted:
        click.secho(f"{line}  ✗ DOES NOT BALANCE", fg="red", bold=True)
    else:
        click.echo(f"{line}  ✓ everything is accounted for")
