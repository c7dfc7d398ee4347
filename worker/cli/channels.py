"""`ik-slack channels`: the directory of a workspace's channels, as last read."""

import asyncio
from typing import TYPE_CHECKING

import click

from worker.cli.choosing import chosen_integration
from worker.cli.running import as_json, print_json, print_table, run
from worker.cli.showing import count
from worker.domain.errors import NotYet, Problem
from worker.domain.integration import Conversation, Integration, Page
from worker.domain.markup import duration

if TYPE_CHECKING:
    from worker.bootstrap import Services

PATIENCE_S = 300.0
Listed = tuple[Integration, list[Conversation], float | None]


@click.group()
def command() -> None:
    """See which channels there are, and where the bot is a member.

    \b
    ik-slack channels list --member
    ik-slack channels refresh
    """


@command.command("list")
@click.argument("integration", required=False)
@click.option("--member", is_flag=True, help="Only channels the bot is a member of.")
@as_json
def list_(integration: str | None, member: bool, as_json: bool) -> None:
    """The channels of INTEGRATION, or of all, as last read."""

    async def work(made: "Services") -> list[Listed]:
        one = [await made.integrations.find(integration)] if integration else await made.integrations.all()
        return [
            (each, await made.directory.all(each.id), await made.directory.age_s(each.id)) for each in one
        ]

    listed = run(work)
    found = [
        (each, channel)
        for each, channels, _ in listed
        for channel in channels
        if channel.is_member or not member
    ]
    if as_json:
        print_json([_plain(each, channel) for each, channel in found])
        return
    rows = [
        (
            f"#{channel.name}",
            channel.id,
            each.name,
            "private" if channel.is_private else "public",
            "archived" if channel.is_archived else "member" if channel.is_member else "not a member",
        )
        for each, channel in found
    ]
    empty = "No channel to show." if listed else "There is no integration yet."
    print_table(("Name", "Id", "Integration", "Kind", "Bot"), rows, empty=empty)
    for each, channels, age_s in listed:
        click.echo(_age(each, len(channels), age_s))


@command.command()
@click.argument("integration", required=False)
@as_json
def refresh(integration: str | None, as_json: bool) -> None:
    """Read the channels of INTEGRATION from Slack now.

    Slack allows about 20 pages of 999 channels a minute.
    """

    async def work(made: "Services") -> tuple[Integration, int, int]:
        chosen = await chosen_integration(made, integration)
        pages = await _read(made, chosen)
        return chosen, pages, len(await made.directory.all(chosen.id))

    chosen, pages, channels = run(work)
    if as_json:
        print_json({"integration": chosen.name, "pages": pages, "channels": channels})
        return
    click.echo(f"Read {count(channels, 'channel')} of {chosen.name} in {count(pages, 'page')}.")


async def _read(made: "Services", integration: Integration) -> int:
    """How many pages it took, after waiting for another worker that reads too."""
    token = await made.integrations.token(integration.id)
    seen: list[int] = []

    def progress(page: Page) -> None:
        seen.append(len(page.conversations))
        click.echo(f"Page {len(seen)}: {count(sum(seen), 'channel')} so far", err=True)

    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    return await made.resolver.read_directory(integration, token, progress=progress)
                except NotYet as error:
                    click.echo(f"Waiting: {error.reason}", err=True)
                    seen.clear()
                    await asyncio.sleep(error.wait_s)
    except TimeoutError:
        raise Problem(
            f"The channels of {integration.name} were not read within {duration(PATIENCE_S)}."
        ) from None


def _age(integration: Integration, channels: int, age_s: float | None) -> str:
    """How fresh a directory is."""
    if age_s is None:
        return f"{integration.name} was not read yet: `ik-slack channels refresh {integration.name}`."
    return f"{integration.name}: {count(channels, 'channel')}, read {duration(age_s)} ago."


def _plain(integration: Integration, channel: Conversation) -> dict[str, object]:
    flags = ("is_member", "is_archived", "is_private")
    named = {"id": channel.id, "name": channel.name, "integration": integration.name}
    return {**named, **{flag: getattr(channel, flag) for flag in flags}}
