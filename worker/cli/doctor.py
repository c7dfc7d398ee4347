"""`ik-slack doctor`: whether everything works, and how to fix what does not."""

import asyncio
import logging.config

import click

from config.logging_config import log_config
from config.settings import Settings, SettingsError
from worker.bootstrap.context import open_context
from worker.cli.output import as_json, print_checks, print_json
from worker.cli.stores import REDIS_TIMEOUT_S
from worker.domain.errors import UserError
from worker.domain.hints import Hint
from worker.services.diagnostics import Finding, Level, check_key_ring, run_diagnostics
from worker.services.formatting import pluralize

DOCTOR_TIMEOUT_S = 13.0  # for all checks together
CLOSE_TIMEOUT_S = 0.5
SIGNS = {Level.OK: "✓", Level.NOTE: "!", Level.FAILED: "✗"}


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
