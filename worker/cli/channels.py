"""`ik-slack channels`: the directory of a workspace's channels."""

import asyncio
import time

import click

from worker.cli.context import AppContext, run
from worker.cli.output import as_json, print_json, print_table, show_progress
from worker.domain.errors import RetryLater, UserError
from worker.domain.integration import Conversation, Integration
from worker.domain.mrkdwn import duration
from worker.services.formatting import pluralize
from worker.services.integrations import select_integration
from worker.services.schemas import ChannelSchema
from worker.store.directory import DirectoryStatus

STALL_TIMEOUT_S = 300.0
POLL_S = 1.0


@click.group()
def command() -> None:
    """See the channels of a workspace and the bot's memberships.

    \b
    ik-slack channels list --member
    """


@command.command("list")
@click.argument("integration", required=False)
@click.option("--member", is_flag=True, help="Only channels the bot is a member of.")
@as_json
def list_(integration: str | None, member: bool, as_json: bool) -> None:
    """List the channels of INTEGRATION, or of all integrations, as last read from Slack.

    \b
    ik-slack channels list ops --member
    """

    async def work(app: AppContext) -> list[tuple[Integration, list[Conversation], DirectoryStatus]]:
        integrations = [await app.integrations.find(integration)] if integration else await app.integrations.list_all()
        return [
            (owner, await app.directory.list_channels(owner.id), await app.directory.get_status(owner.id))
            for owner in integrations
        ]

    directories = run(work)
    channels = [(owner, it) for owner, known, _ in directories for it in known if it.is_member or not member]
    if as_json:
        print_json([ChannelSchema.of(channel, integration=owner.name) for owner, channel in channels])
        return
    rows = []
    for owner, it in channels:
        membership = "archived" if it.is_archived else "member" if it.is_member else "not a member"
        rows.append((f"#{it.name}", it.id, owner.name, "private" if it.is_private else "public", membership))
    empty = "No channel found." if directories else "There is no integration yet."
    print_table(("Name", "Id", "Integration", "Kind", "Bot"), rows, empty=empty)
    for owner, known, status in directories:
        click.echo(_describe_age(owner.name, len(known), status))


@command.command()
@click.argument("integration", required=False)
@as_json
def refresh(integration: str | None, as_json: bool) -> None:
    """Read the channels of INTEGRATION from Slack now.

    Slack allows about 20 pages of 999 channels a minute. If a worker is reading them already, the command
    waits for the worker. After Ctrl-C, the next refresh continues at the same page.
    """

    async def work(app: AppContext) -> tuple[Integration, int, int]:
        chosen = await select_integration(app, integration)
        try:
            pages = await _refresh(app, chosen)
        finally:
            show_progress("")
        return chosen, pages, len(await app.directory.list_channels(chosen.id))

    chosen, pages, channels = run(work)
    if as_json:
        print_json({"integration": chosen.name, "pages": pages, "channels": channels})
        return
    click.echo(f"Read {pluralize(channels, 'channel')} of {chosen.name} in {pluralize(pages, 'page')}.")


async def _refresh(app: AppContext, integration: Integration) -> int:
    """Read the directory, or wait for the process that reads it, and return its number of pages.

    Raises UserError without any progress for STALL_TIMEOUT_S, or when Slack demands a longer wait.
    """
    token = await app.integrations.get_token(integration.id)
    before = await app.directory.get_status(integration.id)
    began_s = progress_s = time.monotonic()
    waiting_for = ""

    def on_page(pages: int, channels: int) -> None:
        nonlocal progress_s
        progress_s = time.monotonic()
        total = f" of about {before.pages}" if before.pages and pages <= before.pages else ""
        show_progress(f"Page {pages}{total}: {pluralize(channels, 'channel')} so far, {duration(progress_s - began_s)}")

    while True:
        try:
            pages = await app.directory_refresher.refresh(
                integration, token, unless_younger_s=time.monotonic() - began_s, progress=on_page
            )
            return pages or (await app.directory.get_status(integration.id)).pages
        except RetryLater as error:
            if error.reason != waiting_for:
                waiting_for, progress_s = error.reason, time.monotonic()
                show_progress(f"Waiting: {waiting_for}")
            if time.monotonic() - progress_s + error.wait_s > STALL_TIMEOUT_S:
                retry_in = duration(error.wait_s) if error.wait_s > STALL_TIMEOUT_S else "a minute"
                raise UserError(
                    f"The channels of {integration.name} were not read ({error.reason}): try again in {retry_in}. "
                    "Until then the channels that were read before are used."
                ) from None
            await asyncio.sleep(min(error.wait_s, POLL_S))


def _describe_age(name: str, channels: int, status: DirectoryStatus) -> str:
    reading = "" if status.scanned_channels is None else f"A refresh is running: {status.scanned_channels:,} so far."
    if status.age_s is not None:
        return f"{name}: {pluralize(channels, 'channel')}, read {duration(status.age_s)} ago. {reading}".rstrip()
    known = f"{name}: {pluralize(channels, 'channel')} known; the others were" if channels else f"{name} was"
    return f"{known} not read yet. {reading or f'Read them: `ik-slack channels refresh {name}`.'}"
